"""A job's row in the database <-> what is known of it. Whatever a column holds is JSON, a number or a plain word."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from iodeep.service.jobs.database import jobs
from iodeep.service.jobs.record import Failure, JobProgress, JobRecord, JobState, ResultRef
from iodeep.service.jobs.request import JobRequest

IN_LISTS = [column for column in jobs.columns if column.name != "decision"]
"""What a list reads: decisions are long."""


def new_row(request: JobRequest, moment: float) -> dict[str, Any]:
    """The row of a job that was asked for at ``moment``."""
    return {
        "job_id": request.job_id,
        "request": request.model_dump_json(),
        "study": request.study_instance_uid,
        "series": request.series_instance_uid,
        "priority": request.priority.value,
        "shadow": request.shadow,
        "state": JobState.WAITING.value,
        "revision": 0,
        "created": moment,
        "updated": moment,
    }


def record_of(row: Mapping[str, Any]) -> JobRecord:
    """The record that a row holds, without the decision where the row was read without it."""
    return JobRecord(
        job_id=row["job_id"],
        request=JobRequest.model_validate_json(row["request"]),
        state=JobState(row["state"]),
        created=_moment(row["created"]),
        updated=_moment(row["updated"]),
        started=_moment_or_none(row["started"]),
        finished=_moment_or_none(row["finished"]),
        next_try=_moment_or_none(row["next_try"]),
        worker=row["worker"],
        attempts=row["attempts"],
        progress=JobProgress.model_validate_json(row["progress"]) if row["progress"] else None,
        failure=Failure.model_validate_json(row["failure"]) if row["failure"] else None,
        model_name=row["model_name"],
        model_version=row["model_version"],
        model_uid=row["model_uid"],
        decision=_document(row.get("decision")),
        results=tuple(ResultRef.model_validate(each) for each in _document(row["results"]) or ()),
        findings=tuple(_document(row["findings"]) or ()),
        warnings=tuple(_document(row["warnings"]) or ()),
        seconds=_document(row["seconds"]) or {},
        revision=row["revision"],
    )


def as_column(value: Any) -> Any:
    """A value as its column takes it."""
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    if isinstance(value, Mapping):
        return json.dumps(value, default=str)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return json.dumps([each.model_dump(mode="json") if isinstance(each, BaseModel) else each for each in value])
    return value


def _document(text: str | None) -> Any:
    return json.loads(text) if text else None


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _moment_or_none(seconds: float | None) -> datetime | None:
    return None if seconds is None else _moment(seconds)
