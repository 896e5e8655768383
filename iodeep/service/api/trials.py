"""Trials of models that are not approved are shown to administrators alone: to others they are not there."""

from __future__ import annotations

from iodeep.serve_settings import UserRole
from iodeep.service.access import Principal
from iodeep.service.api.problems import NotFoundError
from iodeep.service.jobs import JobRecord


def sees_trials(caller: Principal) -> bool:
    """Whether trials are shown to the caller."""
    return caller.may(UserRole.ADMINISTRATOR)


def shown(record: JobRecord, *, trials: bool) -> JobRecord:
    """The record, where the caller may see it. Errors: :class:`NotFoundError`, as for a job that isn't there."""
    if record.request.shadow and not trials:
        raise NotFoundError(
            f"there is no job {record.job_id}", remedy="GET /api/v1/jobs lists the jobs that are known."
        )
    return record
