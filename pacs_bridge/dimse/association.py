"""One established association (PS3.8), single-threaded: DIMSE messages in and out, data sets streamed.

pynetdicom encodes and decodes the PDUs of the negotiation and the command sets. P-DATA-TF PDUs, which are all but a few
bytes of the traffic, are read from and written to the connection here, without a thread, a queue or a copy for each.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO, NoReturn, Protocol, Self

from pydicom.dataset import Dataset

from iodeep.errors import ArchiveError, IODeepError
from pacs_bridge.dimse import commands, diagnosis
from pacs_bridge.dimse.commands import Command
from pacs_bridge.dimse.diagnosis import Parties
from pacs_bridge.dimse.pdata import COMMAND, LAST, P_DATA_TF, PDV, Slab, fragment_size, pdus
from pacs_bridge.dimse.wire import Wire

MAX_PDU = 1 << 20
"""The longest PDU that we let a peer send."""
PDU_HEADER = struct.Struct(">BxL")
_MAX_COMMAND = 1 << 16
_MAX_IDENTIFIER = 1 << 24
_RELEASE_RQ, _RELEASE_RP, _ABORT = 5, 6, 7


@dataclass(frozen=True)
class Context:
    """An accepted presentation context; ``receives`` where we may be sent instances on it (PS3.7 D.3.3.4)."""

    id: int
    abstract_syntax: str
    transfer_syntax: str
    receives: bool = False


@dataclass(frozen=True)
class Message:
    """A DIMSE message: its command set, and its data set where that was not streamed into a sink."""

    context: Context
    command: Dataset
    data: bytes = b""

    @property
    def field(self) -> int:
        """Command Field (0000,0100)."""
        return int(self.command.CommandField)

    @property
    def status(self) -> int:
        """Status (0000,0900)."""
        return int(self.command.Status)


class Sink(Protocol):
    """Where a data set goes while it comes in."""

    def write(self, content: memoryview, /) -> object:
        """Take the next bytes; they are valid only during the call."""


OpenSink = Callable[[Context, Dataset], Sink]


class Association:
    """Used as a context: left in good order it is released, left by an error it is aborted."""

    def __init__(
        self,
        wire: Wire,
        parties: Parties,
        contexts: Mapping[int, Context],
        peer_max_pdu: int,
        implementation: str | None,
    ) -> None:
        self.wire = wire
        self.parties = parties
        self.contexts = contexts
        self.implementation = implementation
        self._fragment = fragment_size(peer_max_pdu)
        self._pdu_left = 0
        self._messages = 0
        self._open = True

    def context_for(self, abstract_syntax: str, transfer_syntax: str | None = None) -> Context | None:
        """An accepted context of that SOP class (and transfer syntax)."""
        for context in self.contexts.values():
            if context.abstract_syntax == abstract_syntax and transfer_syntax in (None, context.transfer_syntax):
                return context
        return None

    def next_message_id(self) -> int:
        """1 to 65535, then from 1 again."""
        self._messages = self._messages % 0xFFFF + 1
        return self._messages

    def send(self, context: Context, command: Dataset | bytes, identifier: bytes = b"") -> None:
        """A message with a small data set or none; the command may be encoded."""
        encoded = command if isinstance(command, bytes) else commands.encoded(command)
        self.wire.send(
            b"".join(
                [
                    *pdus(context.id, encoded, COMMAND, self._fragment),
                    *pdus(context.id, identifier, 0, self._fragment),
                ]
            )
        )

    def send_last(self, context: Context, command: Dataset) -> None:
        """Try to send a command before aborting, without waiting."""
        self.wire.last_word(b"".join(pdus(context.id, commands.encoded(command), COMMAND, self._fragment)))

    def send_file(
        self, context: Context, command: Dataset, content: BinaryIO, length: int, sent: Callable[[int], None]
    ) -> None:
        """A message whose data set is the next ``length`` bytes of ``content``; ``sent`` is told each count of bytes."""
        self.send(context, command)
        slab = Slab(context.id, self._fragment)
        while length:
            filled, count = slab.fill(content, length)
            self.wire.send(filled)
            length -= count
            sent(count)

    def receive(self, open_sink: OpenSink | None = None, *, most_identifier: int = _MAX_IDENTIFIER) -> Message:
        """The next message; the data set of a C-STORE request goes to the sink that ``open_sink`` gives.

        Another data set of more than ``most_identifier`` bytes ends the association.
        """
        context, command = self._command()
        if command.CommandDataSetType == commands.NO_DATA_SET:
            return Message(context, command)
        if open_sink is not None and command.CommandField == Command.C_STORE_RQ:
            self._data_set(open_sink(context, command))
            return Message(context, command)
        identifier = BytesIO()
        self._data_set(identifier, most=most_identifier)
        return Message(context, command, identifier.getvalue())

    def is_usable(self) -> bool:
        """Whether the association is open and the peer has not ended it while it was idle."""
        return self._open and self.wire.is_quiet()

    def release(self) -> None:
        """End in good order (PS3.8 7.2); a peer that does not answer any more is left."""
        if not self._open:
            return
        self._open = False
        self.wire.doing = "releasing the association"
        try:
            self.wire.send(_short_pdu(_RELEASE_RQ))
            while self._next_pdu() == P_DATA_TF:
                self._skip_pdu()
        except IODeepError:
            pass
        finally:
            self.wire.close()

    def abort(self) -> None:
        """End at once (PS3.8 7.3)."""
        if self._open:
            self._open = False
            self.wire.last_word(_short_pdu(_ABORT))
            self.wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None:
            self.release()
        else:
            self.abort()

    def _command(self) -> tuple[Context, Dataset]:
        content = bytearray()
        while True:
            context_id, control, length = self._next_fragment()
            if not control & COMMAND or len(content) + length > _MAX_COMMAND:
                self._misspoken("a data set without its command" if not control & COMMAND else "an endless command")
            content += self.wire.take(length)
            if control & LAST:
                return self._context(context_id), self._decoded(bytes(content))

    def _context(self, context_id: int) -> Context:
        context = self.contexts.get(context_id)
        return context or self._misspoken(f"the presentation context {context_id} was never accepted")

    def _decoded(self, content: bytes) -> Dataset:
        try:
            command = commands.decoded(content)
        except Exception as error:  # boundary: pydicom raises whatever garbled bytes make it raise
            self._misspoken(f"a command set that cannot be read ({error})")
        missing = [keyword for keyword in ("CommandField", "CommandDataSetType") if command.get(keyword) is None]
        if missing:
            self._misspoken(f"a command set without {' and '.join(missing)}")
        return command

    def _data_set(self, sink: Sink, most: int | None = None) -> None:
        total = 0
        while True:
            _, control, length = self._next_fragment()
            total += length
            if control & COMMAND or (most is not None and total > most):
                self._misspoken("a command within a data set" if control & COMMAND else "an endless identifier")
            while length:
                piece = self.wire.some(length)
                length -= len(piece)
                sink.write(piece)
            if control & LAST:
                return

    def _next_fragment(self) -> tuple[int, int, int]:
        """Presentation context ID, message control header and content length of the next PDV, whose content follows."""
        while self._pdu_left == 0:
            self._next_pdu()
        if self._pdu_left < PDV.size:
            self._misspoken("a PDU that is too short for a PDV")
        item_length, context_id, control = PDV.unpack(self.wire.take(PDV.size))
        self._pdu_left -= item_length + 4
        if item_length < 2 or self._pdu_left < 0:
            self._misspoken("a PDV that does not fit its PDU")
        return context_id, control, item_length - 2

    def _next_pdu(self) -> int:
        """The type of the next PDU; its content follows where it is P-DATA-TF."""
        kind, length = PDU_HEADER.unpack(self.wire.take(PDU_HEADER.size))
        if kind == P_DATA_TF:
            self._pdu_left = length
            return P_DATA_TF
        if kind not in (_RELEASE_RQ, _RELEASE_RP, _ABORT) or length != 4:
            self._misspoken(f"a PDU of type {kind} and {length} bytes")
        content = bytes(self.wire.take(length))
        if kind == _RELEASE_RQ:
            self._answer_release()
        if kind == _ABORT:
            self._end()
            raise diagnosis.aborted(self.parties, self.wire.doing, by_provider=content[2] == 2)
        return int(kind)

    def _skip_pdu(self) -> None:
        while self._pdu_left:
            self._pdu_left -= len(self.wire.some(self._pdu_left))

    def _answer_release(self) -> NoReturn:
        self.wire.last_word(_short_pdu(_RELEASE_RP))
        self._end()
        raise ReleasedError(f"{self.parties} released the association while {self.wire.doing}")

    def _misspoken(self, what: str) -> NoReturn:
        self.abort()
        raise diagnosis.misspoken(self.parties, what, self.wire.doing)

    def _end(self) -> None:
        self._open = False
        self.wire.close()


class ReleasedError(ArchiveError):
    """The peer asked for the end of the association in good order."""


def _short_pdu(kind: int) -> bytes:
    return PDU_HEADER.pack(kind, 4) + bytes(4)
