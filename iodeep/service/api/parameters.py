"""Parameters that several routes share, each checked once; a query parameter that a route doesn't know is refused."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import AwareDatetime, BeforeValidator, StringConstraints

from iodeep.service.api.problems import NotFoundError

UID_PATTERN = r"^[0-9]+(\.[0-9]+)*$"
Uid = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=UID_PATTERN)]
"""PS3.5 9.1; leading zeros, which are forbidden and happen, are taken."""
PacsName = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.\-]+$")]
Words = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\\\x00-\x1f\x7f-\x9f]+$")]
"""Text for a DICOM match: no backslash, which separates values, and no control characters (PS3.5 6.2)."""

JobId = Annotated[
    str,
    Path(
        min_length=32,
        max_length=32,
        pattern="^[0-9a-f]{32}$",
        description="The job's id: the same for the same request.",
        examples=["7f9c2ba4e88f827d616045507605853e"],
    ),
]
StudyUid = Annotated[Uid, Path(description="Study Instance UID (0020,000D)", examples=["1.2.826.0.1.3680043.8.498.1"])]
SeriesUid = Annotated[
    Uid, Path(description="Series Instance UID (0020,000E)", examples=["1.2.826.0.1.3680043.8.498.2"])
]
Pacs = Annotated[
    PacsName | None,
    Query(description="An archive's name in `iodeep.toml`; the default one where left out.", examples=["main"]),
]
Limit = Annotated[int, Query(ge=1, le=500, description="How many at most.")]
Offset = Annotated[int, Query(ge=0, le=1_000_000, description="How many to pass over; the answer's `next` has it.")]


def _written_out(given: object) -> object:
    """A date that is written as one: the library would take a number for seconds since 1970, too."""
    if isinstance(given, str) and not _DATE.match(given):
        raise ValueError("not written as RFC 3339 has it")
    return given


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ]|$)", re.ASCII)
Moment = Annotated[AwareDatetime, BeforeValidator(_written_out)]
Day = Annotated[date, BeforeValidator(_written_out)]
Since = Annotated[
    Moment | None,
    Query(description="Changed at or after this moment (RFC 3339, with its zone).", examples=["2026-11-21T00:00:00Z"]),
]

_EARLIEST, _LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def within_reach(moment: datetime | None) -> datetime | None:
    """The moment, moved to where every database and clock can still reckon with it."""
    if moment is None or moment < _EARLIEST:
        return None
    return min(moment, _LATEST)


def next_page(path: str, offset: int, limit: int, more: bool, query: str = "") -> str | None:
    """The address of the next page, or None after the last one."""
    if not more:
        return None
    return f"{path}?{query}{'&' if query else ''}offset={offset + limit}&limit={limit}"


def no_such(what: str, uid: str, where: str) -> NotFoundError:
    """404 for something that an archive does not hold."""
    return NotFoundError(f"{where} has no {what} {uid}", remedy="Check the UID, and the archive that is asked.")
