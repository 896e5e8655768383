"""How often one may ask: a window of a minute that slides, for each caller and each address (library ``limits``).

A viewer asks for every frame by itself: what is retrieved over DICOMweb counts a tenth.
"""

from __future__ import annotations

import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.requests import HTTPConnection

from iodeep.serve_settings import HttpSettings
from iodeep.service.access.refusals import TooManyRequests

WHOLE, A_TENTH = 10, 1
"""What a request counts, in tenths."""
_RETRIEVED = "/dicom-web/"
FAILURES_PER_MINUTE = 30
"""Credentials that did not hold, from one address: more are not looked at."""


class RateLimits:
    """Counts in memory; safe from several threads."""

    def __init__(self, settings: HttpSettings) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._of_caller = RateLimitItemPerMinute(WHOLE * settings.requests_per_minute)
        self._of_address = RateLimitItemPerMinute(WHOLE * settings.requests_per_minute_and_address)
        self._failures = RateLimitItemPerMinute(WHOLE * FAILURES_PER_MINUTE)

    def count_caller(self, name: str, weight: int = WHOLE) -> None:
        """One more request of a caller. Errors: :class:`TooManyRequests`."""
        self._count(self._of_caller, "caller", name, weight)

    def count_address(self, address: str, weight: int = WHOLE) -> None:
        """One more request from an address. Errors: :class:`TooManyRequests`."""
        self._count(self._of_address, "address", address, weight)

    def count_failure(self, address: str) -> None:
        """One more credential that did not hold."""
        self._limiter.hit(self._failures, "failure", address, cost=WHOLE)

    def check_failures(self, address: str) -> None:
        """Whether credentials from there are looked at. Errors: :class:`TooManyRequests`."""
        if not self._limiter.test(self._failures, "failure", address, cost=WHOLE):
            raise self._too_many(self._failures, "failure", address)

    def _count(self, item: RateLimitItemPerMinute, kind: str, name: str, weight: int) -> None:
        if not self._limiter.hit(item, kind, name, cost=weight):
            raise self._too_many(item, kind, name)

    def _too_many(self, item: RateLimitItemPerMinute, kind: str, name: str) -> TooManyRequests:
        resets = self._limiter.get_window_stats(item, kind, name).reset_time
        return TooManyRequests(
            f"more than {item.amount // WHOLE} requests in a minute", after_s=max(1, int(resets - time.time() + 0.999))
        )


def weight_of(request: HTTPConnection) -> int:
    """What a request counts."""
    retrieves = request.scope.get("method") == "GET" and str(request.scope.get("path", "")).startswith(_RETRIEVED)
    return A_TENTH if retrieves else WHOLE
