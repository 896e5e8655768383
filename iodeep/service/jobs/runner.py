"""One job from its claim to its end, as a worker does it. Whatever happens in it becomes the job's state, and never ends the worker.

What a step gave, an error too, is kept by the engine before anything follows from it: a job that is taken up again in another process
goes the same way up to the step that it was in.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from iodeep import ports
from iodeep.errors import CancelledError, SelfTestError
from iodeep.serve_settings import JobSettings
from iodeep.service.jobs.heart import other_hosts
from iodeep.service.jobs.outcome import Patience, failure_of, next_try_s, patience_with, worn_out
from iodeep.service.jobs.record import Failure, JobProgress, JobRecord, JobState, ResultRef, Step
from iodeep.service.jobs.table import JobTable, LostClaimError

if TYPE_CHECKING:
    from iodeep.service.jobs.steps import Document, JobSteps

log = logging.getLogger(__name__)

PROGRESS_S = 0.5
"""No progress is written sooner after another."""
NOT_OURS = "not ours"
ELSEWHERE_S = 0.5
"""How long a job that another host has to do is left to it, before it is looked at here again."""
_PAUSE_S = (0.1, 2.0)
T = TypeVar("T")
Once = Callable[[str, Callable[[], dict[str, Any]]], dict[str, Any]]
MakeSteps = Callable[[JobRecord, ports.ProgressSink, ports.Cancellation], "JobSteps"]


@dataclass
class Running:
    """The job that is being done, and how to end it."""

    record: JobRecord
    claim: str
    cancel: threading.Event = field(default_factory=threading.Event)
    step: Step | None = None
    attempts: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    wrote_progress: float = 0.0

    @property
    def job_id(self) -> str:
        """Its id."""
        return self.record.job_id


class Runner:
    """What a worker does with each job that it claims."""

    def __init__(
        self,
        table: JobTable,
        worker: str,
        settings: JobSettings,
        make_steps: MakeSteps,
        once: Once,
        free: threading.Event,
    ) -> None:
        self._table = table
        self._worker = worker
        self._settings = settings
        self._make_steps = make_steps
        self._once = once
        self._free = free
        self.current: Running | None = None

    def __call__(self, job_id: str) -> str:
        """Do the job as far as it goes; gives the state that it is left in."""
        try:
            running = insist(lambda: self._claimed(job_id))
            return NOT_OURS if running is None else self._carried(running)
        except LostClaimError:
            log.info("job %s is no longer ours", job_id)
            return NOT_OURS
        finally:
            self.current = None
            self._free.set()

    def _carried(self, running: Running) -> str:
        self.current = running
        try:
            return self._done(running)
        except (
            KeyError,
            TypeError,
            ValueError,
        ) as error:  # what was kept is not what we know: nothing may hang for that
            failure = failure_of(running.step or Step.SELECT, error)
            self._end(running, JobState.FAILED, failure=failure)
            return JobState.FAILED

    def _claimed(self, job_id: str) -> Running | None:
        """The job, ours from now on; None where it has ended, or waits for a later try."""
        record = self._table.get(job_id)
        if record.state not in (JobState.WAITING, JobState.RUNNING):
            return None
        if self._is_for_others(record):
            self._table.change(job_id, (record.state,), state=JobState.RETRYING, next_try=time.time() + ELSEWHERE_S)
            return None
        claim = uuid.uuid4().hex
        if not self._table.claim(job_id, claim, self._worker, record.state, time.time()):
            raise LostClaimError
        return Running(record, claim, seconds=dict(record.seconds))

    def _is_for_others(self, record: JobRecord) -> bool:
        """Whether the job's model failed its self-test on this host, and there is another that may do the job."""
        failed = record.failure is not None and record.failure.kind == SelfTestError.__name__
        host = host_of(self._worker)
        return failed and host_of(record.worker) == host and bool(other_hosts(self._table.engine, host))

    def _done(self, running: Running) -> str:
        steps = self._make_steps(running.record, lambda progress: self._show(running, progress), running.cancel)
        with closing(steps):
            for step in Step:
                insist(self._table.ask)
                kept = self._once(step.value, lambda step=step: self._perform(running, steps, step))  # type: ignore[misc]
                steps.done[step] = kept
                if "failure" in kept:
                    return self._fail(running, Failure.model_validate(kept["failure"]), Patience(kept["patience"]))
                if kept.get("there"):
                    break
        return self._finish(running, steps.done)

    def _perform(self, running: Running, steps: JobSteps, step: Step) -> Document:
        """The step, or the failure that it ended in; once it is over the database is there to take it.

        The engine waits ever longer for a database that is away, up to minutes: that it is there is seen before.
        """
        kept = self._performed(running, steps, step)
        insist(self._table.ask)
        return kept

    def _performed(self, running: Running, steps: JobSteps, step: Step) -> Document:
        self._begin(running, step)
        if running.attempts > self._settings.attempts:
            return _failed(worn_out(step, running.attempts - 1), Patience.NONE)
        start = time.monotonic()
        try:
            kept = steps.do(step)
        except (CancelledError, LostClaimError) as error:
            raise LostClaimError from error
        except SQLAlchemyError:
            raise
        except Exception as error:  # the boundary of one job
            if running.cancel.is_set():
                raise LostClaimError from error
            patience = self._patience_with(error)
            passing = patience is not Patience.NONE
            return _failed(failure_of(step, error).model_copy(update={"passing": passing}), patience)
        running.seconds[step.value] = round(running.seconds.get(step.value, 0.0) + time.monotonic() - start, 3)
        if step is Step.SELECT:
            self._tell_choice(running, kept)
        if "refused" in kept:
            return _failed(Failure(step=step, kind="Refusal", problem=kept["refused"]), Patience.NONE)
        return kept

    def _patience_with(self, error: Exception) -> Patience:
        """What fails on this host alone is worth another try only where there is another host."""
        if isinstance(error, SelfTestError) and not other_hosts(self._table.engine, host_of(self._worker)):
            return Patience.NONE
        return patience_with(error)

    def _begin(self, running: Running, step: Step) -> None:
        """Write down that the step begins, before it does: who dies in it has left that behind."""
        before = running.record
        again = running.step is None and before.progress is not None and before.progress.step is step
        running.step, running.attempts = step, before.attempts + 1 if again else 1
        running.wrote_progress = time.monotonic()
        self._write(
            running,
            progress=JobProgress(step=step),
            attempts=running.attempts,
            step=step.value,
            seconds=running.seconds,
        )

    def _tell_choice(self, running: Running, kept: Document) -> None:
        model = kept.get("model", {})
        self._write(
            running,
            decision=kept["decision"],
            model_name=model.get("name"),
            model_version=model.get("version"),
            model_uid=model.get("uid"),
        )

    def _show(self, running: Running, progress: ports.Progress) -> None:
        """Progress of the step, written now and then; a step whose job was taken away ends here."""
        now = time.monotonic()
        if running.step is None or now - running.wrote_progress < PROGRESS_S:
            return
        running.wrote_progress = now
        told = JobProgress(step=running.step, done=progress.done, total=progress.total, unit=progress.unit)
        self._write(running, progress=told)

    def _finish(self, running: Running, done: dict[Step, Document]) -> str:
        told = done[Step.SELECT] | done.get(Step.BUILD, {})
        self._end(
            running,
            JobState.DONE,
            failure=None,
            results=[ResultRef.model_validate(each) for each in told["results"]],
            findings=told["findings"],
            warnings=told["warnings"],
        )
        return JobState.DONE

    def _fail(self, running: Running, failure: Failure, patience: Patience) -> str:
        row = insist(lambda: self._table.patience_of(running.job_id))
        now = time.time()
        since = row.since if row.since is not None else now
        wait = next_try_s(row.passed, now - since, patience, self._settings)
        if wait is None:
            state = JobState.REFUSED if failure.kind == "Refusal" else JobState.FAILED
            log.warning("job %s: %s in step %s: %s", running.job_id, state, failure.step, failure.kind)
            self._end(running, state, failure=failure)
            return state
        log.warning("job %s: step %s is tried again in %.0f s: %s", running.job_id, failure.step, wait, failure.kind)
        self._write(
            running,
            state=JobState.RETRYING,
            failure=failure.model_copy(update={"passing": True}),
            next_try=now + wait,
            passing_since=since,
            passed=row.passed + 1,
            attempts=0,
            claim=None,
            seconds=running.seconds,
        )
        return JobState.RETRYING

    def _end(self, running: Running, state: JobState, **fields: Any) -> None:
        log.info("job %s is %s", running.job_id, state)
        self._write(
            running,
            state=state,
            finished=time.time(),
            claim=None,
            passing_since=None,
            passed=0,
            seconds=running.seconds,
            **fields,
        )

    def _write(self, running: Running, **fields: Any) -> None:
        insist(lambda: self._table.write(running.job_id, running.claim, **fields))


def _failed(failure: Failure, patience: Patience) -> Document:
    return {"failure": failure.model_dump(mode="json"), "patience": patience.value}


def host_of(worker: str) -> str:
    """The host in a worker's name, ``HOST/PROCESS``."""
    return worker.rpartition("/")[0]


def insist(ask: Callable[[], T]) -> T:
    """Ask the database until it answers: while it is away nothing goes on, and nothing fails."""
    pause = _PAUSE_S[0]
    while True:
        try:
            return ask()
        except DBAPIError as error:
            log.warning("the database of jobs does not answer: %s", type(error.orig).__name__)
            time.sleep(pause)
            pause = min(2 * pause, _PAUSE_S[1])
