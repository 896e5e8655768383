"""Asking for a job without knowing how many instances the series has: the job of whoever knew is the same job."""

from __future__ import annotations

from iodeep.service.jobs.board import JobBoard
from iodeep.service.jobs.record import JobFilter, JobRecord, JobState
from iodeep.service.jobs.request import JobRequest

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
