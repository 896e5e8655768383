"""Whether there is room for what comes in: the disk's watermark, and the most that the spool may hold."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

_FRESH_S = 0.2
"""How old the disk's answer may be; what was written since then is counted."""


class Room:
    """Counts what the spool holds and what is being written; shared by all associations."""

    def __init__(
        self,
        folder: Path,
        least_free_bytes: int,
        most_bytes: int | None,
        *,
        free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._least = least_free_bytes
        self._most = most_bytes
        self._ask = free
        self._clock = clock
        self._lock = threading.Lock()
        self._asked = float("-inf")
        self._free = 0
        self._since = 0
        self.held = 0
        """Bytes in the spool; set by who counted them, kept up to date by ``take`` and ``give``."""

    def take(self, count: int) -> str:
        """Count ``count`` bytes more as held; why there is no room for them, or nothing where there is."""
        with self._lock:
            if self._most is not None and self.held + count > self._most:
                return "the spool is full (serve.arrivals.most_bytes)"
            if self._free_now() - count < self._least:
                return "the disk is full (serve.arrivals.least_free_bytes)"
            self.held += count
            self._since += count
            return ""

    def give(self, count: int) -> None:
        """That many bytes were deleted, or not written after all."""
        with self._lock:
            self.held = max(self.held - count, 0)
            self._since -= count

    def _free_now(self) -> int:
        if self._clock() - self._asked > _FRESH_S:
            self._free = self._ask(self._folder)
            self._asked = self._clock()
            self._since = 0
        return self._free - self._since
