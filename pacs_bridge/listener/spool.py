"""Where series that come in wait: ``STUDY/SERIES/SOP.dcm``, each file whole and durable from the moment it is visible.

The folder itself is the truth: nothing else is remembered of what came, so nothing can disagree with it after a crash.
What is still being written lies in ``.incoming`` and is worth nothing: its sender never got a Success for it.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from iodeep.errors import LocalStorageError, SettingsError
from pacs_bridge.part10 import is_uid

_INCOMING = ".incoming"
_LOCK = ".lock"
_ENDING = ".dcm"
_ATTEMPTS = 3


class Spool:
    """The folder; one listener at a time writes to it (:meth:`claim`), anybody may read."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock: int | None = None

    def claim(self) -> None:
        """Make it ours until :meth:`release` or the end of this process, and clear away what a dead listener left half-written.

        Nothing more happens where it is ours already.
        """
        if self._lock is not None:
            return
        try:
            (self.root / _INCOMING).mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.root / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise SettingsError(
                f"another listener writes to the spool {self.root}",
                remedy="End it, or give this one a spool of its own (serve.arrivals.spool).",
            ) from error
        except OSError as error:
            self.release()
            raise LocalStorageError(
                f"the spool {self.root} cannot be written: {error.strerror}",
                remedy="Check serve.arrivals.spool, its rights and its disk.",
            ) from error
        for left in (self.root / _INCOMING).iterdir():
            left.unlink()

    def release(self) -> None:
        """Let another listener have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def part(self, name: str) -> Path:
        """Where an instance is written until it is whole."""
        return self.root / _INCOMING / f"{name}.part"

    def place(self, study: str, series: str, uid: str) -> Path:
        """Where it is then; the UIDs come from outside and become names only where they are UIDs."""
        if not (is_uid(study) and is_uid(series) and is_uid(uid)):
            raise ValueError(f"not UIDs: {study!r}, {series!r}, {uid!r}")
        return self.root / study / series / f"{uid}{_ENDING}"

    def publish(self, part: Path, target: Path) -> bool:
        """Make the whole and synced ``part`` visible, durably; False where the instance was there already, which stays."""
        for _ in range(_ATTEMPTS):  # the folder may be removed under our hands by who deletes what is confirmed
            created = not target.parent.is_dir()
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(part, target)
            except FileExistsError:
                return False
            except FileNotFoundError:
                continue
            part.unlink()
            _sync(target.parent)
            if created:
                _sync(target.parent.parent)
                _sync(self.root)
            return True
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), str(target))

    def series(self) -> Iterator[Path]:
        """The folder of each series that holds something."""
        for study in _folders(self.root):
            for series in _folders(study):
                if next(instances_in(series), None) is not None:
                    yield series


def instances_in(series: Path) -> Iterator[Path]:
    """Each instance that is there, in no order; none where the folder is not."""
    try:
        with os.scandir(series) as entries:
            for entry in entries:
                if entry.name.endswith(_ENDING):
                    yield series / entry.name
    except (FileNotFoundError, NotADirectoryError):
        return


def _folders(parent: Path) -> list[Path]:
    try:
        return [entry for entry in parent.iterdir() if is_uid(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
