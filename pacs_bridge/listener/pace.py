"""How slow a peer may be: silent for ``idle_s``, or so slow that a message would never end.

A peer that sends a byte now and then is always alive and holds its association for ever; so beside the silence, the pace
of each message is watched.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from iodeep.errors import ArchiveUnreachableError, CancelledError
from pacs_bridge.dimse.watch import Watch

SLOWEST = 1024
"""Bytes a second that a message has to have on the average, after its first ``idle_s``."""


class Pace(Watch):
    """Watches one association; each message starts it anew. ``closing`` ends it between two messages."""

    def __init__(self, idle_s: float, closing: threading.Event, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(idle_s, None, clock)
        self._idle_s = idle_s
        self._closing = closing
        self.renew(idle_s)

    def renew(self, allowed_s: float | None = None) -> None:
        """A new message may begin: it has ``allowed_s`` (or the idle time), and more for each byte that comes."""
        self._moved = 0
        self._ends = self._clock() + (allowed_s or self._idle_s)
        self._last = self._clock()

    def touch(self, count: int = 0) -> None:
        """A sign of life."""
        super().touch(count)
        self._moved += count

    def ask(self, doing: str) -> None:
        """Raise where the message is too slow, and where the listener closes and none has begun."""
        super().ask(doing)
        if self._moved == 0 and self._closing.is_set():
            raise CancelledError("the listener is closing")
        if self._clock() > self._ends + self._moved / SLOWEST:
            raise ArchiveUnreachableError(
                f"the peer was too slow while {doing}: {self._moved} bytes",
                expected=f"a message, with no less than {SLOWEST} bytes a second",
                remedy="Look at the sender's network, or raise serve.listener.idle_s.",
            )
