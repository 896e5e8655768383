"""The log goes to a syslog receiver: the log itself is the queue, and a mark in it says what the receiver has.

Whatever the receiver does, no event waits for it and none is lost: the mark moves when the messages were acknowledged and the
connection was still there afterwards. After a break the last messages go out again; a receiver knows them by the number of the line.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from iodeep.errors import IODeepError
from iodeep.serve_settings import AuditSettings
from iodeep.service.audit.files import log_files
from iodeep.service.audit.reading import RecordedEvent, readable
from iodeep.service.audit.syslog import Sender, as_syslog, connected
from iodeep.service.private_files import open_private, write_private

MARK = "syslog.json"
BATCH = 100
_LOOK_S = 1.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mark:
    """How far the receiver has the log."""

    file: str = ""
    offset: int = 0
    sequence: int = 0


def read_mark(folder: Path) -> Mark:
    """The mark; the beginning where there is none."""
    try:
        return Mark(**json.loads((folder / MARK).read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return Mark()


class Forwarder:
    """Sends what is recorded; of several processes with the same log, one does."""

    def __init__(self, folder: Path, settings: AuditSettings, look_s: float = _LOOK_S) -> None:
        self._folder = folder
        self._settings = settings
        self._look_s = look_s

    def run(self, stop: threading.Event) -> None:
        """Until ``stop`` is set; what goes wrong is logged and tried again."""
        while not stop.is_set():
            with _alone(self._folder / "syslog.lock") as alone:
                if alone:
                    self._forward(stop)
            stop.wait(self._look_s * 5)

    def _forward(self, stop: threading.Event) -> None:
        wait = _FIRST_WAIT_S
        while not stop.is_set():
            try:
                with connected(self._settings) as sender:
                    wait = _FIRST_WAIT_S
                    self._send_all(sender, stop)
            except (OSError, IODeepError) as error:
                _log.warning("audit messages wait for the syslog receiver %s: %s", self._settings.syslog, error)
                stop.wait(min(wait, _LONGEST_WAIT_S) * self._look_s)
                wait *= 2

    def _send_all(self, sender: Sender, stop: threading.Event) -> None:
        confirmed = sent = read_mark(self._folder)
        ending = False
        while not ending:
            ending = stop.wait(self._look_s if sent == confirmed else min(self._look_s, 0.2))
            sender.check_alive()
            if sent != confirmed:
                write_private(self._folder / MARK, json.dumps(asdict(sent)).encode())
                confirmed = sent
            batch = list(after(self._folder, sent, BATCH))
            if batch:
                sender.send([as_syslog(event, self._settings.site) for event, _ in batch if event is not None])
                sent = batch[-1][1]


def after(folder: Path, mark: Mark, most: int) -> Iterator[tuple[RecordedEvent | None, Mark]]:
    """Lines after the mark, each with the mark behind it; None for a line that holds no event."""
    for path in log_files(folder):
        if path.name < mark.file:
            continue
        offset = mark.offset if path.name == mark.file else 0
        with path.open("rb") as file:
            file.seek(min(offset, os.fstat(file.fileno()).st_size))
            offset = file.tell()
            for line in file:
                if not line.endswith(b"\n") or most <= 0:
                    return
                most -= 1
                offset += len(line)
                event = readable(line[:-1])
                mark = Mark(path.name, offset, event.sequence if event else mark.sequence)
                yield event, mark


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether no other process has the lock; it ends with its process."""
    descriptor = open_private(path, os.O_RDWR)
    alone = False
    try:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = True
        yield alone
    finally:
        os.close(descriptor)
