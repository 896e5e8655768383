"""Jobs: ask for one, list them, look at one and its results, end it, begin it again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Body, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from iodeep.results import SegKind
from iodeep.service.access import Principal
from iodeep.service.api.openapi import PREFIX
from iodeep.service.api.parameters import (
    JobId,
    Limit,
    Offset,
    PacsName,
    Since,
    Uid,
    Words,
    next_page,
    within_reach,
)
from iodeep.service.api.problems import missing_is_not_found, refused_is_conflict
from iodeep.service.api.state import ApiState, Clinician, State, Viewer, archive_name
from iodeep.service.api.trials import sees_trials, shown
from iodeep.service.audit import AuditEvent, EventKind
from iodeep.service.jobs import JobFilter, JobRecord, JobRequest, JobState, Origin, Priority, ResultRef, submit_once

router = APIRouter(prefix="/jobs", tags=["jobs"])


class JobAsk(BaseModel):
    """What is asked for: the model that fits, or a named one, on one series."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "study_instance_uid": "1.2.826.0.1.3680043.8.498.1",
                    "series_instance_uid": "1.2.826.0.1.3680043.8.498.2",
                    "priority": "stat",
                }
            ]
        },
    )

    study_instance_uid: Uid
    series_instance_uid: Uid
    pacs: PacsName | None = Field(default=None, description="The archive with the series; the default one.")
    results_to: PacsName | None = Field(default=None, description="The archive for the results; the same one.")
    model: Words | None = Field(default=None, description="Name, token or UID; left out: the one that fits best.")
    condition: Words | None = Field(default=None, description="The disease that is asked about.")
    segmentation_type: SegKind = SegKind.BINARY
    instances: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="How many instances the series had: one that has grown is another job.",
    )
    priority: Priority = Priority.ROUTINE


class JobPage(BaseModel):
    """Some jobs, the newest change first; each without its decision."""

    items: list[JobRecord]
    next: str | None = Field(description="Address of the next page.")


class JobResults(BaseModel):
    """What a job stored, or found stored."""

    job_id: str
    state: JobState
    results: list[ResultRef]
    findings: list[str] = Field(description="What was measured, in sentences.")


class StateCounts(BaseModel):
    """How many jobs are in each state."""

    counts: dict[JobState, int]


def _request_of(ask: JobAsk, state: ApiState, caller: Principal) -> JobRequest:
    settings = state.context.settings
    pacs = archive_name(settings, ask.pacs)
    return JobRequest(
        study_instance_uid=ask.study_instance_uid,
        series_instance_uid=ask.series_instance_uid,
        pacs=pacs,
        results_to=archive_name(settings, ask.results_to or settings.serve.results_to or pacs),
        model=ask.model,
        condition=ask.condition,
        segmentation_type=ask.segmentation_type.value,
        instances=ask.instances,
        priority=ask.priority,
        origin=Origin.API,
        requested_by=caller.name,
    )


def _event(caller: Principal, request: Request, action: str, detail: str, study: str) -> AuditEvent:
    return AuditEvent(
        EventKind.JOB,
        user=caller.name,
        address=request.client.host if request.client else "",
        action=action,
        study_instance_uids=(study,),
        detail=detail,
    )


@router.post(
    "",
    operation_id="createJob",
    summary="Ask for a job",
    status_code=HTTPStatus.CREATED,
    response_model=JobRecord,
    responses={
        200: {"model": JobRecord, "description": "The same was asked for before: this is that job."},
        201: {"description": "A new job.", "headers": {"Location": {"schema": {"type": "string"}}}},
        404: {"description": "No such archive."},
    },
)
async def create(
    ask: Annotated[JobAsk, Body()], request: Request, response: Response, state: State, caller: Clinician
) -> JobRecord:
    """Ask for a model on a series. The same request is the same job, however often and by whomever it is made."""
    wanted = _request_of(ask, state, caller)
    await state.record(_event(caller, request, "C", f"job {wanted.job_id} asked for", wanted.study_instance_uid))
    record, is_new = await state.database.run(submit_once, state.board, wanted)
    state.database.forget()
    response.status_code = HTTPStatus.CREATED if is_new else HTTPStatus.OK
    response.headers["Location"] = f"{PREFIX}/jobs/{record.job_id}"
    return record


