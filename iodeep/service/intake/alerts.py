"""Refusals become security alerts of the audit log (PS3.15 A.5.3.11), each no more than once a minute and not without end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from iodeep.service.audit import AuditEvent, AuditSink, EventKind, Outcome

_AGAIN_S = 60.0
_MOST = 256
"""Different refusals that are kept apart; a peer that thinks up more gets one alert for all of them."""


class Alerts:
    """Shared by the threads of all associations."""

    def __init__(self, audit: AuditSink, clock: Callable[[], float] = time.monotonic) -> None:
        self._audit = audit
        self._clock = clock
        self._lock = threading.Lock()
        self._told: dict[tuple[str, str], float] = {}

    def refused(self, sender: str, address: str, reason: str) -> None:
        """Record it, unless the same was recorded just now."""
        if self._is_news((address, reason)):
            self._audit.record(
                AuditEvent(
                    kind=EventKind.SECURITY_ALERT,
                    outcome=Outcome.MINOR_FAILURE,
                    user=sender or "unknown",
                    address=address,
                    detail=reason,
                )
            )

    def _is_news(self, what: tuple[str, str]) -> bool:
        now = self._clock()
        with self._lock:
            self._told = {key: when for key, when in self._told.items() if now - when < _AGAIN_S}
            if what in self._told or len(self._told) >= _MOST:
                return False
            self._told[what] = now
            return True
