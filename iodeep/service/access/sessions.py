"""Sessions of the pages: a random number in a cookie, and who it stands for in the memory of the API process alone.

A restart signs everybody out. What is kept is a hash, so that no dump of ours holds a number that opens anything.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from iodeep.service.access.principal import Principal

MOST_SESSIONS = 10_000
IDLE_S = 3600.0


@dataclass(frozen=True)
class _Session:
    principal: Principal
    ends_at: float
    idle_at: float
    key_id: str


class Sessions:
    """Who is signed in; bounded, the one that was idle longest gives way."""

    def __init__(self, lasts_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._lasts_s = lasts_s
        self._clock = clock
        self._lock = threading.Lock()
        self._held: OrderedDict[str, _Session] = OrderedDict()

    def begin(self, principal: Principal, key_id: str = "") -> str:
        """A new session's number; ``key_id`` names the API key that it was opened with."""
        number = secrets.token_urlsafe(32)
        now = self._clock()
        with self._lock:
            self._held[_hash(number)] = _Session(principal, now + self._lasts_s, now + IDLE_S, key_id)
            while len(self._held) > MOST_SESSIONS:
                self._held.popitem(last=False)
        return number

    def get(self, number: str) -> tuple[Principal, str] | None:
        """Who it stands for, and the key it was opened with; None where it is over or never was."""
        name, now = _hash(number), self._clock()
        with self._lock:
            held = self._held.pop(name, None)
            if held is None or now >= min(held.ends_at, held.idle_at):
                return None
            self._held[name] = _Session(held.principal, held.ends_at, now + IDLE_S, held.key_id)
            return held.principal, held.key_id

    def end(self, number: str) -> Principal | None:
        """Sign out; who it was."""
        with self._lock:
            held = self._held.pop(_hash(number), None)
        return held.principal if held else None


def _hash(number: str) -> str:
    return hashlib.sha256(number.encode("utf-8", "replace")).hexdigest()
