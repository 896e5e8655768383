"""A worker in a thread of the test, with steps that the test writes; nothing is waited for but events and the board."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from iodeep import ports
from iodeep.serve_settings import JobSettings
from iodeep.service.jobs import JobRecord, JobRequest, JobState, Step
from iodeep.service.jobs.kept_board import KeptBoard, open_board
from iodeep.service.jobs.steps import JobSteps
from iodeep.service.jobs.worker import Worker

QUICK = JobSettings(attempts=2, first_retry_s=0.05, longest_retry_s=0.2, dead_after_s=1.0, drain_s=10.0, host="here")
SELECTED: dict[str, Any] = {
    "decision": {"chosen": "Brain"},
    "model": {"name": "Brain", "version": "1.0.0", "uid": "1.2"},
    "results": [],
}
USUAL: dict[Step, dict[str, Any]] = {Step.SELECT: SELECTED, Step.BUILD: {"findings": ["found"], "warnings": []}}
Doing = Callable[["Attempt"], dict[str, Any] | None]


def request_for(number: int = 1, **fields: Any) -> JobRequest:
    """A request that differs by its number."""
    return JobRequest(
        study_instance_uid="1.2.3", series_instance_uid=f"1.2.3.{number}", pacs="main", results_to="main", **fields
    )


def board_in(folder: Path) -> KeptBoard:
    """A board on a SQLite file."""
    return open_board(f"sqlite:///{folder}/jobs.sqlite", batch_delay_s=3600, dead_after_s=QUICK.dead_after_s)


@dataclass
class Attempt:
    """What a scripted step is given."""

    record: JobRecord
    step: Step
    progress: ports.ProgressSink
    cancel: ports.Cancellation
    done: dict[Step, dict[str, Any]]


@dataclass
class Script:
    """What each step does, and which were done, in their order."""

    steps: dict[tuple[str, Step], Doing] = field(default_factory=dict)
    always: dict[Step, Doing] = field(default_factory=dict)
    did: list[tuple[str, Step]] = field(default_factory=list)

    def on(self, job_id: str, step: Step, doing: Doing) -> None:
        """Let a job do this in a step."""
        self.steps[job_id, step] = doing

    def make(self, record: JobRecord, progress: ports.ProgressSink, cancel: ports.Cancellation) -> JobSteps:
        """Steps of one job."""
        return cast("JobSteps", _Scripted(self, record, progress, cancel))

    def done(self, job_id: str) -> list[Step]:
        """The steps that were begun for a job."""
        return [step for each, step in self.did if each == job_id]


class _Scripted:
    def __init__(
        self, script: Script, record: JobRecord, progress: ports.ProgressSink, cancel: ports.Cancellation
    ) -> None:
        self.done: dict[Step, dict[str, Any]] = {}
        self._script = script
        self._record = record
        self._progress = progress
        self._cancel = cancel

    def do(self, step: Step) -> dict[str, Any]:
        self._script.did.append((self._record.job_id, step))
        doing = self._script.steps.get((self._record.job_id, step)) or self._script.always.get(step)
        attempt = Attempt(self._record, step, self._progress, self._cancel, self.done)
        told = doing(attempt) if doing else None
        if told is not None:
            return told
        return dict(USUAL.get(step, {}))

    def close(self) -> None:
        pass


@contextmanager
def working(
    board: KeptBoard, script: Script, settings: JobSettings = QUICK, name: str = "here/1"
) -> Iterator[threading.Event]:
    """A worker that runs; the event stops it, and so does the end of the block."""
    stop, ready = threading.Event(), threading.Event()
    worker = Worker(board, name, settings, script.make)
    thread = threading.Thread(target=worker.run, args=(stop, ready.set), name=name)
    thread.start()
    try:
        assert ready.wait(20)
        yield stop
    finally:
        stop.set()
        thread.join(30)
        worker.close()
    assert not thread.is_alive()


def ended(board: KeptBoard, job_id: str) -> JobRecord:
    """The job once it has ended."""
    return list(board.follow(job_id))[-1]


def reached(board: KeptBoard, job_id: str, *states: JobState) -> JobRecord:
    """The job once it is in one of the states."""
    return next(record for record in board.follow(job_id) if record.state in states)
