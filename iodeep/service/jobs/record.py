"""What is known of a job at a moment; everything that a page, the API or the terminal shows comes from here."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from iodeep.service.jobs.request import JobRequest, Priority


class JobState(StrEnum):
    """Where a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    RETRYING = "retrying"
    """What can pass (a PACS that is down) stopped it; it goes on by itself at ``next_try``."""
    DONE = "done"
    REFUSED = "refused"
    """No model fits: an answer, with its reasons."""
    FAILED = "failed"
    """A dead letter: it stays until a person retries it from the step that failed, or its time to be kept is over."""
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in (JobState.DONE, JobState.REFUSED, JobState.FAILED, JobState.CANCELLED)


class Step(StrEnum):
    """The steps of a job, in their order; each may be done twice without doing harm."""

    SELECT = "select"
    FETCH = "fetch"
    VERIFY = "verify"
    RUN = "run"
    BUILD = "build"
    STORE = "store"
    CONFIRM = "confirm"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Failure(_Frozen):
    """Why a step ended."""

    step: Step
    kind: str
    """The error's class (``ArchiveUnreachableError``)."""
    problem: str
    expected: str | None = None
    found: str | None = None
    remedy: str | None = None
    passing: bool = False
    """Whether it was tried again by itself."""


class JobProgress(_Frozen):
    """How far the running step is."""

    step: Step
    done: int = 0
    total: int | None = None
    unit: str = ""


class ResultRef(_Frozen):
    """An instance that the job stored, or found stored."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    modality: str
    """SEG or SR."""


class JobRecord(_Frozen):
    """A job, as it is now."""

    job_id: str
    request: JobRequest
    state: JobState
    created: datetime
    updated: datetime
    started: datetime | None = None
    finished: datetime | None = None
    next_try: datetime | None = None
    worker: str = ""
    """Host and slot that runs or ran it."""
    attempts: int = 0
    progress: JobProgress | None = None
    failure: Failure | None = None
    model_name: str | None = None
    model_version: str | None = None
    model_uid: str | None = None
    decision: dict[str, Any] | None = None
    """The whole decision with its reasons (``Decision.as_document``); left out of lists."""
    results: tuple[ResultRef, ...] = ()
    findings: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: dict[str, float] = {}
    """Time spent per step."""
    revision: int = 0
    """Grows by at least one with every change; followers ask for what is newer."""


class JobFilter(_Frozen):
    """Which jobs a list holds; None lets everything through."""

    states: frozenset[JobState] | None = None
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    priority: Priority | None = None
    since: datetime | None = None
    """Updated at or after."""
    shadow: bool | None = None
    """Only trials of models that are not approved, or none of them."""
