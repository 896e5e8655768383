"""Series that nobody routed: found by C-FIND, asked for when they grow no more, once each."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from iodeep.errors import ArchiveUnreachableError, LocalStorageError
from iodeep.ports import Level
from iodeep.serve_settings import PollSettings
from iodeep.service.configuration import Configuration
from iodeep.service.intake.asking import Unanswered
from iodeep.service.intake.polling import Poller
from iodeep.service.jobs import Origin
from iodeep.service.serving import DataFolders, ServeContext
from tests.unit.service.intake.doubles import AuditLog, FakeArchive, site
from tests.unit.service.jobs.fake_board import FakeBoard

NOON = datetime(2026, 3, 1, 13)


class Site:
    """A poller and what it talks to."""

    def __init__(self, **settings: Any) -> None:
        self.archive, self.board, self.now = FakeArchive(), FakeBoard(), NOON
        self.archive.add_study("9", patient="AIM1.CT.LIVER.ANY.X", date="20200101")
        self.poller = Poller(PollSettings.model_validate({"pacs": "main"} | settings), self.context(), lambda: self.now)

    def context(self) -> ServeContext:
        def announce(_: Mapping[str, str]) -> None:
            return

        return ServeContext(
            name="intake",
            configuration=Configuration(site(), None, Path()),
            folders=DataFolders(Path()),
            stop=threading.Event(),
            open_board=lambda: self.board,
            open_archive=lambda _: self.archive,  # type: ignore[arg-type, return-value]
            open_audit=AuditLog,
            announce=announce,
        )

    def rounds(self, count: int = 2) -> list[tuple[str, int | None]]:
        """Series and counts of all jobs after that many rounds."""
        for _ in range(count):
            self.poller.round()
        return sorted((job.request.series_instance_uid, job.request.instances) for job in self.board.list())


def test_a_series_is_asked_for_when_two_rounds_found_the_same_count() -> None:
    site = Site()
    site.archive.add_study("1")
    site.archive.set_series("1", "1.1", 20)
    assert site.rounds(1) == []
    assert site.rounds(1) == [("1.1", 20)]
    [job] = site.board.list()
    assert (job.request.origin, job.request.pacs, job.request.results_to) == (Origin.POLLED, "main", "main")


def test_a_series_that_grows_waits_until_it_does_not() -> None:
    site = Site()
    site.archive.add_study("1")
    for count in (5, 10, 15):
        site.archive.set_series("1", "1.1", count)
        assert site.rounds(1) == []
    assert site.rounds(1) == [("1.1", 15)]


def test_a_series_that_grew_after_its_job_is_another_one() -> None:
    site = Site()
    site.archive.add_study("1")
    site.archive.set_series("1", "1.1", 5)
    site.rounds()
    site.archive.set_series("1", "1.1", 6)
    site.archive.studies[-1]["NumberOfStudyRelatedInstances"] = "6"
    assert site.rounds() == [("1.1", 5), ("1.1", 6)]


def test_models_results_and_other_modalities_never_become_work() -> None:
    site = Site()
    site.archive.add_study("1")
    site.archive.add_study("2", patient="AIM1.CT.LUNG.ANY.Y")
    for uid, modality in {"1.1": "SEG", "1.2": "SR", "1.3": "MR", "1.4": "OT", "1.5": ""}.items():
        site.archive.set_series("1", uid, 3, modality)
    site.archive.set_series("2", "2.1", 3, "CT")
    assert site.rounds(4) == []
    assert not any(match.get("StudyInstanceUID") == "2" for _, match in site.archive.asked)


def test_the_modalities_of_the_settings_go_before_those_of_the_models() -> None:
    site = Site(modalities=("MR",))
    site.archive.add_study("1")
    site.archive.set_series("1", "1.1", 3, "CT")
    site.archive.set_series("1", "1.2", 3, "MR")
    assert site.rounds() == [("1.2", 3)]


def test_a_model_with_inputs_of_several_modalities_looks_for_all(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    site.archive.studies = []
    site.archive.add_study("1")
    site.archive.set_series("1", "1.1", 3, "PT")
    assert site.rounds() == []
    assert "no archive holds a model" in caplog.text
    site.archive.add_study("9", patient="AIM1.MULTI.BREAST.ANY.X", date="20200101")
    assert site.rounds() == [("1.1", 3)]


def test_an_archive_that_tells_no_counts_is_asked_for_its_instances() -> None:
    site = Site()
    site.archive.add_study("1")
    site.archive.set_series("1", "1.1", None)
    site.archive.images["1.1"] = 7
    assert site.rounds() == [("1.1", 7)]


def test_studies_of_yesterday_and_of_a_clock_that_is_ahead_are_seen_and_older_ones_are_not() -> None:
    site = Site(back_hours=24)
    for uid, when in {"1": -24.5, "2": -26, "3": 0.5, "4": -1}.items():
        moment = NOON + timedelta(hours=when)
        site.archive.add_study(uid, date=f"{moment:%Y%m%d}", time=f"{moment:%H%M%S}")
        site.archive.set_series(uid, f"{uid}.1", 3)
    site.archive.add_study("5", date="", time="")
    site.archive.add_study("6", date="20260228", time="")
    site.archive.set_series("6", "6.1", 3)
    assert [uid for uid, _ in site.rounds()] == ["1.1", "3.1", "4.1", "6.1"]
    window = next(match["StudyDate"] for level, match in site.archive.asked if "StudyDate" in match)
    assert window == "20260228-20260302"


@pytest.mark.parametrize("told", ["20", ""])
def test_what_is_known_is_passed_over(told: str) -> None:
    site = Site()
    site.archive.add_study("1")
    site.archive.studies[-1]["NumberOfStudyRelatedInstances"] = told
    site.archive.set_series("1", "1.1", 20)
    site.rounds()
    site.archive.asked.clear()
    site.rounds(64)
    below = sum(level is not Level.STUDY for level, _ in site.archive.asked)
    assert below == 0 if told else 0 < below < 10


def test_a_restart_makes_no_second_job() -> None:
    site = Site()
    site.archive.add_study("1")
    site.archive.set_series("1", "1.1", 20)
    site.rounds()
    site.poller = Poller(PollSettings(pacs="main"), site.context(), lambda: site.now)
    assert site.rounds() == [("1.1", 20)]


def test_an_archive_that_is_down_is_told_and_asked_ever_more_rarely(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(every_s=10)
    site.archive.down = True
    with pytest.raises(ArchiveUnreachableError):
        site.poller.round()
    pauses: list[float] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0)
            site.archive.down = len(pauses) < 9
            if len(pauses) == 10:
                self.set()
            return self.is_set()

    site.poller.run(Stop())
    assert pauses[:4] == [20, 40, 80, 160]
    assert max(pauses) == 900
    assert pauses[-1] == 10
    assert "failed (1 in a row)" in caplog.text


def test_a_database_that_is_down_loses_no_series() -> None:
    site = Site()
    site.archive.add_study("1")
    site.archive.set_series("1", "1.1", 20)
    site.poller.round()
    submit = site.board.submit

    def down(_: object) -> Any:
        raise LocalStorageError("no database")

    site.board.submit = down  # type: ignore[assignment, method-assign]
    with pytest.raises(Unanswered):
        site.poller.round()
    site.board.submit = submit  # type: ignore[method-assign]
    site.poller._asking._again = 0.0
    assert site.rounds(1) == [("1.1", 20)]
