"""Instances that come in, each to a file of its own in a folder of ours; they are the caller's only when all are there.

Nothing that was not asked for is kept, and it is refused rather than accepted and thrown away: a sender may delete what
was accepted. The peer's UIDs become file names, so only those that we asked for do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset

from iodeep.errors import IODeepError, LocalStorageError
from iodeep.ports import Wanted
from pacs_bridge.dimse import commands
from pacs_bridge.dimse.association import Association, Context, Message
from pacs_bridge.dimse.commands import Command
from pacs_bridge.part10 import Instance, is_uid, read_instance, write_header

_NOT_AUTHORIZED = 0x0124
_DOES_NOT_MATCH = 0xA900
_WRITE_BEHIND = 1 << 20


class Incoming:
    """An instance on its way to ``path``, or to nowhere where that is None."""

    def __init__(self, path: Path | None, arrived: Callable[[int], None]) -> None:
        self.path = path
        self._arrived = arrived
        self._file: BinaryIO | None = None

    def begin(self, sop_class: str, uid: str, transfer_syntax: str) -> None:
        """Write the file's header."""
        if self.path is not None:
            with _told_as_ours(self.path):
                self._file = self.path.open("wb", buffering=_WRITE_BEHIND)
                write_header(self._file, sop_class, uid, transfer_syntax)

    def write(self, content: memoryview, /) -> None:
        """The next bytes of the data set."""
        if self._file is not None and self.path is not None:
            with _told_as_ours(self.path):
                self._file.write(content)
            self._arrived(len(content))

    def finish(self) -> None:
        """All bytes are on their way to the disk."""
        if self._file is not None and self.path is not None:
            with _told_as_ours(self.path):
                self._file.close()

    def drop(self) -> None:
        """Leave no file behind where it was not renamed."""
        if self._file is not None and self.path is not None:
            with suppress(OSError):
                self._file.close()
            self.path.unlink(missing_ok=True)


class Arrivals:
    """What of ``expected`` has come, in ``folder``; shared by the threads of one retrieve."""

    def __init__(
        self,
        folder: Path,
        wanted: Wanted,
        expected: frozenset[str],
        *,
        on_bytes: Callable[[int], None],
        on_instance: Callable[[Instance], None],
    ) -> None:
        self._folder = folder
        self._wanted = wanted
        self._on_bytes = on_bytes
        self._on_instance = on_instance
        self._lock = threading.Lock()
        self._arrived: set[str] = set()
        self.expected = expected
        self.unasked = 0
        self.reasons: dict[str, str] = {}

    @property
    def missing(self) -> list[str]:
        """What was asked for and has not come."""
        return sorted(self.expected - self._arrived)

    @property
    def none_yet(self) -> bool:
        """Whether no instance came, wanted or not."""
        return not (self._arrived or self.unasked or self.reasons)

    def take(self, association: Association) -> Message:
        """The next message; the instance of a C-STORE request is kept and answered for (PS3.7 9.1.1.2) first."""
        incoming = Incoming(None, self._count)

        def open_sink(context: Context, command: Dataset) -> Incoming:
            uid = str(command.get("AffectedSOPInstanceUID", ""))
            if uid in self.expected and is_uid(uid) and context.receives:
                incoming.path = self._folder / f"{threading.get_ident()}-{uid}.part"
                incoming.begin(context.abstract_syntax, uid, context.transfer_syntax)
            return incoming

        try:
            message = association.receive(open_sink)
            if message.field == Command.C_STORE_RQ:
                status, comment = self._keep(incoming, str(message.command.get("AffectedSOPInstanceUID", "")))
                association.send(message.context, commands.response(message.command, status, comment))
            return message
        finally:
            incoming.drop()

    def _keep(self, incoming: Incoming, uid: str) -> tuple[int, str]:
        """The status to answer with (PS3.4 B.2.3), and a comment for it."""
        incoming.finish()
        if incoming.path is None:
            self.unasked += 1
            return _NOT_AUTHORIZED, "this instance was not asked for"
        try:
            instance = read_instance(incoming.path)
        except IODeepError as error:
            return self._refused(uid, error.problem)
        if reason := self._mismatch(instance, uid):
            return self._refused(uid, reason)
        with self._lock:
            kept = incoming.path.rename(self._folder / f"{uid}.dcm")
            self._arrived.add(uid)
            self._on_instance(replace(instance, path=kept))
        return commands.SUCCESS, ""

    def _refused(self, uid: str, reason: str) -> tuple[int, str]:
        self.reasons[uid] = reason
        return _DOES_NOT_MATCH, reason

    def _mismatch(self, instance: Instance, uid: str) -> str:
        """Why it is not the instance that was asked for."""
        if instance.uid != uid:
            return "its data set bears another SOP Instance UID"
        if instance.study != self._wanted.study or self._wanted.series not in (None, instance.series):
            return "it belongs to another study or series"
        return ""

    def _count(self, count: int) -> None:
        with self._lock:
            self._on_bytes(count)


class _told_as_ours:  # noqa: N801 - reads as a statement
    """Turns a failure of our own disk into an error that says so."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise LocalStorageError(
                f"{self._path} cannot be written: {error.strerror}",
                remedy="Make room on this disk, or choose another folder.",
            ) from error
