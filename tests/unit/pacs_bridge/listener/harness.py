"""A listener at a free port, what it told, and peers that speak to it byte by byte."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from iodeep.serve_settings import ListenerSettings
from pacs_bridge.dimse import commands
from pacs_bridge.dimse.association import Association
from pacs_bridge.dimse.commands import Command
from pacs_bridge.dimse.diagnosis import Parties
from pacs_bridge.dimse.negotiation import Proposal, request
from pacs_bridge.dimse.watch import Watch
from pacs_bridge.listener import Listener, Received, Room, Spool
from tests.synthetic import CT_IMAGE, write_series

LOOPBACK = "127.0.0.1"
AET = "IODEEP"
SENDER = "MODALITY"
VERIFICATION = "1.2.840.10008.1.1"
IMAGES = Proposal(CT_IMAGE, (ExplicitVRLittleEndian,))
ECHO = Proposal(VERIFICATION, (ExplicitVRLittleEndian,))


@dataclass
class Recorder:
    """What a listener told; tests wait for it."""

    instances: list[Received] = field(default_factory=list)
    refusals: list[tuple[str, str, str]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def received(self, instance: Received, /) -> None:
        with self.changed:
            self.instances.append(instance)
            self.changed.notify_all()

    def refused(self, sender: str, address: str, reason: str, /) -> None:
        with self.changed:
            self.refusals.append((sender, address, reason))
            self.changed.notify_all()

    def wait_for(self, what: Callable[[Recorder], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: what(self), 20)


@dataclass
class Running:
    """A listener that runs."""

    listener: Listener
    spool: Spool
    room: Room
    told: Recorder
    told_nobody: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        return self.listener.port

    def files(self) -> list[Path]:
        """Every file that is visible, and every one that is half-written."""
        return sorted(path for path in self.spool.root.rglob("*") if path.is_file() and path.name != ".lock")

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what nobody tells."""
        ends = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < ends
            self.told_nobody.wait(0.005)

    def no_associations(self) -> None:
        """Wait until all have ended."""
        for thread in self.listener._threads():
            thread.join(20)
            assert not thread.is_alive()


@contextmanager
def running(
    folder: Path,
    *,
    least_free: int = 0,
    most: int | None = None,
    free: Callable[[], int] | None = None,
    **settings: Any,
) -> Iterator[Running]:
    """A listener until the block ends."""
    spool, told = Spool(folder / "spool"), Recorder()
    answer = {"free": lambda _: free()} if free else {}
    room = Room(spool.root, least_free, most, **answer)  # type: ignore[arg-type]
    values = {"aet": AET, "port": 0, "idle_s": 20.0} | settings
    with Listener(ListenerSettings.model_validate(values), spool, room, told) as listener:
        yield Running(listener, spool, room, told)


def associate(
    port: int, *proposals: Proposal, calling: str = SENDER, called: str = AET, tls: Any = None
) -> Association:
    """An association as a modality has it."""
    parties = Parties("listener", called, calling, LOOPBACK, port)
    return request(parties, proposals or (IMAGES, ECHO), Watch(20), tls)


def ct_slices(folder: Path, count: int = 3, **more: Any) -> list[Path]:
    """A small CT series in files."""
    return write_series(folder, np.arange(count * 64 * 64).reshape(count, 64, 64).astype(np.int16), **more)


def data_set(path: Path) -> tuple[Dataset, bytes]:
    """The headers of a file, and the bytes behind its File Meta Information."""
    from pacs_bridge.part10 import read_instance

    instance = read_instance(path)
    return dcmread(path), path.read_bytes()[instance.offset :]


def store(association: Association, path: Path, **instead: str) -> tuple[int, str]:
    """C-STORE of a file; status and comment. ``instead`` replaces elements of the command."""
    header, content = data_set(path)
    return store_bytes(association, str(header.SOPClassUID), str(header.SOPInstanceUID), content, **instead)


def store_bytes(association: Association, sop_class: str, uid: str, content: bytes, **instead: str) -> tuple[int, str]:
    """C-STORE of bytes."""
    context = association.context_for(sop_class)
    assert context is not None
    command = store_command(sop_class, uid)
    for keyword, value in instead.items():
        setattr(command, keyword, value)
    association.send(context, command, content)
    answer = association.receive()
    return answer.status, str(answer.command.get("ErrorComment", ""))


def store_command(sop_class: str, uid: str) -> Dataset:
    """The command set of a C-STORE request."""
    return commands.request(Command.C_STORE_RQ, sop_class, 1, data_set=True, AffectedSOPInstanceUID=uid)


def echo(association: Association) -> int:
    """C-ECHO; its status."""
    context = association.context_for(VERIFICATION)
    assert context is not None
    association.send(context, commands.request(Command.C_ECHO_RQ, VERIFICATION, 1, data_set=False))
    return association.receive().status


def connection(port: int) -> socket.socket:
    """A bare connection."""
    return socket.create_connection((LOOPBACK, port), timeout=20)


def ended_by_peer(opened: socket.socket) -> bytes:
    """Everything that comes until the peer closes, or resets."""
    content = b""
    try:
        while piece := opened.recv(4096):
            content += piece
    except ConnectionError:
        pass
    return content


def pdu(kind: int, content: bytes, length: int | None = None) -> bytes:
    """A PDU whose length may be a lie."""
    return struct.pack(">BxL", kind, len(content) if length is None else length) + content


def rewritten(path: Path, target: Path, syntax: str, **values: Any) -> Path:
    """The file's data set in another transfer syntax or with other values."""
    dataset = dcmread(path)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dcmwrite(target, dataset, enforce_file_format=True, implicit_vr=UID(syntax).is_implicit_VR, little_endian=True)
    return target
