"""From the spool to the board and back to an empty spool, over restarts, retries and a database that is down."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from iodeep.errors import LocalStorageError
from iodeep.service.audit import AuditEvent, EventKind
from iodeep.service.intake import spool_folder
from iodeep.service.intake.arriving import Arrivals
from iodeep.service.intake.asking import Asking
from iodeep.service.intake.intake import Intake
from iodeep.service.jobs import JobBoard, JobRecord, JobRequest, JobState, Origin
from iodeep.settings import Settings
from pacs_bridge.listener import Room, Spool
from pacs_bridge.listener.spool import instances_in
from tests.unit.service.intake.doubles import SENDER, SERIES, STUDY, AuditLog, Clock, put, site
from tests.unit.service.jobs.fake_board import FakeBoard

FOLDER = Path(STUDY) / SERIES


class House:
    """An intake that can be stopped at any moment and started again on the same spool and board."""

    def __init__(self, root: Path, settings: Settings | None = None) -> None:
        self.settings = settings or site()
        self.root = root
        self.board = FakeBoard()
        self.open_board: Callable[[], JobBoard] = lambda: self.board
        self.now = datetime.now(UTC)
        self.clock = Clock()
        self.audit = AuditLog()
        self.start()

    def start(self) -> None:
        """Everything in memory is new."""
        self.spool = Spool(self.root)
        self.room = Room(self.root, 0, None)
        self.arrivals = Arrivals(self.settings.serve.arrivals, self.clock)
        asking = Asking(lambda: self.open_board(), self.clock)
        self.intake = Intake(self.settings, self.spool, self.room, self.arrivals, asking, self.audit, lambda: self.now)
        self.intake.recover()

    def come(self, *numbers: int, **more: str) -> None:
        for number in numbers:
            put(self.spool, self.room, number, tell=self.arrivals.arrived, **more)

    def later(self, seconds: float = 31.0) -> list[JobRecord]:
        """Turns after some time; every job, the oldest first."""
        self.clock.now += seconds
        self.intake.turn()
        self.intake.turn()
        return sorted(self.board.list(), key=lambda record: record.created)

    def held(self) -> int:
        return sum(1 for _ in instances_in(self.root / FOLDER))


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_complete_series_is_asked_for_once_with_its_count(house: House) -> None:
    house.come(1, 2, 3)
    assert house.later(5) == []
    [job] = house.later()
    house.later()

    assert job.request == JobRequest(
        study_instance_uid=STUDY,
        series_instance_uid=SERIES,
        pacs="main",
        results_to="main",
        instances=3,
        origin=Origin.ROUTED,
        requested_by=SENDER,
    )
    assert len(house.board.list()) == 1
    [event] = house.audit.events
    assert (event.kind, event.instances, event.user) == (EventKind.INSTANCES_TRANSFERRED, 3, SENDER)


def test_a_restart_at_any_moment_loses_nothing_and_asks_for_nothing_twice(house: House) -> None:
    house.come(1, 2)
    house.start()
    house.come(3)
    house.start()
    [job] = house.later()
    assert job.request.instances == 3
    for _ in range(3):
        house.start()
        assert [each.job_id for each in house.later()] == [job.job_id]
    house.board.change(job.job_id, state=JobState.DONE)
    house.start()
    house.later()
    assert house.held() == 0


def test_what_the_spool_holds_is_counted_after_a_restart(house: House) -> None:
    house.come(1, 2, 3)
    before = house.room.held
    house.start()
    assert house.room.held == before > 0


def test_a_database_that_is_down_delays_and_loses_nothing(house: House, caplog: pytest.LogCaptureFixture) -> None:
    tries = 0

    def down() -> JobBoard:
        nonlocal tries
        tries += 1
        raise LocalStorageError("no database")

    house.open_board = down
    house.come(1)
    for _ in range(300):
        house.later(1)
    assert 5 < tries < 15
    assert "database does not answer" in caplog.text
    house.open_board = lambda: house.board
    [job] = house.later(61)
    assert job.request.instances == 1


def test_confirmed_series_are_deleted_and_failed_ones_kept_for_their_time(house: House) -> None:
    house.come(1, 2)
    [job] = house.later()
    house.board.change(job.job_id, state=JobState.RUNNING)
    house.later()
    assert house.held() == 2
    house.board.change(job.job_id, state=JobState.FAILED, finished=house.now)
    house.later()
    assert house.held() == 2
    house.now += timedelta(days=6.9)
    house.later()
    assert house.held() == 2
    house.now += timedelta(days=0.2)
    house.later()
    assert house.held() == 0
    assert house.room.held == 0
    assert not (house.root / STUDY).exists()


@pytest.mark.parametrize("state", [JobState.DONE, JobState.REFUSED])
def test_an_answer_frees_the_spool(house: House, state: JobState) -> None:
    house.come(1)
    [job] = house.later()
    house.board.change(job.job_id, state=state)
    house.later()
    assert house.held() == 0


def test_images_stay_while_another_job_on_the_series_may_need_them(house: House) -> None:
    house.come(1)
    [job] = house.later()
    other, _ = house.board.submit(job.request.model_copy(update={"model": "OTHER"}))
    house.board.change(job.job_id, state=JobState.DONE)
    house.later()
    assert house.held() == 1
    house.board.change(other.job_id, state=JobState.DONE)
    house.later()
    assert house.held() == 0


def test_one_that_comes_late_is_another_job_and_ends_the_first(house: House) -> None:
    house.come(1, 2)
    [first] = house.later()
    house.come(3)
    jobs = house.later()
    assert [job.request.instances for job in jobs] == [2, 3]
    assert house.board.get(first.job_id).state is JobState.CANCELLED
    house.board.change(jobs[1].job_id, state=JobState.DONE)
    house.later()
    assert house.held() == 0


def test_one_that_came_while_the_job_ended_is_not_deleted_with_the_rest(house: House) -> None:
    house.come(1, 2)
    [first] = house.later()
    house.come(3)
    house.board.change(first.job_id, state=JobState.DONE)
    house.later(1)
    assert house.held() == 3
    assert [job.request.instances for job in house.later()] == [2, 3]
    assert spool_folder(house.root, SERIES, 3) is not None


def test_one_that_comes_after_the_deletion_counts_with_what_was_there(house: House) -> None:
    house.come(1, 2)
    [first] = house.later()
    house.board.change(first.job_id, state=JobState.DONE)
    house.later()
    house.start()
    house.come(3)
    jobs = house.later()

    assert [job.request.instances for job in jobs] == [2, 3]
    assert house.board.get(first.job_id).state is JobState.DONE
    assert spool_folder(house.root, SERIES, 3) is None  # to be fetched: two of the three are gone


def test_a_sender_that_repeats_what_is_done_makes_no_work(house: House) -> None:
    house.come(1, 2)
    [first] = house.later()
    house.board.change(first.job_id, state=JobState.DONE)
    house.later()
    house.come(1)
    assert [job.job_id for job in house.later()] == [first.job_id]
    assert house.held() == 0


@pytest.mark.parametrize(
    "more",
    [
        {"modality": "SEG", "sop_class": "1.2.840.10008.5.1.4.1.1.66.4"},
        {"modality": "SR", "sop_class": "1.2.840.10008.5.1.4.1.1.88.34"},
        {"modality": "PR", "sop_class": "1.2.840.10008.5.1.4.1.1.11.1"},
        {"modality": "CT", "sop_class": "1.2.840.10008.5.1.4.1.1.66"},
        {"patient": "AIM1.CT.LIVER.ANY.X"},
    ],
    ids=["segmentation", "report", "presentation", "raw data", "model"],
)
def test_what_is_no_series_of_images_never_becomes_work_and_does_not_stay(house: House, more: dict[str, str]) -> None:
    house.come(1, 2, **more)
    assert house.later() == []
    assert house.held() == 0


def test_a_sender_that_is_no_archive_belongs_to_the_default_one(house: House) -> None:
    house.come(1, sender="CTSCANNER")
    [job] = house.later()
    assert (job.request.pacs, job.request.requested_by) == ("main", "CTSCANNER")


def test_without_an_archive_series_wait_and_the_log_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    house = House(tmp_path, Settings())
    house.come(1)
    assert house.later() == house.later() == []
    assert house.held() == 1
    assert caplog.text.count("no PACS was named") == 1


def test_a_job_reads_from_the_spool_just_what_it_was_asked_for(house: House) -> None:
    house.come(1, 2)
    assert spool_folder(house.root, SERIES, 2) == house.root / FOLDER
    assert spool_folder(house.root, SERIES, 3) is None
    assert spool_folder(house.root, SERIES, None) is None
    assert spool_folder(house.root, "1.9", 2) is None
    assert spool_folder(house.root, "../../x", 2) is None
    house.come(1, 2, study="1.3")
    assert spool_folder(house.root, SERIES, 2) is None  # one series in two studies is somebody's mistake


def test_an_audit_log_that_cannot_be_written_delays_and_the_event_is_recorded_later(house: House) -> None:
    record = house.audit.record
    failing = [True]

    def recorded(event: AuditEvent) -> None:
        if failing[0]:
            raise LocalStorageError("no room")
        record(event)

    house.audit.record = recorded  # type: ignore[method-assign]
    house.come(1)
    [job] = house.later()
    assert house.audit.events == []
    failing[0] = False
    assert [each.job_id for each in house.later()] == [job.job_id]
    assert len(house.audit.events) == 1
    assert house.intake.waiting == 1
