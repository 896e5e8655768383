from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from iodeep.errors import ArchiveError, ArchiveUnreachableError, CancelledError, GeometryError, InputError
from iodeep.ports import Progress
from iodeep.service.jobs import JobFilter, JobRequest, JobState, Priority, Step
from iodeep.service.jobs.kept_board import KeptBoard
from tests.unit.service.jobs.working import QUICK, Attempt, Script, board_in, ended, reached, request_for, working

LONG = 20.0
_numbers = itertools.count(1)


class Shop(NamedTuple):
    board: KeptBoard
    script: Script


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A board and a running worker, shared: each test has jobs of its own."""
    board, script = board_in(tmp_path_factory.mktemp("jobs")), Script()
    with working(board, script):
        yield Shop(board, script)
    board.close()


@pytest.fixture
def request_() -> JobRequest:
    return request_for(next(_numbers))


def failing(error: Exception, times: int) -> Any:
    """A step that fails so often, and then does what it usually does."""
    left = [error] * times

    def step(_: Attempt) -> None:
        if left:
            raise left.pop()

    return step


class Gate:
    """A step that says when it has begun, and goes on when it is let or cancelled."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.let = threading.Event()
        self.ended_by_cancellation = threading.Event()

    def __call__(self, attempt: Attempt) -> None:
        self.begun.set()
        while not self.let.wait(0.01):
            if attempt.cancel.is_set():
                self.ended_by_cancellation.set()
                raise CancelledError("the run was cancelled")


def test_a_job_goes_through_all_steps_in_their_order(shop: Shop, request_: JobRequest) -> None:
    record, new = shop.board.submit(request_)
    job = ended(shop.board, record.job_id)

    assert new
    assert job.state is JobState.DONE
    assert shop.script.done(job.job_id) == list(Step)
    assert (job.model_name, job.findings, job.worker) == ("Brain", ("found",), "here/1")
    assert set(job.seconds) == {step.value for step in Step}
    assert job.started
    assert job.finished
    assert job.created <= job.started <= job.finished


def test_the_same_request_is_the_same_job_however_often_it_comes(shop: Shop, request_: JobRequest) -> None:
    first, new = shop.board.submit(request_)
    again, new_again = shop.board.submit(request_.model_copy(update={"priority": Priority.STAT, "requested_by": "x"}))
    done = ended(shop.board, first.job_id)
    after, new_after = shop.board.submit(request_)

    assert (new, new_again, new_after) == (True, False, False)
    assert first.job_id == again.job_id
    assert after.revision == done.revision
    assert shop.script.done(first.job_id) == list(Step)


def test_what_can_pass_is_tried_again_and_done_steps_are_not_repeated(shop: Shop, request_: JobRequest) -> None:
    shop.script.on(request_.job_id, Step.STORE, failing(ArchiveUnreachableError("nobody answers"), 2))
    shop.board.submit(request_)
    retrying = reached(shop.board, request_.job_id, JobState.RETRYING)
    job = ended(shop.board, request_.job_id)

    assert retrying.next_try
    assert retrying.failure
    assert (retrying.failure.step, retrying.failure.kind, retrying.failure.passing) == (
        Step.STORE,
        "ArchiveUnreachableError",
        True,
    )
    assert job.state is JobState.DONE
    assert job.failure is None
    assert shop.script.done(job.job_id) == [*list(Step)[:5], Step.STORE, Step.STORE, Step.STORE, Step.CONFIRM]


def test_an_archive_that_keeps_refusing_is_asked_a_few_times_and_no_more(shop: Shop, request_: JobRequest) -> None:
    shop.script.on(request_.job_id, Step.STORE, failing(ArchiveError("refused"), 100))
    shop.board.submit(request_)
    job = ended(shop.board, request_.job_id)

    assert job.state is JobState.FAILED
    assert shop.script.done(job.job_id).count(Step.STORE) == QUICK.attempts + 1


@pytest.mark.parametrize("error", [GeometryError("slices are missing"), RuntimeError("a defect")])
def test_what_cannot_pass_is_a_dead_letter_with_its_reason_at_once(
    shop: Shop, request_: JobRequest, error: Exception
) -> None:
    shop.script.on(request_.job_id, Step.VERIFY, failing(error, 1))
    shop.board.submit(request_)
    job = ended(shop.board, request_.job_id)

    assert job.state is JobState.FAILED
    assert job.failure
    assert (job.failure.step, job.failure.kind, job.failure.passing) == (Step.VERIFY, type(error).__name__, False)
    assert job.failure.remedy or job.failure.problem == "slices are missing"
    assert shop.script.done(job.job_id) == [Step.SELECT, Step.FETCH, Step.VERIFY]


def test_a_dead_letter_goes_on_from_the_step_that_failed(shop: Shop, request_: JobRequest) -> None:
    shop.script.on(request_.job_id, Step.BUILD, failing(GeometryError("wrong"), 1))
    shop.board.submit(request_)
    failed = ended(shop.board, request_.job_id)
    again = shop.board.retry(request_.job_id)
    job = list(shop.board.follow(request_.job_id, again.revision))[-1]

    assert (failed.state, again.state, job.state) == (JobState.FAILED, JobState.WAITING, JobState.DONE)
    assert shop.script.done(job.job_id) == [*list(Step)[:5], Step.BUILD, Step.STORE, Step.CONFIRM]


