"""Workers in processes of their own are killed, stopped and told to end; their jobs are done all the same, each step once where it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from iodeep.service.jobs import JobState, Step
from iodeep.service.jobs.kept_board import KeptBoard, open_board
from tests.unit.service.jobs.working import QUICK, ended, request_for

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[4]
LONG = 30.0


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.sqlite"


@pytest.fixture
def board(url: str) -> Iterator[KeptBoard]:
    board = open_board(url, batch_delay_s=3600, dead_after_s=QUICK.dead_after_s)
    yield board
    board.close()


@contextmanager
def process(
    folder: Path, url: str, name: str, step: Step = Step.RUN, how: str = "work"
) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "stored").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.unit.service.jobs.doomed", str(folder), url, name, step.value, how]
    started = subprocess.Popen(command, cwd=ROOT)
    try:
        yield started
    finally:
        with_continue(started)
        started.kill()
        started.wait()


def with_continue(started: subprocess.Popen[bytes]) -> None:
    if started.poll() is None:
        started.send_signal(signal.SIGCONT)


def until(true: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(LONG / 0.02)):
        if true():
            return
        pause.wait(0.02)
    raise AssertionError("it did not happen")


def begun(folder: Path, job_id: str) -> list[tuple[str, str]]:
    """Step and worker, in their order."""
    lines = (folder / "begun").read_text(encoding="utf-8").split("\n")
    return [(line.split()[1], line.split()[2]) for line in lines if line.startswith(job_id)]


def test_a_killed_workers_job_goes_on_in_its_next_process_from_the_step_that_it_was_in(
    board: KeptBoard, url: str, tmp_path: Path
) -> None:
    job, _ = board.submit(request_for())
    with process(tmp_path, url, "a/1", Step.BUILD, "die") as doomed:
        doomed.wait(LONG)
    with process(tmp_path, url, "a/1"):
        done = ended(board, job.job_id)

    assert done.state is JobState.DONE
    steps = [step for step, _ in begun(tmp_path, job.job_id)]
    assert steps == ["select", "fetch", "verify", "run", "build", "build", "store", "confirm"]


def test_a_job_that_kills_its_worker_each_time_ends_as_a_dead_letter_with_the_reason(
    board: KeptBoard, url: str, tmp_path: Path
) -> None:
    job, _ = board.submit(request_for())
    for _ in range(QUICK.attempts):
        with process(tmp_path, url, "a/1", Step.RUN, "die") as doomed:
            doomed.wait(LONG)
    with process(tmp_path, url, "a/1", Step.RUN, "die"):
        failed = ended(board, job.job_id)
        other, _ = board.submit(request_for(2))
    with process(tmp_path, url, "a/1"):
        done = ended(board, other.job_id)

    assert failed.state is JobState.FAILED
    assert failed.failure
    assert f"lost {QUICK.attempts} times during the step 'run'" in failed.failure.problem
    assert len([step for step, _ in begun(tmp_path, job.job_id) if step == "run"]) == QUICK.attempts
    assert done.state is JobState.DONE


def test_a_dead_hosts_job_is_taken_over_by_another_host(board: KeptBoard, url: str, tmp_path: Path) -> None:
    job, _ = board.submit(request_for())
    with process(tmp_path, url, "a/1", Step.RUN, "die") as doomed:
        doomed.wait(LONG)
    with process(tmp_path, url, "b/1"):
        done = ended(board, job.job_id)

    assert (done.state, done.worker) == (JobState.DONE, "b/1")
    assert begun(tmp_path, job.job_id)[4:] == [(step, "b/1") for step in ("run", "build", "store", "confirm")]


def test_a_worker_that_was_stopped_and_goes_on_does_nothing_more_for_a_job_that_is_anothers(
    board: KeptBoard, url: str, tmp_path: Path
) -> None:
    job, _ = board.submit(request_for())
    with process(tmp_path, url, "a/1", Step.RUN, "hang") as zombie:
        until((tmp_path / "hangs").exists)
        zombie.send_signal(signal.SIGSTOP)
        with process(tmp_path, url, "b/1"):
            done = ended(board, job.job_id)
            zombie.send_signal(signal.SIGCONT)
            next_one, _ = board.submit(request_for(2))
            ended_by_both = {ended(board, next_one.job_id).state}

    assert (done.state, done.worker) == (JobState.DONE, "b/1")
    assert ended_by_both == {JobState.DONE} or ended_by_both == {JobState.RUNNING}
    assert [each for each in begun(tmp_path, job.job_id) if each == ("store", "a/1")] == []
    assert board.get(job.job_id).revision == done.revision


def test_a_worker_that_is_told_to_end_gives_back_what_does_not_end_in_time(
    board: KeptBoard, url: str, tmp_path: Path
) -> None:
    job, _ = board.submit(request_for())
    with process(tmp_path, url, "a/1", Step.RUN, "hang") as leaving:
        until((tmp_path / "hangs").exists)
        leaving.send_signal(signal.SIGTERM)
        assert leaving.wait(LONG) == 0
    given_back = board.get(job.job_id)
    with process(tmp_path, url, "b/1"):
        done = ended(board, job.job_id)

    assert (given_back.state, given_back.attempts) == (JobState.WAITING, 0)
    assert (done.state, done.worker) == (JobState.DONE, "b/1")


def test_many_jobs_and_many_kills_lose_nothing(board: KeptBoard, url: str, tmp_path: Path) -> None:
    jobs = [board.submit(request_for(number))[0] for number in range(8)]
    for number in range(3):
        with process(tmp_path, url, f"a/{number % 2}") as victim:
            until(lambda number=number: len(list((tmp_path / "stored").glob("*"))) > 2 * number)  # type: ignore[misc]
            os.kill(victim.pid, signal.SIGKILL)
    with process(tmp_path, url, "a/0"), process(tmp_path, url, "a/1"):
        states = {ended(board, job.job_id).state for job in jobs}

    assert states == {JobState.DONE}
    assert {path.name for path in (tmp_path / "stored").glob("*")} == {job.job_id for job in jobs}
