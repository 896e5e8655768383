"""A job board in memory, for tests of what asks for and shows jobs; the test plays the worker through ``change``."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from iodeep.errors import InputError
from iodeep.service.jobs import JobFilter, JobRecord, JobRequest, JobState
from iodeep.service.self_testing import SelfTestResult

ENDED_EARLY = (JobState.FAILED, JobState.REFUSED, JobState.CANCELLED)


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


class FakeBoard:
    """What :class:`iodeep.service.jobs.JobBoard` promises, kept in a dictionary."""

    def __init__(self, clock: Callable[[], datetime] = now) -> None:
        self._clock = clock
        self._jobs: dict[str, JobRecord] = {}
        self._changed = threading.Condition()
        self._revision = 0
        self._workers: list[Mapping[str, str]] = []
        self.self_tests_failed: tuple[SelfTestResult, ...] = ()
        self.closed = False

    def submit(self, request: JobRequest) -> tuple[JobRecord, bool]:
        """The job, and whether it is new."""
        with self._changed:
            known = self._jobs.get(request.job_id)
            if known is not None:
                return known, False
            moment = self._clock()
            record = JobRecord(
                job_id=request.job_id, request=request, state=JobState.WAITING, created=moment, updated=moment
            )
            return self._put(record), True

    def get(self, job_id: str) -> JobRecord:
        """One job."""
        with self._changed:
            return self._known(job_id)

    def list(self, wanted: JobFilter | None = None, *, limit: int = 100, offset: int = 0) -> Sequence[JobRecord]:
        """Jobs without decisions, the newest change first."""
        with self._changed:
            found = [each for each in self._jobs.values() if wanted is None or _wanted(wanted, each)]
        found.sort(key=lambda each: each.revision, reverse=True)
        return [each.model_copy(update={"decision": None}) for each in found[offset : offset + limit]]

    def counts(self) -> Mapping[JobState, int]:
        """How many jobs are in each state."""
        with self._changed:
            found = Counter(each.state for each in self._jobs.values())
        return {state: found[state] for state in JobState}

    def cancel(self, job_id: str) -> JobRecord:
        """Ends at once."""
        with self._changed:
            record = self._known(job_id)
            if record.state.final:
                raise InputError(f"job {job_id} has ended", found=record.state.value)
            return self._put(record.model_copy(update={"state": JobState.CANCELLED, "finished": self._clock()}))

    def retry(self, job_id: str) -> JobRecord:
        """Waits again."""
        with self._changed:
            record = self._known(job_id)
            if record.state not in ENDED_EARLY:
                raise InputError(f"job {job_id} cannot be begun again", found=record.state.value)
            return self._put(
                record.model_copy(update={"state": JobState.WAITING, "finished": None, "attempts": 0, "failure": None})
            )

    def follow(self, job_id: str, after_revision: int = -1) -> Iterator[JobRecord]:
        """Each change; blocks between changes, until a final state."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda seen=after_revision: self._known(job_id).revision > seen)  # type: ignore[misc]
                record = self._known(job_id)
            after_revision = record.revision
            yield record
            if record.state.final:
                return

    def workers(self) -> Sequence[Mapping[str, str]]:
        """Those that the test set."""
        return list(self._workers)

    def failed_self_tests(self) -> Sequence[SelfTestResult]:
        return self.self_tests_failed

    def close(self) -> None:
        """Noted."""
        self.closed = True

    def change(self, job_id: str, **fields: Any) -> JobRecord:
        """What a worker would have written: ``change(job_id, state=JobState.DONE, results=(...))``."""
        with self._changed:
            return self._put(self._known(job_id).model_copy(update=fields))

    def set_workers(self, workers: Sequence[Mapping[str, str]]) -> None:
        """What ``workers`` answers from now on."""
        self._workers = list(workers)

    def _known(self, job_id: str) -> JobRecord:
        if job_id not in self._jobs:
            raise InputError(f"there is no job {job_id}")
        return self._jobs[job_id]

    def _put(self, record: JobRecord) -> JobRecord:
        self._revision += 1
        changed = record.model_copy(update={"revision": self._revision, "updated": self._clock()})
        self._jobs[record.job_id] = changed
        self._changed.notify_all()
        return changed


def _wanted(wanted: JobFilter, record: JobRecord) -> bool:
    request = record.request
    return (
        (wanted.states is None or record.state in wanted.states)
        and wanted.study_instance_uid in (None, request.study_instance_uid)
        and wanted.series_instance_uid in (None, request.series_instance_uid)
        and wanted.priority in (None, request.priority)
        and wanted.shadow in (None, request.shadow)
        and (wanted.since is None or record.updated >= wanted.since)
    )
