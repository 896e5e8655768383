"""Associations with the listener of a running service: PDUs, negotiations, commands and data sets that are wrong, byte by byte."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from pydicom import dcmread

from iodeep.errors import InputError
from pacs_bridge.part10 import read_instance
from tests.hostile.canary import Canary
from tests.hostile.judging import Mutant, WrongError
from tests.hostile.kinds.folders import emptied
from tests.hostile.mutating import octets, pdus
from tests.hostile.mutating.dicom import Spoiler
from tests.hostile.serving import ANSWER_S, Service, connected, service
from tests.synthetic import write_series

SHORT_S = 0.15
"""How long an answer to what may be no whole message is waited for."""
CHECK_EACH = 20
ASSOCIATE, MESSAGE = "1 associate", "2 message"


@dataclass
class Dimse:
    """A service, and one connection for each input."""

    running: Service
    whole: bytes
    data_set: bytes
    sop_instance: bytes
    spoiler: Spoiler
    stack: ExitStack
    own_files: tuple[Path, ...]
    memory_mib: int = 100
    _count: int = 0

    def mutant(self, random: Random) -> Mutant:
        """A negotiation that is wrong, or a message that is wrong after one that is right."""
        how = random.random()
        if how < 0.4:
            return {ASSOCIATE: pdus.negotiation(random)}
        if how < 0.5:
            return {ASSOCIATE: octets.spoilt(pdus.associate(), random)}
        if how < 0.65:
            spoilt = self.spoiler.spoilt(self.whole, random)
            return {ASSOCIATE: pdus.associate(), MESSAGE: self._store(spoilt[_body_at(spoilt) :])}
        if how < 0.92:
            return {ASSOCIATE: pdus.associate(), MESSAGE: pdus.message(random, self.data_set, self.sop_instance)}
        return {ASSOCIATE: pdus.associate(), MESSAGE: random.choice(_SECOND)(random)}

    def receive(self, mutant: Mutant) -> bool:
        """Sent as it is; the listener answers, refuses or hangs up, and goes on for others."""
        with connected(self.running.dimse) as connection:
            answer = _sent(connection, mutant[ASSOCIATE])
            if MESSAGE in mutant and answer[:1] == b"\x02":
                answer = _sent(connection, mutant[MESSAGE])
        self._count += 1
        self.running.check_log()
        if self._count % CHECK_EACH == 0:
            self._echo()
            self.running.check()
        if not (answer[:1] in (b"\x02", b"\x06") or (answer[:1] == b"\x04" and _SUCCESS in answer)):
            raise InputError(f"the listener answered by a PDU of type {answer[:1].hex() or 'none'}")
        return True

    def _store(self, content: bytes) -> bytes:
        said = pdus.command(
            x0002=pdus.uid(pdus.CT_IMAGE), x0100=pdus.number(1), x0110=pdus.number(1), x0700=pdus.number(0),
            x0800=pdus.number(1), x1000=pdus.uid(self.sop_instance),
        )  # fmt: skip
        return pdus.data(3, 3, said) + pdus.data(3, 2, content)

    def _echo(self) -> None:
        """C-ECHO, as those ask who want to know whether somebody is there."""
        said = pdus.command(
            x0002=pdus.uid(pdus.VERIFICATION), x0100=pdus.number(0x30), x0110=pdus.number(7), x0800=pdus.number(0x0101)
        )
        with connected(self.running.dimse) as connection:
            connection.sendall(pdus.associate())
            if connection.recv(1 << 16)[:1] != b"\x02":
                raise WrongError("the listener takes no associations any more")
            connection.sendall(pdus.data(1, 3, said))
            if _SUCCESS not in connection.recv(1 << 16):
                raise WrongError("the listener answers no C-ECHO any more")

    def close(self) -> None:
        """End the service, looked at for a last time."""
        with self.stack:
            self._echo()
            self.running.check()


def target(folder: Path, canary: Canary) -> Dimse:
    """The running service."""
    path = write_series(folder / "base", np.zeros((1, 8, 8), np.int16))[0]
    whole, instance = path.read_bytes(), read_instance(path)
    with ExitStack() as stack:
        running = stack.enter_context(service(folder / "service"))
        uid = str(dcmread(path).SOPInstanceUID).encode()
        watched = (folder / "tmp", emptied(folder / "nothing"))
        found = Dimse(running, whole, whole[instance.offset :], uid, Spoiler(canary), stack.pop_all(), watched)
    assert found.receive({ASSOCIATE: pdus.associate(), MESSAGE: found._store(found.data_set)})
    return found


def _sent(connection: socket.socket, content: bytes) -> bytes:
    """The first answer: at once to what is whole, and none to what is not."""
    with suppress(ConnectionError):
        connection.sendall(content)
        connection.settimeout(SHORT_S)
        try:
            return connection.recv(1 << 16)
        except TimeoutError:
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(ANSWER_S)
            return _last(connection)
    return b""


def _last(connection: socket.socket) -> bytes:
    """What still comes of a listener that was told that this was all; its silence is a finding."""
    try:
        return connection.recv(1 << 16)
    except TimeoutError:
        raise WrongError(f"the listener did not end a connection whose peer had ended it, for {ANSWER_S} s") from None


def _body_at(content: bytes) -> int:
    return 144 + int.from_bytes(content[140:144], "little") if content[128:132] == b"DICM" else 0


_SUCCESS = b"\0\0\0\x09\x02\0\0\0\0\0"
"""Status (0000,0900) 0000H."""
_SECOND = (
    lambda random: random.randbytes(random.choice((1, 6, 100, 5000))),
    lambda random: pdus.associate(),
    lambda random: pdus.pdu(
        random.choice((0, 2, 3, 5, 6, 8, 255)), random.randbytes(9), random.choice((None, *pdus.LENGTHS))
    ),
    lambda random: pdus.pdu(4, b"", 0),
    lambda random: pdus.pdu(4, bytes(6) * 50),
    lambda random: pdus.RELEASE * random.choice((1, 3)),
    lambda random: octets.spoilt(pdus.RELEASE + pdus.ABORT, random),
)
