"""The cache: one fetch however many ask, never more bytes than allowed, nothing half there, and nothing forgotten."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from iodeep.errors import ArchiveError, CancelledError, LocalStorageError
from iodeep.ports import Cancellation, Progress, ProgressSink
from pacs_bridge.gateway.cache import SeriesCache, SeriesKey
from pacs_bridge.gateway.errors import NotThereError

BYTES = 10_000
NEVER = threading.Event()
WRITING = threading.Lock()
"""Held while a file is written, so that bytes on the disk can be counted meanwhile."""


class Series:
    """A series of ``count`` instances of 10,000 bytes; ``gate`` is waited for before each instance but the first."""

    def __init__(self, name: str, count: int = 3) -> None:
        self.key = SeriesKey("pacs", "1.2", name)
        self.uids = [f"{name}.{number}" for number in range(count)]
        self.gate = threading.Event()
        self.gate.set()
        self.fetches: list[tuple[str, ...]] = []
        self.listings = 0
        self.error: Exception | None = None
        self.cancelled = threading.Event()
        self.after_write: Callable[[], None] = lambda: None

    def listed(self) -> frozenset[str]:
        self.listings += 1
        return frozenset(self.uids)

    def fetch(self, instances: tuple[str, ...], into: Path, progress: ProgressSink, cancel: Cancellation) -> None:
        self.fetches.append(instances)
        if self.error is not None:
            raise self.error
        staging = into / ".incoming-x"
        staging.mkdir(parents=True)
        for number, uid in enumerate(instances or self.uids, start=1):
            while number > 1 and not self.gate.wait(0.01):
                if cancel.is_set():
                    self.cancelled.set()
                    raise CancelledError("cancelled")
            with WRITING:
                progress(Progress("fetch", number * BYTES, None, "bytes"))
                progress(Progress("fetch", number, len(self.uids), "instances"))
                part = staging / "part"
                part.write_bytes(uid.encode().ljust(BYTES, b"."))
                part.rename(staging / f"{uid}.dcm")
                self.after_write()
        for path in staging.iterdir():
            path.rename(into / path.name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cache(folder: Path) -> Iterator[SeriesCache]:
    opened = SeriesCache(folder, 100_000)
    yield opened
    opened.close()


def _held(cache: SeriesCache, series: Series) -> list[str]:
    with cache.series(series.key, series, NEVER) as entry:
        assert all(path.stat().st_size == BYTES for path in entry.paths.values())
        return sorted(entry.paths)


def _on_disk(folder: Path) -> int:
    """A file that moves meanwhile counts once, one that goes not at all."""
    sizes = {}
    for top, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                found = (Path(top) / name).stat()
                sizes[found.st_ino] = found.st_size
    return sum(sizes.values())


def test_many_who_ask_at_once_cause_one_fetch(cache: SeriesCache) -> None:
    series = Series("1")
    series.gate.clear()
    with ThreadPoolExecutor(20) as threads:
        asked = [threads.submit(_held, cache, series) for _ in range(20)]
        series.gate.set()
        assert all(each.result() == series.uids for each in asked)

    assert series.fetches == [()]


def test_the_instance_that_is_asked_for_first_comes_first_and_others_as_they_come(cache: SeriesCache) -> None:
    series = Series("1", count=3)
    series.gate.clear()

    with cache.instance(series.key, "1.2", series, NEVER) as file:
        first = file.read(3)
    with cache.instance(series.key, "1.0", series, NEVER) as file:
        second = file.read(3)

    assert (first, second) == (b"1.2", b"1.0")
    assert series.fetches == [("1.2",), ()]
    series.gate.set()
    assert _held(cache, series) == series.uids


def test_the_size_bound_holds_while_many_series_come_in(folder: Path) -> None:
    most = 8 * BYTES
    cache = SeriesCache(folder, most)
    seen = []

    def ask(number: int) -> bool:
        series = Series(str(number % 7), count=3)
        series.after_write = lambda: seen.append(_on_disk(folder))
        try:
            return len(_held(cache, series)) == 3
        except LocalStorageError:
            return False

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(ask, range(60)))
    cache.close()

    assert any(results)
    assert 3 * BYTES <= max(seen) <= most
    assert cache.bytes == _on_disk(folder) <= most


def test_the_least_recently_used_goes_first(folder: Path) -> None:
    cache = SeriesCache(folder, 7 * BYTES)
    old, used, new = Series("1"), Series("2"), Series("3")
    for series in (used, old, used, new, used, old):
        _held(cache, series)
    cache.close()

    assert (len(used.fetches), len(old.fetches), len(new.fetches)) == (1, 2, 1)


def test_what_is_being_read_stays_until_it_was_read(folder: Path) -> None:
    cache = SeriesCache(folder, 4 * BYTES)
    read, other = Series("1"), Series("2")
    with cache.series(read.key, read, NEVER) as entry:
        with pytest.raises(LocalStorageError, match="gateway_cache_bytes"):
            _held(cache, other)
        assert all(path.exists() for path in entry.paths.values())
    assert _held(cache, other) == other.uids
    cache.close()


def test_a_series_larger_than_the_cache_is_refused_and_leaves_nothing(folder: Path) -> None:
    cache = SeriesCache(folder, 2 * BYTES)
    with pytest.raises(LocalStorageError):
        _held(cache, Series("1", count=9))
    cache.close()

    assert _on_disk(folder) == cache.bytes == 0


def test_without_room_a_series_is_kept_only_while_it_is_read(folder: Path) -> None:
    cache = SeriesCache(folder, 0)
    series = Series("1")
    assert _held(cache, series) == series.uids
    cache.close()

    assert _on_disk(folder) == 0


def test_a_restart_keeps_what_was_complete_and_nothing_else(folder: Path) -> None:
    series = Series("1")
    first = SeriesCache(folder, 100_000)
    _held(first, series)
    first.close()
    half = folder / "incoming" / "half" / "all"
    half.mkdir(parents=True)
    (half / "9.dcm").write_bytes(b"half")

    second = SeriesCache(folder, 100_000)
    assert _held(second, series) == series.uids
    second.close()

    assert series.fetches == [()]
    assert series.listings == 2, "the archive is asked again whether the series is still the same"
    assert not half.exists()


def test_a_series_that_grew_is_fetched_again(folder: Path) -> None:
    now = 0.0
    cache = SeriesCache(folder, 100_000, fresh_s=60, clock=lambda: now)
    series = Series("1")
    _held(cache, series)
    series.uids.append("1.9")
    assert len(_held(cache, series)) == 3
    now = 61.0
    assert len(_held(cache, series)) == 4
    cache.close()


def test_an_instance_that_is_new_is_looked_for_at_once(folder: Path) -> None:
    now = 0.0
    cache = SeriesCache(folder, 100_000, clock=lambda: now)
    series = Series("1")
    _held(cache, series)
    series.uids.append("1.9")
    now = 2.0
    cache.instance(series.key, "1.9", series, NEVER).close()
    with pytest.raises(NotThereError):
        cache.instance(series.key, "1.10", series, NEVER)
    cache.close()


def test_an_error_is_told_to_all_who_wait_and_is_not_kept(cache: SeriesCache) -> None:
    series = Series("1")
    series.error = ArchiveError("out of order")
    with pytest.raises(ArchiveError, match="out of order"):
        _held(cache, series)
    series.error = None

    assert _held(cache, series) == series.uids


def test_the_last_who_goes_away_ends_the_fetch(cache: SeriesCache) -> None:
    series = Series("1")
    series.gate.clear()
    gone, stays = threading.Event(), threading.Event()

    def ask(cancel: threading.Event) -> str:
        try:
            with cache.series(series.key, series, cancel):
                return "held"
        except CancelledError:
            return "gone"

    with ThreadPoolExecutor(2) as threads:
        one, other = threads.submit(ask, gone), threads.submit(ask, stays)
        _until(lambda: len(series.fetches) == 1)
        gone.set()
        assert one.result(10) == "gone"
        assert not series.cancelled.is_set()
        stays.set()
        assert other.result(10) == "gone"
    assert series.cancelled.wait(10)
    series.gate.set()
    assert _held(cache, series) == series.uids


def test_a_file_may_be_read_to_its_end_whatever_becomes_of_the_series(cache: SeriesCache, folder: Path) -> None:
    series = Series("1")
    with cache.instance(series.key, "1.0", series, NEVER) as file:
        _held(cache, series)
        cache.forget(series.key)
        assert _on_disk(folder) == 0
        assert len(file.read()) == BYTES


def _until(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)
