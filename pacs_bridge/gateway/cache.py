"""Series that were fetched once, on our disk, in less than so many bytes; the least recently used go first.

However many ask for a series at once, the archive is asked once. What is complete is published by renaming its folder;
what is not is gone after a restart. While a series comes in, the instances that are there already are given out.
One process uses a folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from iodeep.errors import CancelledError, IODeepError, LocalStorageError
from iodeep.ports import Cancellation, Progress, ProgressSink
from pacs_bridge.gateway.errors import NotThereError

FRESH_S = 60.0
"""How long a series is given out before the archive is asked again whether it still has the same instances."""
_AGAIN_S = 1.0
"""The same, where an instance is asked for that we don't have."""
_FILLS_AT_ONCE = 4
_LOOK_S = 0.2
_OVERHEAD = 1024
"""Bytes of a file's preamble and meta information, at most."""


@dataclass(frozen=True)
class SeriesKey:
    """A series of an archive."""

    pacs: str
    study: str
    series: str

    @property
    def folder(self) -> str:
        """A name for its folder, that no UID of anybody's can lead out of ours."""
        return hashlib.sha256("\n".join((self.pacs, self.study, self.series)).encode()).hexdigest()[:32]


class Source(Protocol):
    """Where a series comes from."""

    def listed(self) -> frozenset[str]:
        """The SOP Instance UIDs that the archive has of it now."""

    def fetch(self, instances: tuple[str, ...], into: Path, progress: ProgressSink, cancel: Cancellation) -> None:
        """Bring those instances, or all where none is named, to files ``UID.dcm``; the folder fills as they come."""


@dataclass
class Entry:
    """A complete series on our disk."""

    folder: Path
    bytes: int
    checked: float
    uids: frozenset[str]
    readers: int = 0

    def path(self, uid: str) -> Path:
        """The file of an instance."""
        return self.folder / f"{uid}.dcm"

    @property
    def paths(self) -> dict[str, Path]:
        """Every instance's file, in order of UID."""
        return {uid: self.path(uid) for uid in sorted(self.uids)}


@dataclass
class _Filling:
    """A series on its way."""

    folder: Path
    cancel: threading.Event = field(default_factory=threading.Event)
    bytes: int = 0
    waiting: int = 0
    done: bool = False
    error: IODeepError | None = None
    no_room: LocalStorageError | None = None

    def opened(self, uid: str) -> BinaryIO | None:
        """The file of an instance that is there already, wherever it lies until the series is complete."""
        for pattern in (f"first/{uid}.dcm", f"all/{uid}.dcm", f"all/.incoming-*/{uid}.dcm"):
            with suppress(FileNotFoundError):  # files and folders move while the series becomes complete
                for path in self.folder.glob(pattern):
                    return path.open("rb")
        return None


