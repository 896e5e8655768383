"""A job whose model fails its self-test on one host is done by another, and ends with the reason where there is none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from iodeep.service.jobs import JobState, Step
from iodeep.service.jobs.database import workers
from iodeep.service.jobs.kept_board import KeptBoard, open_board
from tests.unit.service.jobs.test_lost_workers import begun, process, until
from tests.unit.service.jobs.working import QUICK, ended, reached, request_for

pytestmark = pytest.mark.slow


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.sqlite"


@pytest.fixture
def board(url: str) -> Iterator[KeptBoard]:
    board = open_board(url, batch_delay_s=3600, dead_after_s=QUICK.dead_after_s)
    yield board
    board.close()


def seen(board: KeptBoard, host: str) -> None:
    """A worker of another host, as if its heart had just beaten."""
    row = {"worker": f"{host}/1", "host": host, "state": "busy", "job_id": "", "beats": 1, "last_seen": time.time()}
    with board.engine.begin() as connection:
        connection.execute(sa.insert(workers).values(**row))


def test_another_host_does_what_this_one_may_not(board: KeptBoard, url: str, tmp_path: Path) -> None:
    seen(board, "b")
    job, _ = board.submit(request_for())
    with process(tmp_path, url, "a/1", Step.VERIFY, "fail"):
        failed = reached(board, job.job_id, JobState.RETRYING, JobState.FAILED)
        until(lambda: board.get(job.job_id).worker == "a/1" and board.get(job.job_id).next_try is not None)
        with process(tmp_path, url, "b/1"):
            done = ended(board, job.job_id)

    assert failed.state is JobState.RETRYING
    assert failed.failure
    assert failed.failure.kind == "SelfTestError"
    assert (done.state, done.worker) == (JobState.DONE, "b/1")
    assert [worker for step, worker in begun(tmp_path, job.job_id) if step == "verify"] == ["a/1", "b/1"]


def test_where_no_other_host_is_it_ends_at_once_with_the_reason(board: KeptBoard, url: str, tmp_path: Path) -> None:
    job, _ = board.submit(request_for())
    with process(tmp_path, url, "a/1", Step.VERIFY, "fail"):
        failed = ended(board, job.job_id)

    assert failed.state is JobState.FAILED
    assert failed.failure
    assert "self-test of Brain 1.0.0 fails" in failed.failure.problem
    assert [step for step, _ in begun(tmp_path, job.job_id)] == ["select", "fetch", "verify"]


def test_where_every_host_fails_it_ends_with_the_reason(board: KeptBoard, url: str, tmp_path: Path) -> None:
    job, _ = board.submit(request_for())
    with (
        process(tmp_path, url, "a/1", Step.VERIFY, "fail"),
        process(tmp_path, url, "b/1", Step.VERIFY, "fail"),
    ):
        failed = ended(board, job.job_id)

    assert failed.state is JobState.FAILED
    assert failed.failure
    assert failed.failure.kind == "SelfTestError"
