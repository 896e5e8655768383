"""One C-STORE from its first byte to its answer: Success means that the instance is on the disk and stays there.

What is refused is read to its end and thrown away, so that the association lives on and the sender learns the reason
(PS3.4 B.2.3: status and Error Comment).
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from pydicom.dataset import Dataset

from iodeep.errors import ArchiveError, InputError
from pacs_bridge.dimse.association import Context
from pacs_bridge.listener.contexts import MODEL_OBJECTS, VERIFICATION
from pacs_bridge.listener.instance import HEAD, Header, Received, header_of, received
from pacs_bridge.listener.room import Room
from pacs_bridge.listener.spool import Spool
from pacs_bridge.part10 import is_uid, write_header

OUT_OF_RESOURCES = 0xA700
DOES_NOT_MATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000
INVALID_INSTANCE = 0x0117
NOT_SUPPORTED = 0x0122
NOT_AUTHORIZED = 0x0124
_WRITE_BEHIND = 1 << 16
"""Small enough to be memory that is used again: a megabyte for each instance would be new pages from the system each time."""
_FIRST_STEP, _LONGEST_STEP = 1 << 16, 1 << 24
"""Bytes of room that are asked for at first, and at most, ahead of what comes."""
_THROWN_AWAY = 1 << 26
"""Bytes of one refused instance that we let a peer send beyond the longest before we end the association."""


@dataclass(frozen=True)
class Refusal:
    """What a C-STORE is answered with; the comment is cut to 64 characters."""

    status: int
    comment: str


class IncomingInstance:
    """Where the data set of one C-STORE request goes; used once, and dropped whatever happened."""

    def __init__(self, spool: Spool, room: Room, sender: str, longest: int, name: str) -> None:
        self._spool = spool
        self._room = room
        self._sender = sender
        self._longest = longest
        self._part = spool.part(name)
        self._file: BinaryIO | None = None
        self._head = bytearray()
        self._taken = self._came = 0
        self.refusal: Refusal | None = Refusal(CANNOT_UNDERSTAND, "the request has no data set")

    def begin(self, context: Context, command: Dataset) -> IncomingInstance:
        """Open the file, or note why nothing is written."""
        self._context = context
        self._uid = str(command.get("AffectedSOPInstanceUID", "") or "")
        self._sop_class = str(command.get("AffectedSOPClassUID", "") or "")
        self.refusal = self._unwanted()
        if self.refusal is None and (reason := self._room.take(_FIRST_STEP)):
            self.refusal = Refusal(OUT_OF_RESOURCES, reason)
        if self.refusal is None:
            self._taken = _FIRST_STEP
            self._on_disk(self._open)
        return self

    def write(self, content: memoryview, /) -> None:
        """The next bytes of the data set."""
        self._came += len(content)
        if self.refusal is not None:
            if self._came > self._longest + _THROWN_AWAY:
                raise ArchiveError(f"an instance of more than {self._came} bytes was sent, though it was refused")
            return
        if len(self._head) < HEAD:
            self._head += content[: HEAD - len(self._head)]
        if self._came > self._longest:
            self.refusal = Refusal(NOT_AUTHORIZED, f"longer than {self._longest} bytes (max_instance_bytes)")
        elif self._came > self._taken and (reason := self._more_room()):
            self.refusal = Refusal(OUT_OF_RESOURCES, reason)
        else:
            self._on_disk(lambda: self._open_file.write(content))

    def finish(self) -> Received | Refusal:
        """The instance, durable and visible in the spool; or what to answer instead."""
        if self.refusal is None:
            self._on_disk(self._synced)
        if self.refusal is not None:
            return self.refusal
        try:
            header = header_of(bytes(self._head), self._context.transfer_syntax, self._part)
        except InputError as error:
            return Refusal(CANNOT_UNDERSTAND, error.problem)
        except OSError as error:
            return Refusal(OUT_OF_RESOURCES, f"the disk failed: {error.strerror}")
        if (header["SOPClassUID"], header["SOPInstanceUID"]) != (self._sop_class, self._uid):
            return Refusal(DOES_NOT_MATCH, "the data set bears another SOP Class or Instance UID")
        return self._published(header)

    def drop(self) -> None:
        """Leave nothing behind that was not published."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._part.unlink(missing_ok=True)
        self._room.give(self._taken)
        self._taken = 0

    def _unwanted(self) -> Refusal | None:
        if self._sop_class != self._context.abstract_syntax or self._sop_class == VERIFICATION:
            return Refusal(DOES_NOT_MATCH, "another SOP class than the presentation context has")
        if self._sop_class == MODEL_OBJECTS:
            return Refusal(NOT_SUPPORTED, "Raw Data (models) belong into the archive, not here")
        if not is_uid(self._uid):
            return Refusal(INVALID_INSTANCE, "no valid Affected SOP Instance UID")
        return None

    def _open(self) -> None:
        self._file = self._part.open("wb", buffering=_WRITE_BEHIND)
        write_header(self._file, self._sop_class, self._uid, self._context.transfer_syntax, self._sender)

    @property
    def _open_file(self) -> BinaryIO:
        assert self._file is not None
        return self._file

    def _more_room(self) -> str:
        """Room for as much again as there is already, within reason: asked seldom, never far ahead."""
        step = max(self._came - self._taken, min(self._taken, _LONGEST_STEP))
        reason = self._room.take(step)
        self._taken += 0 if reason else step
        return reason

    def _synced(self) -> None:
        self._open_file.flush()
        os.fsync(self._open_file.fileno())
        self._open_file.close()

    def _published(self, header: Header) -> Received | Refusal:
        target = self._spool.place(header["StudyInstanceUID"], header["SeriesInstanceUID"], self._uid)
        length = self._part.stat().st_size
        new: list[bool] = []
        self._on_disk(lambda: new.append(self._spool.publish(self._part, target)))
        if self.refusal is not None:
            return self.refusal
        if new[0]:
            self._room.give(self._taken - length)
            self._taken = 0
        return received(header, target, self._sender, length, new=new[0])

    def _on_disk(self, step: object) -> None:
        """Do it; a failure of our own disk is the sender's to repeat later."""
        try:
            step()  # type: ignore[operator]
        except OSError as error:
            self.refusal = Refusal(OUT_OF_RESOURCES, f"the disk failed: {error.strerror}")
