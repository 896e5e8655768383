"""A trial of a model that is not approved is a job of its own, and is told apart wherever jobs are listed."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from iodeep.service.jobs import JobFilter
from iodeep.service.jobs.database import jobs
from tests.unit.service.jobs.fake_board import FakeBoard
from tests.unit.service.jobs.working import board_in, request_for


def test_a_trial_is_another_job_than_the_run_for_real() -> None:
    real = request_for(model="BRAINMASK")
    trial = real.model_copy(update={"shadow": True})

    assert trial.job_id != real.job_id
    assert trial.job_id == real.model_copy(update={"shadow": True}).job_id


def test_the_ids_of_jobs_are_those_that_they_had_before_there_were_trials() -> None:
    assert request_for().job_id == "693f36f0876b195f9d717e83a19d06b2"


@pytest.mark.parametrize("kept", [True, False])
def test_jobs_are_listed_with_trials_without_them_or_they_alone(tmp_path: Path, kept: bool) -> None:
    real, trial = request_for(1), request_for(2, shadow=True)
    with closing(board_in(tmp_path) if kept else FakeBoard()) as board:
        for each in (real, trial):
            board.submit(each)

        def listed(shadow: bool | None) -> set[str]:
            return {each.job_id for each in board.list(JobFilter(shadow=shadow))}

        assert listed(None) == {real.job_id, trial.job_id}
        assert listed(True) == {trial.job_id}
        assert listed(False) == {real.job_id}
        assert board.get(trial.job_id).request.shadow


def test_a_table_that_was_made_before_there_were_trials_gets_its_column(tmp_path: Path) -> None:
    with closing(board_in(tmp_path)) as board:
        board.submit(request_for(1))
        with board.engine.begin() as connection:
            connection.execute(sa.text(f"ALTER TABLE {jobs.name} DROP COLUMN shadow"))

    with closing(board_in(tmp_path)) as board:
        assert len(board.list(JobFilter(shadow=False))) == 1
        assert not board.list(JobFilter(shadow=True))
