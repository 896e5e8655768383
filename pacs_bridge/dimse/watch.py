"""How long a peer may be silent, and who may end the work: every wait of this folder is a short one that asks here.

A stalled peer is told by silence alone, never by how long the whole transfer takes: a 3 GB model on a slow line is fine.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from iodeep.errors import ArchiveUnreachableError, CancelledError
from iodeep.ports import Cancellation

POLL_S = 0.1
"""Longest single wait on a socket, and so the longest that a cancellation goes unseen."""


class Watch:
    """Watches one operation; several threads may share it (a C-MOVE and the receiver of its sub-operations)."""

    def __init__(
        self, seconds: float, cancel: Cancellation | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._cancel = cancel
        self._clock = clock
        self._last = clock()
        self._failure: Exception | None = None

    def touch(self, count: int = 0) -> None:  # noqa: ARG002 - for watches that measure the pace
        """The peer gave a sign of life: ``count`` bytes moved."""
        self._last = self._clock()

    def fail(self, failure: Exception) -> None:
        """Another thread of the same operation cannot go on; the next :meth:`check` raises its reason."""
        self._failure = self._failure or failure

    def ask(self, doing: str) -> None:
        """Raise where someone asked for the end, or another thread failed."""
        if self._failure is not None:
            raise self._failure
        if self._cancel is not None and self._cancel.is_set():
            raise CancelledError(f"cancelled while {doing}")

    def check(self, peer: str, doing: str) -> None:
        """Raise as :meth:`ask` does, and where the peer has been silent for too long."""
        self.ask(doing)
        if self._clock() - self._last > self._seconds:
            raise ArchiveUnreachableError(
                f"{peer} gave no sign of life for {self._seconds:g} s while {doing}",
                remedy="See whether the archive or the network is overloaded, or raise timeout_s for this archive.",
            )
