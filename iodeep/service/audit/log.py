"""The local log: what was recorded is on the disk, at its place in the chain, before anything else happens.

Threads that record at the same moment share one write; processes take turns by a lock. What a crash left after the anchor is taken
over where its seals hold; what is missing before it is recorded as a security alert, and stays a gap that `iodeep audit verify` shows.
"""

from __future__ import annotations

import os
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iodeep.errors import IODeepError, LocalStorageError
from iodeep.service.audit.chain import holds, read_line, seal
from iodeep.service.audit.encoding import as_document
from iodeep.service.audit.event import AuditEvent, EventKind, Outcome
from iodeep.service.audit.files import (
    LOCK,
    file_of_today,
    lines_backwards,
    locked,
    log_files,
    new_key,
    read_key,
    write_key,
)
from iodeep.service.audit.head import BEGINNING, Head, read_head, write_head
from iodeep.service.private_files import open_private


class _Entry:
    """An event on its way to the disk."""

    def __init__(self, event: AuditEvent) -> None:
        self.event = event
        self.written = False
        self.error: IODeepError | None = None


class AuditLog:
    """The log of one data folder, opened by one process (an :class:`AuditSink`)."""

    def __init__(self, folder: Path, key: Path, process: str) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with locked(folder / LOCK):
                self._key = read_key(key) if key.exists() else _begun(folder, key)
        except OSError as error:
            raise _unusable(folder, error) from error
        self._folder = folder
        self._origin = {"process": process, "host": socket.gethostname()}
        self._waiting: list[_Entry] = []
        self._gate = threading.Lock()
        self._writing = threading.Lock()
        self.closed = threading.Event()
        """Set when this process records nothing more: what goes on beside the log ends."""

    def close(self) -> None:
        """End what goes on beside the log; nothing is lost by leaving this out."""
        self.closed.set()

    def record(self, event: AuditEvent) -> None:
        """Durable once this returns; see :class:`AuditSink`."""
        entry = _Entry(event)
        with self._gate:
            self._waiting.append(entry)
        with self._writing:
            if not entry.written and entry.error is None:
                self._write_waiting()
        if entry.error is not None:
            raise entry.error

    def _write_waiting(self) -> None:
        with self._gate:
            batch, self._waiting = self._waiting, []
        try:
            self._append([entry.event for entry in batch])
        except OSError as error:
            for entry in batch:
                entry.error = _unusable(self._folder, error)
        else:
            for entry in batch:
                entry.written = True

    def _append(self, events: list[AuditEvent]) -> None:
        with locked(self._folder / LOCK):
            place = _end_of_chain(self._folder, self._key)
            name = file_of_today(log_files(self._folder))
            lines, sequence, previous = [], place.head.sequence, place.head.hash
            for event in [*map(_alert, place.alerts), *events]:
                sequence += 1
                line, previous = seal(self._key, sequence, previous, self._document(event))
                lines.append(line)
            size = _written(self._folder / name, b"".join(lines))
            write_head(self._folder, self._key, Head(sequence, previous, name, size))

    def _document(self, event: AuditEvent) -> dict[str, Any]:
        return {**self._origin, "pid": os.getpid(), "event": as_document(event)}


def _begun(folder: Path, key: Path) -> bytes:
    """A key, and the anchor of a log without lines: from now on a missing anchor is a sign of somebody's hand."""
    made = new_key()
    write_head(folder, made, BEGINNING)
    write_key(key, made)
    return made


@dataclass(frozen=True)
class _Place:
    head: Head
    alerts: tuple[str, ...] = ()


def _end_of_chain(folder: Path, key: bytes) -> _Place:
    """Where the next line goes, and what is wrong with what is there."""
    files, head = log_files(folder), read_head(folder, key)
    if head is None:
        return _without_anchor(files, key)
    if head.sequence and _size(folder / head.file) < head.size:
        return _Place(
            head, (f"the audit log is shorter than its anchor says: lines up to {head.sequence} are missing",)
        )
    return _after_anchor(head, [path for path in files if path.name >= head.file], key)


def _without_anchor(files: list[Path], key: bytes) -> _Place:
    for path in reversed(files):
        for line in lines_backwards(path):
            if (link := read_line(line)) is not None and holds(key, line):
                found = Head(link.sequence, link.hash, path.name, _size(path))
                return _Place(found, (f"the anchor of the audit log is missing or damaged after line {link.sequence}",))
    return _Place(BEGINNING, ("the audit log and its anchor are gone, or sealed with another key",))


def _after_anchor(head: Head, files: list[Path], key: bytes) -> _Place:
    """Lines that were written, but whose anchor was not, because the process or the machine died in between."""
    for path in files:
        start = head.size if path.name == head.file else 0
        for line in _rest(path, start):
            if not line.endswith(b"\n"):
                _set_aside(path, start, line)
                return _Place(head, (f"a line after number {head.sequence} was never finished, {len(line)} bytes",))
            link = read_line(line[:-1]) if holds(key, line[:-1]) else None
            if link is None or (link.sequence, link.previous) != (head.sequence + 1, head.hash):
                return _Place(
                    head, (f"what stands after line {head.sequence} of the audit log does not follow from it",)
                )
            start += len(line)
            head = Head(link.sequence, link.hash, path.name, start)
    return _Place(head)


def _rest(path: Path, start: int) -> list[bytes]:
    if _size(path) <= start:
        return []
    with path.open("rb") as file:
        file.seek(start)
        return file.read().splitlines(keepends=True)


def _set_aside(path: Path, start: int, line: bytes) -> None:
    """Take an unfinished line out of the log, into a file of its own: nobody was told that it was recorded."""
    path.with_name(f"unfinished-{path.stem}-{start}.part").write_bytes(line)
    os.truncate(path, start)


def _alert(sentence: str) -> AuditEvent:
    return AuditEvent(EventKind.SECURITY_ALERT, Outcome.SERIOUS_FAILURE, event_type="110129", detail=sentence)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _written(path: Path, data: bytes) -> int:
    """Append all of the bytes or none; the file's size after it."""
    descriptor = open_private(path, os.O_WRONLY | os.O_APPEND)
    try:
        before = os.fstat(descriptor).st_size
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, before)
            raise
        return before + len(data)
    finally:
        os.close(descriptor)


def _unusable(folder: Path, error: OSError) -> IODeepError:
    return LocalStorageError(
        f"the audit log cannot be written: {error.strerror or error}",
        found=str(folder),
        remedy="Make room or give the service's user the folder: what cannot be recorded is not done.",
    )
