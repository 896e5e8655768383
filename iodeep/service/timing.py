"""Seconds of each stage of a job, in the order in which they ran."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter


class Stopwatch:
    """Adds up the seconds spent in named stages, after those of ``before``."""

    def __init__(self, before: Mapping[str, float] | None = None) -> None:
        self.seconds: dict[str, float] = dict(before or {})

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time inside the block towards ``name``."""
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start