@router.get("", operation_id="listJobs", summary="List jobs", response_model=JobPage)
async def list_jobs(
    state: State,
    caller: Viewer,
    states: Annotated[list[JobState] | None, Query(alias="state", max_length=7, description="May be repeated.")] = None,
    study: Annotated[Uid | None, Query(description="Study Instance UID")] = None,
    series: Annotated[Uid | None, Query(description="Series Instance UID")] = None,
    priority: Priority | None = None,
    since: Since = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> Response:
    """Jobs, the newest change first; trials of models that are not approved for administrators alone."""
    wanted = JobFilter(
        states=frozenset(states) if states else None,
        study_instance_uid=study,
        series_instance_uid=series,
        priority=priority,
        since=within_reach(since),
        shadow=None if sees_trials(caller) else False,
    )
    key = ("jobs", wanted.model_dump_json(), limit, offset)
    body = await state.database.shared(key, _page, state, wanted, limit, offset)
    return Response(body, media_type="application/json")


def _page(state: ApiState, wanted: JobFilter, limit: int, offset: int) -> bytes:
    rows = list(state.board.list(wanted, limit=limit + 1, offset=offset))
    page = JobPage(
        items=rows[:limit],
        next=next_page(f"{PREFIX}/jobs", offset, limit, len(rows) > limit, _query_of(wanted)),
    )
    return page.model_dump_json().encode()


def _query_of(wanted: JobFilter) -> str:
    """The filter as the query that asked for it."""
    pairs = [
        *(("state", state.value) for state in sorted(wanted.states or ())),
        ("study", wanted.study_instance_uid),
        ("series", wanted.series_instance_uid),
        ("priority", wanted.priority.value if wanted.priority else None),
        ("since", wanted.since.isoformat() if wanted.since else None),
    ]
    return urlencode([(name, value) for name, value in pairs if value])


@router.get("/counts", operation_id="countJobs", summary="Count jobs by state", response_model=StateCounts)
async def counts(state: State, _caller: Viewer) -> StateCounts:
    """How many jobs are in each state."""
    found = await state.database.shared("counts", state.board.counts)
    return StateCounts(counts={each: found.get(each, 0) for each in JobState})


@router.get(
    "/{job_id}",
    operation_id="getJob",
    summary="Look at a job",
    response_model=JobRecord,
    responses={404: {"description": "No such job."}},
)
async def get(job_id: JobId, state: State, caller: Viewer) -> Response:
    """The job as it is now, with its decision and every reason for it."""
    trials = sees_trials(caller)
    with missing_is_not_found():
        body = await state.database.shared(("job", job_id, trials), _job, state, job_id, trials)
    return Response(body, media_type="application/json")


def _job(state: ApiState, job_id: str, trials: bool) -> bytes:
    return shown(state.board.get(job_id), trials=trials).model_dump_json().encode()


@router.get(
    "/{job_id}/results",
    operation_id="getJobResults",
    summary="What a job gave",
    responses={404: {"description": "No such job."}},
)
async def results(job_id: JobId, state: State, caller: Viewer) -> JobResults:
    """References to the segmentation and the report in the archive, and what was measured."""
    with missing_is_not_found():
        record = shown(await state.database.run(state.board.get, job_id), trials=sees_trials(caller))
    return JobResults(job_id=job_id, state=record.state, results=list(record.results), findings=list(record.findings))


@router.post(
    "/{job_id}/cancel",
    operation_id="cancelJob",
    summary="End a job",
    responses={404: {"description": "No such job."}, 409: {"description": "It has ended already."}},
)
async def cancel(job_id: JobId, request: Request, state: State, caller: Clinician) -> JobRecord:
    """Ask for its end: a running one ends in under a second and stores nothing more."""
    told = partial(_event, caller, request, "D", f"job {job_id} cancelled")
    return await _changed(state, caller, job_id, told, state.board.cancel)


@router.post(
    "/{job_id}/retry",
    operation_id="retryJob",
    summary="Begin a job again",
    responses={404: {"description": "No such job."}, 409: {"description": "It has not ended, or is done."}},
)
async def retry(job_id: JobId, request: Request, state: State, caller: Clinician) -> JobRecord:
    """Begin a failed, refused or cancelled job again, from the step that it ended in."""
    told = partial(_event, caller, request, "U", f"job {job_id} begun again")
    return await _changed(state, caller, job_id, told, state.board.retry)


async def _changed(
    state: ApiState,
    caller: Principal,
    job_id: str,
    told: Callable[[str], AuditEvent],
    change: Callable[[str], JobRecord],
) -> JobRecord:
    """A person's change of a job: recorded, with the study that it is about, before it is made."""
    with missing_is_not_found():
        before = shown(await state.database.run(state.board.get, job_id), trials=sees_trials(caller))
    await state.record(told(before.request.study_instance_uid))
    with refused_is_conflict():
        record = await state.database.run(change, job_id)
    state.database.forget()
    return record