class SeriesCache:
    """A folder of series; may be shared by threads. ``most_bytes`` 0: a series is kept while somebody reads it."""

    def __init__(
        self, folder: Path, most_bytes: int, fresh_s: float = FRESH_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._entries_at = folder / "series"
        self._filling_at = folder / "incoming"
        self._most = most_bytes
        self._fresh_s = fresh_s
        self._clock = clock
        self._changed = threading.Condition()
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._leaving: list[Entry] = []
        self._fillings: dict[str, _Filling] = {}
        self._number = 0
        self._threads = ThreadPoolExecutor(_FILLS_AT_ONCE, thread_name_prefix="gateway-fetch")
        with _told_as_ours(folder):
            self._begin()

    @property
    def bytes(self) -> int:
        """Bytes on our disk now, or on their way to it."""
        with self._changed:
            return self._total()

    @contextmanager
    def series(self, key: SeriesKey, source: Source, cancel: Cancellation) -> Iterator[Entry]:
        """The whole series, which stays for as long as the block lasts.

        Raises :class:`~pacs_bridge.gateway.errors.NotThereError`, :class:`iodeep.errors.CancelledError`, and what the
        archive's fetch raises.
        """
        entry = self.hold(key, source, cancel)
        try:
            yield entry
        finally:
            self.release(entry)

    def hold(self, key: SeriesKey, source: Source, cancel: Cancellation) -> Entry:
        """The same for a block that begins in one thread and ends in another: until :meth:`release`."""
        while True:
            entry = self._complete(key, source, None)
            if entry is not None:
                return entry
            self._while_filling(key, source, cancel, None)

    def release(self, entry: Entry) -> None:
        """The reader of a series has gone."""
        with self._changed:
            entry.readers -= 1
            name = entry.folder.name.partition("-")[0]
            if self._most == 0 and not entry.readers and self._entries.get(name) is entry:
                self._drop(name)
            elif entry in self._leaving and not entry.readers:
                self._leaving.remove(entry)
                _remove(entry.folder)
            self._make_room()
            self._changed.notify_all()

    def instance(self, key: SeriesKey, uid: str, source: Source, cancel: Cancellation) -> BinaryIO:
        """The file of one instance, opened: it may be read to its end whatever becomes of the series."""
        while True:
            entry = self._complete(key, source, uid)
            if entry is not None:
                try:
                    return _opened(entry, uid)
                finally:
                    self.release(entry)
            if (file := self._while_filling(key, source, cancel, uid)) is not None:
                return file

    def opened(self, key: SeriesKey, uid: str) -> BinaryIO | None:
        """The file of an instance if we have it; nobody is asked."""
        with self._changed:
            entry = self._entries.get(key.folder)
            return entry.path(uid).open("rb") if entry and uid in entry.uids else None

    def forget(self, key: SeriesKey) -> None:
        """The series has changed in the archive."""
        with self._changed:
            if key.folder in self._entries:
                self._drop(key.folder)

    def close(self) -> None:
        """End what is coming in."""
        with self._changed:
            for filling in self._fillings.values():
                filling.cancel.set()
        self._threads.shutdown(wait=True, cancel_futures=True)

    # what is there

    def _begin(self) -> None:
        shutil.rmtree(self._filling_at, ignore_errors=True)
        self._filling_at.mkdir(parents=True)
        self._entries_at.mkdir(parents=True, exist_ok=True)
        with self._changed:
            for folder in sorted(self._entries_at.iterdir(), key=lambda each: each.stat().st_mtime):
                name = folder.name.partition("-")[0]
                if name in self._entries:  # the older of two was still being read
                    self._drop(name)
                self._entries[name] = _entry(folder, checked=float("-inf"))
            self._make_room()

    def _complete(self, key: SeriesKey, source: Source, uid: str | None) -> Entry | None:
        """The series, if it is here and as the archive has it; it is the caller's to let go."""
        with self._changed:
            entry = self._entries.get(key.folder)
            if entry is None:
                return None
            self._entries.move_to_end(key.folder)
            entry.readers += 1
            age = self._clock() - entry.checked
        lacking = uid is not None and uid not in entry.uids
        if age < (_AGAIN_S if lacking else self._fresh_s):
            return entry
        try:
            same = source.listed() == entry.uids
        except BaseException:
            self.release(entry)
            raise
        if same:
            entry.checked = self._clock()
            with suppress(OSError):
                os.utime(entry.folder)
            return entry
        self.release(entry)
        with self._changed:
            if self._entries.get(key.folder) is entry:
                self._drop(key.folder)
        return None

    # what comes in

    def _while_filling(self, key: SeriesKey, source: Source, cancel: Cancellation, uid: str | None) -> BinaryIO | None:
        """Wait for the series, or for one instance of it; None once it may be complete."""
        with self._changed:
            if key.folder in self._entries:
                return None
            filling = self._fillings.get(key.folder) or self._start(key, source, uid)
            filling.waiting += 1
        try:
            return self._waited(filling, cancel, uid)
        except CancelledError:
            with self._changed:
                if filling.waiting == 1:  # nobody else waits for it
                    filling.cancel.set()
            raise
        finally:
            with self._changed:
                filling.waiting -= 1

    def _waited(self, filling: _Filling, cancel: Cancellation, uid: str | None) -> BinaryIO | None:
        while True:
            if uid is not None and (file := filling.opened(uid)):
                return file
            with self._changed:
                if filling.error is not None and not isinstance(filling.error, CancelledError):
                    raise filling.error
                if filling.done:  # or ended because the others went away: it begins anew
                    return None
                if cancel.is_set():
                    raise CancelledError("the client went away")
                self._changed.wait(_LOOK_S)

    def _start(self, key: SeriesKey, source: Source, first: str | None) -> _Filling:
        self._number += 1
        filling = _Filling(self._filling_at / f"{key.folder}-{self._number}")
        self._fillings[key.folder] = filling
        self._threads.submit(self._fill, key, source, filling, first)
        return filling

    def _fill(self, key: SeriesKey, source: Source, filling: _Filling, first: str | None) -> None:
        """In a thread of the cache's own, so that who asked first may go; an error is everybody's who waits."""
        entry: Entry | None = None
        error: IODeepError | None = None
        try:
            entry = self._fetched(key, source, filling, first)
        except IODeepError as caught:
            error = filling.no_room or caught
        except Exception as defect:
            error = IODeepError(f"a series could not be fetched: {defect!r}")
        shutil.rmtree(filling.folder, ignore_errors=True)
        with self._changed:
            del self._fillings[key.folder]
            if entry is not None:
                self._entries[key.folder] = entry
                filling.bytes = 0
                self._make_room()
            filling.done, filling.error = True, error
            self._changed.notify_all()

    def _fetched(self, key: SeriesKey, source: Source, filling: _Filling, first: str | None) -> Entry:
        with _told_as_ours(filling.folder):
            filling.folder.mkdir(parents=True)
        count = _Count(self, filling)
        if first is not None:
            self._fetch_first(first, source, filling, count)
        listed = source.listed()
        if not listed:
            raise NotThereError(
                f"the archive has nothing of series {key.series} of study {key.study}", remedy="Check the UIDs."
            )
        source.fetch((), filling.folder / "all", count, filling.cancel)
        shutil.rmtree(filling.folder / "first", ignore_errors=True)
        with _told_as_ours(filling.folder):
            target = self._entries_at / f"{key.folder}-{time.time_ns()}"
            (filling.folder / "all").rename(target)
            return _entry(target, self._clock())

    def _fetch_first(self, uid: str, source: Source, filling: _Filling, count: _Count) -> None:
        """What somebody waits for, before the rest is even listed; where it can't be had, the list will tell why."""
        try:
            source.fetch((uid,), filling.folder / "first", count, filling.cancel)
        except (CancelledError, LocalStorageError):
            raise
        except IODeepError:
            shutil.rmtree(filling.folder / "first", ignore_errors=True)
        with self._changed:
            self._changed.notify_all()
        count.next()

    def grown(self, filling: _Filling, held: int) -> None:
        """So many bytes of it are here; others go, or the fetch is ended where none may."""
        with self._changed:
            filling.bytes = held
            self._make_room()
            if self._most and self._total() > self._most:
                filling.cancel.set()
                filling.no_room = LocalStorageError(
                    "the gateway's cache has no room for this series",
                    expected=f"at most {self._most} bytes (serve.http.gateway_cache_bytes)",
                    found=f"{held} bytes of it so far, beside series that are being read",
                    remedy="Raise gateway_cache_bytes, or try again when less is read at once.",
                )
                raise filling.no_room
            self._changed.notify_all()

    # room

    def _total(self) -> int:
        complete = sum(entry.bytes for entry in (*self._entries.values(), *self._leaving))
        return complete + sum(filling.bytes for filling in self._fillings.values())

    def _make_room(self) -> None:
        if not self._most:
            return
        unread = [name for name, entry in self._entries.items() if not entry.readers]
        for name in unread:
            if self._total() <= self._most:
                return
            self._drop(name)

    def _drop(self, name: str) -> None:
        """Out of the books; off the disk at once, or when the last reader has gone."""
        entry = self._entries.pop(name)
        if entry.readers:
            self._leaving.append(entry)
        else:
            _remove(entry.folder)


class _Count:
    """Progress of a fetch as bytes on our disk."""

    def __init__(self, cache: SeriesCache, filling: _Filling) -> None:
        self._cache = cache
        self._filling = filling
        self._before = self._bytes = self._instances = 0

    def next(self) -> None:
        """Another fetch begins."""
        self._before, self._bytes, self._instances = self._held, 0, 0

    @property
    def _held(self) -> int:
        return self._before + self._bytes + self._instances * _OVERHEAD

    def __call__(self, progress: Progress) -> None:
        if progress.unit == "bytes":
            self._bytes = progress.done
        else:
            self._instances = progress.done
            if not self._bytes:
                self._bytes = _size(self._filling.folder) - self._before
        self._cache.grown(self._filling, self._held)


def _entry(folder: Path, checked: float) -> Entry:
    return Entry(folder, _size(folder), checked, frozenset(path.stem for path in folder.glob("*.dcm")))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.dcm"))


def _opened(entry: Entry, uid: str) -> BinaryIO:
    if uid not in entry.uids:
        raise NotThereError(f"the archive has no instance {uid} in this series", remedy="Check the UIDs.")
    return entry.path(uid).open("rb")


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _told_as_ours(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LocalStorageError(
            f"the gateway's cache {folder} cannot be written: {error.strerror}", remedy="Make room on this disk."
        ) from error
