"""The board of jobs on the database: usable from any process, whether a worker runs or not.

A job and its place in the queue are written in one transaction, so that what was asked for is either known and queued or neither.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from iodeep.errors import InputError
from iodeep.service.jobs.database import answering, database_engine, make_tables, workers
from iodeep.service.jobs.due import due
from iodeep.service.jobs.durable import DurableJobs
from iodeep.service.jobs.record import JobFilter, JobRecord, JobState, Step
from iodeep.service.jobs.request import JobRequest
from iodeep.service.jobs.table import AGAIN, JobTable
from iodeep.service.jobs.watching import Watcher

if TYPE_CHECKING:
    from iodeep.service.self_testing import SelfTestResult

STEPS = tuple(Step)


def open_board(url: str, *, batch_delay_s: float, dead_after_s: float) -> KeptBoard:
    """The board in the database at ``url`` (see :func:`~iodeep.service.jobs.database.database_url`), its tables made where they lack.

    Errors: :class:`iodeep.errors.LocalStorageError` where the database doesn't answer.
    """
    engine = database_engine(url)
    board = KeptBoard(engine, batch_delay_s=batch_delay_s, dead_after_s=dead_after_s)
    with answering(engine):
        make_tables(engine)
        board.durable.make_tables()
    return board


class KeptBoard:
    """:class:`iodeep.service.jobs.JobBoard` as the database has it."""

    def __init__(self, engine: sa.Engine, *, batch_delay_s: float, dead_after_s: float) -> None:
        self.engine = engine
        self.table = JobTable(engine)
        self.durable = DurableJobs(engine)
        self._batch_delay_s = batch_delay_s
        self._dead_after_s = dead_after_s
        self._watcher = Watcher(self.table)

    def submit(self, request: JobRequest) -> tuple[JobRecord, bool]:
        """The job for this request, and whether it is new; durable once this returns."""
        moment = time.time()
        with answering(self.engine), self.table.begin() as connection:
            new = self.table.insert(connection, request, moment)
            if new:
                self.durable.enqueue(connection, request.job_id, due(request.priority, moment, self._batch_delay_s))
            return self.table.get(request.job_id, connection), new

    def get(self, job_id: str) -> JobRecord:
        """One job with its decision."""
        with answering(self.engine):
            return self.table.get(job_id)

    def list(self, wanted: JobFilter | None = None, *, limit: int = 100, offset: int = 0) -> Sequence[JobRecord]:
        """Jobs without their decisions, the newest change first."""
        with answering(self.engine):
            return self.table.list(wanted or JobFilter(), limit, offset)

    def counts(self) -> Mapping[JobState, int]:
        """How many jobs are in each state."""
        with answering(self.engine):
            return self.table.counts()

    def cancel(self, job_id: str) -> JobRecord:
        """The job is cancelled once this returns; what runs of it ends in under a second and stores nothing more."""
        with answering(self.engine):
            active = [state for state in JobState if not state.final]
            moment = time.time()
            if not self.table.change(
                job_id, active, state=JobState.CANCELLED, finished=moment, next_try=None, claim=None
            ):
                found = self.table.get(job_id)
                raise InputError(f"job {job_id} has ended already", found=found.state.value)
            self.durable.cancel(job_id)
            return self.table.get(job_id)

    def retry(self, job_id: str) -> JobRecord:
        """Begin a failed, refused or cancelled job again, from the step that it ended in."""
        with answering(self.engine):
            found = self.table.get(job_id)
            begun_again = begin_again(self.table, self.durable, job_id, AGAIN, restart_step(found))
            if not begun_again:
                raise InputError(
                    f"job {job_id} cannot be begun again",
                    expected="one that failed, was refused or was cancelled",
                    found=self.table.get(job_id).state.value,
                )
            return self.table.get(job_id)

    def follow(self, job_id: str, after_revision: int = -1) -> Iterator[JobRecord]:
        """Each change of a job as it happens, ending with a final state; blocks between changes."""
        while True:
            record = self.get(job_id)
            if record.revision > after_revision:
                after_revision = record.revision
                yield record
                if record.state.final:
                    return
            with answering(self.engine):
                self._watcher.wait(job_id, after_revision)

    def workers(self) -> Sequence[Mapping[str, str]]:
        """Workers that are known; one that was not seen for long is dead."""
        with answering(self.engine), self.engine.connect() as connection:
            rows = list(connection.execute(sa.select(workers).order_by(workers.c.worker)).mappings())
        return [_worker(dict(row), time.time() - row["last_seen"] > self._dead_after_s) for row in rows]

    def failed_self_tests(self) -> Sequence[SelfTestResult]:
        """Models that a host does not run, because their self-test failed there; the newest first."""
        from iodeep.service.jobs.self_tests import SelfTestTable

        return SelfTestTable(self.engine).failed()

    def close(self) -> None:
        """Let go of the database."""
        self._watcher.close()
        self.durable.close()
        self.engine.dispose()


def restart_step(record: JobRecord) -> int:
    """The step (the first is 1) that a job goes on with: the one that failed, else the one that it was in."""
    step = record.failure.step if record.failure else record.progress.step if record.progress else Step.SELECT
    if record.state is JobState.REFUSED:
        step = Step.SELECT
    return STEPS.index(step) + 1


def begin_again(
    table: JobTable, durable: DurableJobs, job_id: str, states: Sequence[JobState], step: int, **fields: Any
) -> bool:
    """Let an ended job wait again from ``step``; whether it was in one of ``states``.

    Between the two writes it is marked, so that a worker does the second where we don't come to it.
    """
    fresh: dict[str, Any] = {"attempts": 0, "next_try": None, "finished": None, "progress": None, "claim": None}
    if not table.change(job_id, states, state=JobState.WAITING, rewind_to=step, **(fresh | fields)):
        return False
    finish_rewind(table, durable, job_id, step)
    return True


def finish_rewind(table: JobTable, durable: DurableJobs, job_id: str, step: int) -> None:
    """Queue a job that waits, marked, to be begun again; left for later where its last run is just ending."""
    if durable.rewind(job_id, step):
        table.change(job_id, (JobState.WAITING,), rewind_to=None)


def _worker(row: Mapping[str, object], silent: bool) -> Mapping[str, str]:
    return {
        "worker": str(row["worker"]),
        "host": str(row["host"]),
        "state": "dead" if silent and row["state"] != "stopped" else str(row["state"]),
        "job_id": str(row["job_id"]),
        "last_seen": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(float(str(row["last_seen"])))),
    }
