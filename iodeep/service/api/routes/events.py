"""Server-sent events (WHATWG HTML 9.2): a job until it ends, or every job; the id of an event is where to go on from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from iodeep.service.api.feed import Follower, job_changes
from iodeep.service.api.parameters import JobId
from iodeep.service.api.problems import missing_is_not_found
from iodeep.service.api.state import ApiState, State, Viewer
from iodeep.service.api.trials import sees_trials, shown
from iodeep.service.jobs import JobFilter, JobRecord

router = APIRouter(tags=["jobs"])

_HEARTBEAT_S = 15.0
_LONGEST_S = 900.0
"""A stream ends then; the follower asks again from where it was, and its credential is checked anew."""
_MISSED = 500
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_STREAM = {
    "description": "A `job` event for each change: `data` is the job without its decision. A comment every 15 s "
    "says that the stream lives. It ends with the job, or after 15 minutes at the latest: ask again with `Last-Event-ID`.",
    "content": {
        "text/event-stream": {
            "schema": {"type": "string"},
            "example": 'event: job\nid: 4\ndata: {"job_id": "7f9c2ba4e88f827d616045507605853e", "state": "running"}\n\n',
        }
    },
}
Seconds = Annotated[float, Query(ge=0, le=_LONGEST_S, description="End the stream after so long.")]


class EventStream(StreamingResponse):
    """An answer that goes on."""

    media_type = "text/event-stream"


@router.get(
    "/jobs/{job_id}/events",
    operation_id="followJob",
    summary="Follow a job",
    response_class=EventStream,
    responses={
        200: _STREAM,
        204: {"description": "It has ended, and nothing is newer: don't ask again."},
        404: {"description": "No such job."},
    },
)
async def follow_job(
    job_id: JobId,
    state: State,
    caller: Viewer,
    last_event_id: Annotated[
        int, Header(ge=-1, le=2**53, description="The last revision that was seen; -1: none.", alias="Last-Event-ID")
    ] = -1,
    seconds: Seconds = _LONGEST_S,
) -> Response:
    """Each change of the job as it happens, until it ends."""
    with missing_is_not_found():
        record = shown(await state.database.run(state.board.get, job_id), trials=sees_trials(caller))
    if record.state.final and record.revision <= last_event_id:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    return EventStream(_of_job(state, record, last_event_id, seconds), headers=_HEADERS)


async def _of_job(state: ApiState, known: JobRecord, after: int, seconds: float) -> AsyncIterator[str]:
    with state.feed.follow(known.job_id) as follower:
        first = await state.database.run(state.board.get, known.job_id)
        changes = job_changes(follower, first, after, heartbeat_s=_HEARTBEAT_S, longest_s=seconds)
        async for record in changes:
            yield _event(record, str(record.revision)) if record else _HEARTBEAT


@router.get(
    "/events",
    operation_id="followJobs",
    summary="Follow every job",
    response_class=EventStream,
    responses={200: _STREAM},
)
async def follow_all(
    state: State,
    caller: Viewer,
    last_event_id: Annotated[
        float | None,
        Header(
            ge=0,
            le=2**40,
            description="The id of the last event that was seen (seconds since 1970).",
            alias="Last-Event-ID",
        ),
    ] = None,
    seconds: Seconds = _LONGEST_S,
) -> EventStream:
    """Each change of each job; after a break, first what was missed (the newest 500)."""
    trials = sees_trials(caller)
    return EventStream(_of_all(state, last_event_id, seconds, trials), headers=_HEADERS)


async def _of_all(state: ApiState, after: float | None, seconds: float, trials: bool) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    with state.feed.follow() as follower:
        yield _HEARTBEAT
        if after is not None:
            for record in await state.database.run(_missed, state, after, trials):
                yield _event(record, f"{record.updated.timestamp():.6f}")
        while not follower.over and (left := until - loop.time()) > 0:
            yield await _next(follower, min(left, _HEARTBEAT_S), trials)


async def _next(follower: Follower, seconds: float, trials: bool) -> str:
    changes = [each for each in await follower.changes(seconds) if trials or not each.request.shadow]
    return "".join(_event(each, f"{each.updated.timestamp():.6f}") for each in changes) or _HEARTBEAT


def _missed(state: ApiState, after: float, trials: bool) -> list[JobRecord]:
    since = datetime.fromtimestamp(min(after, 2**33), UTC)
    wanted = JobFilter(since=since, shadow=None if trials else False)
    return list(reversed(state.board.list(wanted, limit=_MISSED)))


_HEARTBEAT = ": still here\n\n"


def _event(record: JobRecord, name: str) -> str:
    """One event; JSON without line breaks is one line of data."""
    return f"event: job\nid: {name}\ndata: {record.model_dump_json(exclude={'decision'})}\n\n"
