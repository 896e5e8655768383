"""The seam between everything that asks for or shows jobs and the engine that keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from iodeep.service.jobs.record import JobFilter, JobRecord, JobState
from iodeep.service.jobs.request import JobRequest

if TYPE_CHECKING:
    from iodeep.service.self_testing import SelfTestResult


class JobBoard(Protocol):
    """Asked by the listener, the poller, the API, the worklist and the terminal; safe to use from several threads.

    Opening one doesn't start a worker. Errors: :class:`iodeep.errors.InputError` for a job that isn't there or a
    change that its state doesn't allow; :class:`iodeep.errors.LocalStorageError` where the database doesn't answer.
    """

    def submit(self, request: JobRequest) -> tuple[JobRecord, bool]:
        """The job for this request, and whether it is new; durable once this returns."""

    def get(self, job_id: str) -> JobRecord:
        """One job with its decision."""

    def list(
        self,
        wanted: JobFilter | None = None,
        *,
        limit: int = 100,
        offset: int = 0,
    ) -> Sequence[JobRecord]:
        """Jobs without their decisions, the newest change first."""

    def counts(self) -> Mapping[JobState, int]:
        """How many jobs are in each state."""

    def cancel(self, job_id: str) -> JobRecord:
        """Ask for the end of a job; a running one ends in under a second and stores nothing more."""

    def retry(self, job_id: str) -> JobRecord:
        """Begin a failed, refused or cancelled job again, from the step that it ended in."""

    def follow(self, job_id: str, after_revision: int = -1) -> Iterator[JobRecord]:
        """Each change of a job as it happens, ending with a final state; blocks between changes."""

    def workers(self) -> Sequence[Mapping[str, str]]:
        """Workers that are known: ``worker``, ``host``, ``state`` (idle, busy, dead), ``job_id``, ``last_seen``."""

    def failed_self_tests(self) -> Sequence[SelfTestResult]:
        """Models that a host does not run, because their self-test failed there; the newest first."""

    def close(self) -> None:
        """Let go of the database."""
