"""What a site has seen already, so that neither its clock nor a list of what is revoked ever goes back unnoticed.

The trust policy asks and tells; who keeps it, and where, is the service's matter (:mod:`iodeep.service.trust_memory`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from iodeep.errors import NotTrustedError

CLOCK_SLACK = timedelta(minutes=5)
"""By so much a clock may be put back, as time servers do."""
OTHERS_SLACK = timedelta(days=1)
"""By so much the clocks of those who sign models and lists may be ahead of ours."""


@dataclass(frozen=True)
class Seen:
    """The latest moment that was seen, and of each issuer (type and identifier of its key) the newest list."""

    moment: datetime | None = None
    lists: Mapping[str, datetime] = field(default_factory=dict)

    def with_more(self, other: Seen) -> Seen:
        """The later of both, of everything."""
        moments = [each for each in (self.moment, other.moment) if each is not None]
        lists = dict(self.lists)
        for issuer, issued_at in other.lists.items():
            lists[issuer] = max(issued_at, lists.get(issuer, issued_at))
        return Seen(max(moments, default=None), lists)


class Memory(Protocol):
    """Where it is kept."""

    @property
    def where(self) -> str:
        """How messages name it."""

    def seen(self) -> Seen:
        """All of it. NotTrustedError where it cannot be read: then nobody knows."""

    def keep(self, seen: Seen) -> None:
        """Add to it, as one act. NotTrustedError where it cannot be written."""


def check_clock(memory: Memory, now: datetime) -> None:
    """NotTrustedError where the clock shows a time before one that was seen."""
    latest = memory.seen().moment
    if latest is not None and now < latest - CLOCK_SLACK:
        raise NotTrustedError(
            "the clock of this machine was set back",
            expected=f"{latest:%Y-%m-%d %H:%M} UTC or later, which was seen before",
            found=f"{now:%Y-%m-%d %H:%M} UTC",
            remedy="Set it right (NTP). If it was ahead before and is right now, find out since when, and remove"
            f" {memory.where}. Until then no model runs",
        )


def check_not_older(memory: Memory, issuer: str, issued_at: datetime, where: str) -> None:
    """NotTrustedError where a newer list of the issuer was seen."""
    newest = memory.seen().lists.get(issuer)
    if newest is not None and issued_at < newest:
        raise NotTrustedError(
            f"the list of what is revoked, {where}, is older than one that was seen here: somebody put an old one back",
            expected=f"the one that was signed on {newest:%Y-%m-%d %H:%M} UTC, or a newer one",
            found=f"one of {issued_at:%Y-%m-%d %H:%M} UTC",
            remedy="Put the newest list back, or sign a new one with `iodeep revoke`. Until then no model runs",
        )
