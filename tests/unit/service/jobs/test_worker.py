from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from iodeep.service.jobs import JobState, Step
from iodeep.service.jobs.kept_board import KeptBoard
from tests.unit.service.jobs.working import Script, board_in, ended, request_for, working


@pytest.fixture
def board(tmp_path: Path) -> Iterator[KeptBoard]:
    board = board_in(tmp_path)
    yield board
    board.close()


def test_a_job_goes_through_all_steps_in_their_order(board: KeptBoard) -> None:
    script = Script()
    with working(board, script):
        record, new = board.submit(request_for())
        job = ended(board, record.job_id)

    assert new
    assert job.state is JobState.DONE
    assert script.done(job.job_id) == list(Step)
    assert (job.model_name, job.findings, job.worker) == ("Brain", ("found",), "here/1")
    assert set(job.seconds) == {step.value for step in Step}
