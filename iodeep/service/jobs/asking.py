"""Asking for a job without knowing how many instances the series has: the job of whoever knew is the same job."""

from __future__ import annotations

import logging

from iodeep.errors import InputError
from iodeep.service.jobs.board import JobBoard
from iodeep.service.jobs.record import JobFilter, JobRecord, JobState
from iodeep.service.jobs.request import JobRequest

_log = logging.getLogger(__name__)
_LOOKED_AT = 50


def submit_once(board: JobBoard, request: JobRequest) -> tuple[JobRecord, bool]:
    """As :meth:`JobBoard.submit`; but a request that counts no instances finds the newest job for the same series and model.

    One that was cancelled, because the series had grown meanwhile, is passed over.
    """
    if request.instances is None:
        known = JobFilter(
            series_instance_uid=request.series_instance_uid, states=frozenset(JobState) - {JobState.CANCELLED}
        )
        for record in board.list(known, limit=_LOOKED_AT):
            if _uncounted(record.request) == _uncounted(request):
                return board.get(record.job_id), False
    return board.submit(request)


def _uncounted(request: JobRequest) -> str:
    return request.model_copy(update={"instances": None}).job_id


def cancel_overtaken(board: JobBoard, newer: JobRecord) -> None:
    """A job on part of the series is worth nothing when there is one on more of it."""
    request = newer.request
    for record in board.list(JobFilter(series_instance_uid=request.series_instance_uid)):
        if not record.state.final and _is_part(record.request, request):
            _log.info("job %s is overtaken by %s, which has more instances", record.job_id, newer.job_id)
            try:
                board.cancel(record.job_id)
            except InputError:  # it ended meanwhile
                continue


def _is_part(older: JobRequest, newer: JobRequest) -> bool:
    """Whether the two differ in the number of instances alone, and the older has fewer."""
    if older.instances is None or newer.instances is None or older.instances >= newer.instances:
        return False
    return older.model_copy(update={"instances": newer.instances}).job_id == newer.job_id
