"""Jobs on a PostgreSQL that several hosts share, and that is killed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from iodeep.errors import ArchiveUnreachableError, LocalStorageError
from iodeep.service.jobs import JobState, Step
from iodeep.service.jobs.database import database_url
from iodeep.service.jobs.kept_board import KeptBoard, open_board
from tests.peers.postgres import PostgresServer, postgres
from tests.peers.servers import MissingPeerError
from tests.unit.service.jobs.test_lost_workers import begun, process, until
from tests.unit.service.jobs.working import QUICK, Attempt, Script, ended, reached, request_for, working

pytestmark = [pytest.mark.peers, pytest.mark.slow]

LONG = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    try:
        with postgres() as server:
            yield server
    except MissingPeerError as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture
def url(server: PostgresServer, request: pytest.FixtureRequest) -> str:
    """A database of the test's own."""
    import psycopg

    name = f"t{abs(hash(request.node.name))}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return database_url(f"{server.url.removesuffix('postgres')}{name}", Path())


@pytest.fixture
def board(url: str) -> Iterator[KeptBoard]:
    board = open_board(url, batch_delay_s=3600, dead_after_s=QUICK.dead_after_s)
    yield board
    board.close()


def test_a_job_goes_through_all_steps_and_a_passing_failure(board: KeptBoard) -> None:
    script, request = Script(), request_for()
    errors = [ArchiveUnreachableError("nobody answers")]

    def store(_: Attempt) -> None:
        if errors:
            raise errors.pop()

    script.on(request.job_id, Step.STORE, store)
    with working(board, script):
        first, new = board.submit(request)
        second, new_again = board.submit(request)
        job = ended(board, first.job_id)

    assert (new, new_again) == (True, False)
    assert second.job_id == first.job_id
    assert job.state is JobState.DONE
    assert script.done(job.job_id) == [*list(Step)[:5], Step.STORE, Step.STORE, Step.CONFIRM]


def test_a_killed_hosts_job_is_taken_over_by_another(board: KeptBoard, url: str, tmp_path: Path) -> None:
    job, _ = board.submit(request_for())
    with process(tmp_path, url, "a/1", Step.RUN, "die") as doomed:
        doomed.wait(LONG)
    with process(tmp_path, url, "b/1"):
        done = ended(board, job.job_id)

    assert (done.state, done.worker) == (JobState.DONE, "b/1")
    assert begun(tmp_path, job.job_id)[4:] == [(step, "b/1") for step in ("run", "build", "store", "confirm")]


def test_two_hosts_share_the_work_and_each_job_is_done_once(board: KeptBoard, url: str, tmp_path: Path) -> None:
    jobs = [board.submit(request_for(number))[0] for number in range(10)]
    with process(tmp_path, url, "a/1"), process(tmp_path, url, "b/1"):
        states = {ended(board, job.job_id).state for job in jobs}

    assert states == {JobState.DONE}
    assert all(len(begun(tmp_path, job.job_id)) == len(Step) for job in jobs)


def test_while_the_database_is_away_nothing_goes_on_and_nothing_fails(board: KeptBoard, server: PostgresServer) -> None:
    script, request, let = Script(), request_for(), threading.Event()

    def fetch(_: Attempt) -> None:
        assert let.wait(LONG)

    script.on(request.job_id, Step.FETCH, fetch)
    with working(board, script):
        board.submit(request)
        until(lambda: Step.FETCH in script.done(request.job_id))
        server.kill()
        let.set()
        with pytest.raises(LocalStorageError, match="does not answer"):
            board.counts()
        server.start()
        until(lambda: answers(board))
        job = reached(board, request.job_id, JobState.DONE)

    assert script.done(job.job_id) == list(Step)


def answers(board: KeptBoard) -> bool:
    """Whether the database does."""
    try:
        board.counts()
    except LocalStorageError:
        return False
    return True