def test_a_refusal_is_an_answer_with_its_decision(shop: Shop, request_: JobRequest) -> None:
    shop.script.on(request_.job_id, Step.SELECT, lambda _: {"decision": {"chosen": None}, "refused": "No model fits."})
    shop.board.submit(request_)
    job = ended(shop.board, request_.job_id)

    assert job.state is JobState.REFUSED
    assert job.failure
    assert job.failure.problem == "No model fits."
    assert job.decision == {"chosen": None}


def test_results_that_are_there_already_end_the_job_after_its_first_step(shop: Shop, request_: JobRequest) -> None:
    there = {
        "decision": {},
        "model": {"name": "Brain"},
        "results": [],
        "there": True,
        "findings": ["old"],
        "warnings": [],
    }
    shop.script.on(request_.job_id, Step.SELECT, lambda _: there)
    shop.board.submit(request_)
    job = ended(shop.board, request_.job_id)

    assert (job.state, job.findings) == (JobState.DONE, ("old",))
    assert shop.script.done(job.job_id) == [Step.SELECT]


def test_a_running_job_is_cancelled_and_stores_nothing_more(shop: Shop, request_: JobRequest) -> None:
    gate = Gate()
    shop.script.on(request_.job_id, Step.RUN, gate)
    shop.board.submit(request_)
    assert gate.begun.wait(LONG)
    cancelled = shop.board.cancel(request_.job_id)

    assert cancelled.state is JobState.CANCELLED
    assert gate.ended_by_cancellation.wait(LONG)
    assert ended(shop.board, request_.job_id).state is JobState.CANCELLED
    assert Step.STORE not in shop.script.done(request_.job_id)


def test_a_cancelled_job_begins_again_where_it_was(shop: Shop, request_: JobRequest) -> None:
    gate = Gate()
    shop.script.on(request_.job_id, Step.RUN, gate)
    shop.board.submit(request_)
    assert gate.begun.wait(LONG)
    shop.board.cancel(request_.job_id)
    assert gate.ended_by_cancellation.wait(LONG)
    gate.let.set()
    again = shop.board.retry(request_.job_id)
    job = list(shop.board.follow(request_.job_id, again.revision))[-1]

    assert job.state is JobState.DONE
    assert shop.script.done(job.job_id) == [*list(Step)[:4], *list(Step)[3:]]


def test_stat_goes_first_and_a_worker_does_one_job_at_a_time(shop: Shop, request_: JobRequest) -> None:
    gate = Gate()
    shop.script.on(request_.job_id, Step.SELECT, gate)
    shop.board.submit(request_)
    assert gate.begun.wait(LONG)
    orders = (Priority.BATCH, Priority.ROUTINE, Priority.ROUTINE, Priority.STAT)
    waiting = [request_for(next(_numbers), priority=each) for each in orders]
    for each in waiting:
        shop.board.submit(each)
    assert shop.board.counts()[JobState.RUNNING] == 1
    gate.let.set()
    finished = [ended(shop.board, each.job_id).started for each in waiting]

    batch, first, second, stat = (moment.timestamp() for moment in finished if moment)
    assert stat < first < second < batch


def test_progress_is_told_while_a_step_runs(shop: Shop, request_: JobRequest) -> None:
    def step(attempt: Attempt) -> None:
        while shop.board.get(request_.job_id).progress != shown:
            attempt.progress(Progress("network", 3, 7, "patches"))

    shown = None
    from iodeep.service.jobs import JobProgress

    shown = JobProgress(step=Step.RUN, done=3, total=7, unit="patches")
    shop.script.on(request_.job_id, Step.RUN, step)
    shop.board.submit(request_)

    assert ended(shop.board, request_.job_id).state is JobState.DONE


def test_jobs_are_listed_by_what_is_asked_for(shop: Shop, request_: JobRequest) -> None:
    shop.board.submit(request_)
    ended(shop.board, request_.job_id)
    wanted = JobFilter(series_instance_uid=request_.series_instance_uid, states=frozenset({JobState.DONE}))

    (found,) = shop.board.list(wanted)
    assert found.job_id == request_.job_id
    assert found.decision is None
    assert shop.board.list(wanted.model_copy(update={"priority": Priority.STAT})) == []
    assert shop.board.get(request_.job_id).decision == {"chosen": "Brain"}


def test_only_what_has_ended_early_begins_again_and_only_what_has_not_ended_is_cancelled(
    shop: Shop, request_: JobRequest
) -> None:
    shop.board.submit(request_)
    ended(shop.board, request_.job_id)

    with pytest.raises(InputError, match="cannot be begun again"):
        shop.board.retry(request_.job_id)
    with pytest.raises(InputError, match="has ended"):
        shop.board.cancel(request_.job_id)
    with pytest.raises(InputError, match="no job"):
        shop.board.get("0" * 32)


def test_the_worker_is_known_with_what_it_does(shop: Shop, request_: JobRequest) -> None:
    gate = Gate()
    shop.script.on(request_.job_id, Step.FETCH, gate)
    shop.board.submit(request_)
    assert gate.begun.wait(LONG)
    seen = next(each for each in iter(shop.board.workers, None) if each and each[0]["state"] == "busy")
    gate.let.set()

    assert (seen[0]["worker"], seen[0]["host"], seen[0]["job_id"]) == ("here/1", "here", request_.job_id)
    assert ended(shop.board, request_.job_id).state is JobState.DONE
