"""A trial of a model that is not approved is a job of its own, and is told apart wherever jobs are listed."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import sqlalchemy as sa

from iodeep.errors import ArchiveUnreachableError, NotApprovedError, SettingsError
from iodeep.service.admitting import Admission
from iodeep.service.choosing import Job
from iodeep.service.jobs import JobFilter, JobRequest
from iodeep.service.jobs.database import jobs
from iodeep.service.jobs.steps import Workshop
from iodeep.service.jobs.trials import begin_trials, check_target, policy_for
from iodeep.service.model_alerts import ModelAlerts
from iodeep.service.selecting import site_policy
from iodeep.settings import Settings
from iodeep.trust.lifecycle import ModelState
from tests.unit.service.jobs.fake_board import FakeBoard
from tests.unit.service.jobs.working import board_in, request_for
from tests.unit.service.lifecycle.registers import Events, approved, change, register, release


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


@pytest.mark.parametrize("set_to", ["", "main", "another"])
def test_the_results_of_a_trial_go_to_the_archive_of_trials_or_nowhere(set_to: str) -> None:
    trial = request_for(shadow=True).model_copy(update={"results_to": "research"})

    check_target(trial, "research")
    check_target(request_for(), "research")
    with pytest.raises(SettingsError, match="results of a trial are not written"):
        check_target(trial, set_to)


def test_nothing_is_tried_where_nobody_asks_who_approved_what(tmp_path: Path) -> None:
    nobody_asks = site_policy(Settings())
    with register(tmp_path) as states:
        asking = site_policy(Settings(), serving=True, admission=Admission(states, ModelAlerts(Events().record)))

        assert policy_for(request_for(), asking) is asking
        tried = policy_for(request_for(shadow=True), asking).admission
        assert tried
        assert tried.shadow
    with pytest.raises(NotApprovedError, match="cannot be tried"):
        policy_for(request_for(shadow=True), nobody_asks)


def test_a_trial_that_cannot_be_begun_takes_nothing_from_the_job(tmp_path: Path) -> None:
    asked: list[JobRequest] = []
    with register(tmp_path) as states:
        approved(states, release())
        change(states, release(), ModelState.SHADOW)
        policy = site_policy(Settings(), serving=True, admission=Admission(states, ModelAlerts(Events().record)))
        shop = cast("Workshop", SimpleNamespace(policy=policy, shadow_archive="research", submit=asked.append))
        away = cast("Job", Away())

        begin_trials(request_for(), away, shop)
        begin_trials(request_for(shadow=True), cast("Job", None), shop)

    assert not asked


class Away:
    """A job whose archive is not there."""

    cache = Path()
    wanted_model = condition = None

    @property
    def subject(self) -> None:
        raise ArchiveUnreachableError("nothing answers")
