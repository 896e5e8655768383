"""What an administrator sees at one look; everything comes from the board, the archives' last answers and the disk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, Field

from iodeep.service.api.archive_state import ArchiveState
from iodeep.service.api.figures import ModelUse, Reason, Span, models_used, reasons, records_since, span_of
from iodeep.service.intake_counters import IntakeCounters, read_counters
from iodeep.service.jobs import JobBoard, JobFilter, JobRecord, JobState
from iodeep.service.serving import ServeContext

_MOST_WAITING = 500


class WorkerState(BaseModel):
    """A worker as the board knows it."""

    worker: str
    host: str
    state: str = Field(description="`idle`, `busy` or `dead`.")
    job_id: str | None
    last_seen: str | None


class DiskState(BaseModel):
    """The disk of the service's data folder."""

    free_bytes: int
    total_bytes: int
    least_free_bytes: int = Field(description="Below it, C-STORE is answered with A700 (Out of Resources).")

    @property
    def has_room(self) -> bool:
        """Whether series are still taken."""
        return self.free_bytes > self.least_free_bytes


class FailedSelfTest(BaseModel):
    """A model that a host does not run, because its self-test failed there."""

    model: str
    model_uid: str
    host: str
    runtime: str
    when: datetime
    sentence: str


class Overview(BaseModel):
    """The service at this moment."""

    now: datetime
    counts: dict[JobState, int]
    oldest_waiting_s: float | None = Field(description="How long the longest waiting job has waited.")
    workers: list[WorkerState]
    hour: Span
    day: Span = Field(description="The last 24 hours.")
    per_hour: list[int] = Field(description="Jobs done in each of the last 24 hours, the oldest first.")
    models: list[ModelUse] = Field(description="Models used in the last 24 hours.")
    refused: list[Reason] = Field(description="Why no model fitted, in the last 24 hours.")
    failed: list[Reason] = Field(description="Why jobs failed, in the last 24 hours.")
    self_tests_failed: list[FailedSelfTest] = Field(description="Models that hosts don't run, the newest first.")
    archives: list[ArchiveState]
    disk: DiskState
    intake: IntakeCounters | None = Field(description="What came in over DIMSE; null where no intake runs here.")


def disk_of(context: ServeContext) -> DiskState:
    """Free space where series are received."""
    usage = shutil.disk_usage(_existing(context.folders.spool))
    return DiskState(
        free_bytes=usage.free, total_bytes=usage.total, least_free_bytes=context.serve.arrivals.least_free_bytes
    )


def _existing(path: Path) -> Path:
    return next(each for each in (path, *path.absolute().parents) if each.exists())


def oldest_waiting_s(board: JobBoard, now: datetime) -> float | None:
    """How long the longest waiting job has waited, among the newest 500 that wait."""
    waiting = board.list(JobFilter(states=frozenset({JobState.WAITING}), shadow=False), limit=_MOST_WAITING)
    return max(((now - row.created).total_seconds() for row in waiting), default=None)


def workers_of(board: JobBoard) -> list[WorkerState]:
    """Workers that are known."""
    return [
        WorkerState(
            worker=row.get("worker", ""),
            host=row.get("host", ""),
            state=row.get("state", ""),
            job_id=row.get("job_id") or None,
            last_seen=row.get("last_seen") or None,
        )
        for row in board.workers()
    ]


def failed_self_tests(board: JobBoard) -> list[FailedSelfTest]:
    """Of all hosts that share the database."""
    return [
        FailedSelfTest(
            model=each.name,
            model_uid=each.sop_instance_uid,
            host=each.host,
            runtime=str(each.runtime),
            when=each.when,
            sentence=each.sentence,
        )
        for each in board.failed_self_tests()
    ]


def overview(context: ServeContext, board: JobBoard, archives: list[ArchiveState]) -> Overview:
    """Everything at one look; blocks on the database."""
    now = datetime.now(UTC)
    day = records_since(board, now - timedelta(days=1))
    return Overview(
        now=now,
        counts={state: board.counts().get(state, 0) for state in JobState},
        oldest_waiting_s=oldest_waiting_s(board, now),
        workers=workers_of(board),
        hour=span_of(day, now - timedelta(hours=1)),
        day=span_of(day, now - timedelta(days=1)),
        per_hour=_per_hour(day, now),
        models=models_used(day),
        refused=reasons(day, JobState.REFUSED),
        failed=reasons(day, JobState.FAILED),
        self_tests_failed=failed_self_tests(board),
        archives=archives,
        disk=disk_of(context),
        intake=read_counters(context.folders.running),
    )


def _per_hour(records: Sequence[JobRecord], now: datetime) -> list[int]:
    hours = [0] * 24
    for row in records:
        if row.state is JobState.DONE and row.finished is not None:
            ago = int((now - row.finished).total_seconds() // 3600)
            if 0 <= ago < 24:
                hours[23 - ago] += 1
    return hours
