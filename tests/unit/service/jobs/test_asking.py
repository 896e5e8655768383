"""A request that counts no instances is the job of whoever counted them."""

from __future__ import annotations

from iodeep.service.jobs import JobRequest, Origin, submit_once
from tests.unit.service.jobs.fake_board import FakeBoard

SERIES = {"study_instance_uid": "1.2", "series_instance_uid": "1.2.3", "pacs": "main", "results_to": "main"}


def test_it_finds_the_job_of_the_series_that_was_routed() -> None:
    board = FakeBoard()
    routed, _ = board.submit(JobRequest(**SERIES, instances=20, origin=Origin.ROUTED))

    found, new = submit_once(board, JobRequest(**SERIES, requested_by="Dr Who"))

    assert (found.job_id, new) == (routed.job_id, False)


def test_another_model_is_another_job() -> None:
    board = FakeBoard()
    routed, _ = board.submit(JobRequest(**SERIES, instances=20))

    found, new = submit_once(board, JobRequest(**SERIES, model="BRAINMASK"))

    assert new
    assert found.job_id != routed.job_id


def test_a_job_that_was_cancelled_because_more_came_is_passed_over() -> None:
    board = FakeBoard()
    smaller, _ = board.submit(JobRequest(**SERIES, instances=10))
    board.cancel(smaller.job_id)
    whole, _ = board.submit(JobRequest(**SERIES, instances=20))

    assert submit_once(board, JobRequest(**SERIES))[0].job_id == whole.job_id


def test_who_counts_asks_for_just_that() -> None:
    board = FakeBoard()
    board.submit(JobRequest(**SERIES, instances=10))

    assert submit_once(board, JobRequest(**SERIES, instances=20))[1]
