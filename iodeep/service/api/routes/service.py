"""How the service does: health, readiness, version, figures, archives, the daily summary, the audit log."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from iodeep import __version__
from iodeep.errors import IODeepError
from iodeep.service.api.archive_state import ArchiveState
from iodeep.service.api.figures import DaySummary, bounds_of, day_summary, records_since
from iodeep.service.api.openapi import OPEN
from iodeep.service.api.overview import Overview, disk_of, overview
from iodeep.service.api.parameters import Day, Moment, Uid, Words, within_reach
from iodeep.service.api.state import Administrator, ApiState, State, Viewer
from iodeep.service.audit import AuditEvent, AuditFilter, EventKind, RecordedEvent, read_events

router = APIRouter(tags=["service"])
open_router = APIRouter(tags=[OPEN])

_READY_DATABASE_S = 5.0
_EARLIEST_DAY, _LATEST_DAY = date(1990, 1, 1), date(2200, 1, 1)


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether work can be taken and done; nothing in it names the site."""

    ready: bool
    database: bool
    disk: bool = Field(description="Whether there is room for series to come in.")
    archives: int
    archives_answering: int


class SignIn(BaseModel):
    """How people sign in here."""

    api_key: bool = True
    provider: bool = Field(description="Whether an OpenID Connect provider is set up: `/auth/oidc/start`.")


class Version(BaseModel):
    """What runs here."""

    version: str
    api: str = "v1"


class AuditEntry(BaseModel):
    """An event of the audit log (PS3.15 A.5) with its place in the chain of hashes."""

    sequence: int
    hash: str
    process: str
    when: datetime
    kind: EventKind
    outcome: str
    user: str
    address: str
    action: str
    patient_id: str
    study_instance_uids: list[str]
    model_uids: list[str]
    instances: int | None
    detail: str


class AuditList(BaseModel):
    """Events, the newest first."""

    items: list[AuditEntry]


@open_router.get("/health", operation_id="getHealth", summary="Is it there?")
async def health() -> Health:
    """The process answers; nothing else is looked at. For a supervisor's liveness check."""
    return Health()


@open_router.get(
    "/readiness",
    operation_id="getReadiness",
    summary="Can it work?",
    responses={503: {"model": Readiness, "description": "It cannot take work now."}},
)
async def readiness(state: State, response: Response) -> Readiness:
    """Whether the database answers, there is room on the disk, and an archive answered in the last half minute."""
    found = await _readiness(state)
    response.status_code = HTTPStatus.OK if found.ready else HTTPStatus.SERVICE_UNAVAILABLE
    return found


@open_router.get("/sign-in", operation_id="getSignIn", summary="How to sign in")
async def sign_in(state: State) -> SignIn:
    """What the pages offer to somebody who is not signed in."""
    oidc = state.context.serve.access.oidc
    return SignIn(provider=oidc is not None and bool(oidc.client_id))


async def _readiness(state: ApiState) -> Readiness:
    archives, database = await asyncio.gather(state.health.fresh(), _database_answers(state))
    answering = sum(each.answers is True for each in archives)
    has_room = disk_of(state.context).has_room
    return Readiness(
        ready=database and has_room and (answering > 0 or not archives),
        database=database,
        disk=has_room,
        archives=len(archives),
        archives_answering=answering,
    )


async def _database_answers(state: ApiState) -> bool:
    try:
        await state.database.run(state.board.counts, seconds=_READY_DATABASE_S)
    except IODeepError:
        return False
    return True


@router.get("/version", operation_id="getVersion", summary="What runs here")
async def version(_caller: Viewer) -> Version:
    """The software's version."""
    return Version(version=__version__)


@router.get("/archives", operation_id="listArchives", summary="Do the archives answer?")
async def archives(state: State, _caller: Viewer) -> list[ArchiveState]:
    """Each archive of `iodeep.toml`, and what it answered when it was last asked (every half minute at most)."""
    return await state.health.fresh()


@router.get("/overview", operation_id="getOverview", summary="The service at this moment")
async def look(state: State, _caller: Viewer) -> Overview:
    """What the administrator's page shows: queue, workers, throughput, latencies, reasons, models, archives, disk."""
    known = await state.health.fresh()
    return await state.database.shared("overview", overview, state.context, state.board, known)


@router.get("/summary", operation_id="getSummary", summary="A day's summary")
async def summary(
    state: State,
    _caller: Viewer,
    day: Annotated[Day | None, Query(description="Today where left out.", examples=["2026-11-21"])] = None,
) -> DaySummary:
    """Series seen, jobs done, refused and failed by reason, latencies: one day in the service's time zone."""
    wanted = min(max(day or datetime.now(UTC).astimezone().date(), _EARLIEST_DAY), _LATEST_DAY)
    return await state.database.shared(("summary", wanted), _summary, state, wanted)


def _summary(state: ApiState, day: date) -> DaySummary:
    return day_summary(records_since(state.board, bounds_of(day)[0]), day)


@router.get("/audit", operation_id="listAuditEvents", summary="The audit log")
async def audit(
    request: Request,
    state: State,
    caller: Administrator,
    since: Annotated[Moment | None, Query()] = None,
    until: Annotated[Moment | None, Query()] = None,
    user: Annotated[Words | None, Query()] = None,
    patient_id: Annotated[Words | None, Query()] = None,
    study: Annotated[Uid | None, Query(description="Study Instance UID")] = None,
    kind: Annotated[list[EventKind] | None, Query(max_length=11)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> AuditList:
    """Who did what to whose data, the newest first; that the log was looked at is an event of its own.

    For administrators. `iodeep audit verify` proves that no event was altered or taken out.
    """
    await state.record(
        AuditEvent(
            EventKind.QUERY,
            user=caller.name,
            address=request.client.host if request.client else "",
            detail="audit log",
        )
    )
    wanted = AuditFilter(
        since=within_reach(since),
        until=within_reach(until),
        user=user or "",
        patient_id=patient_id or "",
        study_instance_uid=study or "",
        kinds=frozenset(kind or ()),
    )
    rows = await state.database.run(read_events, state.context.folders.audit, wanted, limit)
    return AuditList(items=[_entry(row) for row in rows])


def _entry(row: RecordedEvent) -> AuditEntry:
    event = row.event
    return AuditEntry(
        sequence=row.sequence,
        hash=row.hash,
        process=row.process,
        when=event.when,
        kind=event.kind,
        outcome=event.outcome.name.casefold(),
        user=event.user,
        address=event.address,
        action=event.action,
        patient_id=event.patient_id,
        study_instance_uids=list(event.study_instance_uids),
        model_uids=list(event.model_uids),
        instances=event.instances,
        detail=event.detail,
    )
