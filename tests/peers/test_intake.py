"""Polling and counting on real archives, each of which tells of its counts in its own way or not at all."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydicom import dcmread

from iodeep.serve_settings import ArrivalSettings, PollSettings
from iodeep.service.configuration import Configuration
from iodeep.service.intake.arriving import Arrivals
from iodeep.service.intake.counting import Counting, count_of
from iodeep.service.intake.polling import Poller
from iodeep.service.serving import DataFolders, ServeContext
from iodeep.settings import Settings
from pacs_bridge import open_archive
from pacs_bridge.listener import Received
from tests.peers.objects import raw_data_series
from tests.peers.servers import Peer
from tests.synthetic import CT_IMAGE
from tests.unit.pacs_bridge.listener.harness import ct_slices
from tests.unit.service.intake.doubles import AuditLog, Clock
from tests.unit.service.jobs.fake_board import FakeBoard

pytestmark = pytest.mark.peers
STUDY_TIME = datetime(2024, 1, 2, 3, 4, 5)  # what tests.synthetic writes


def context(peer: Peer, board: FakeBoard) -> ServeContext:
    settings = Settings(pacs={"main": peer.settings().model_copy(update={"name": "main"})})

    def announce(_: Mapping[str, str]) -> None:
        return

    return ServeContext(
        name="intake",
        configuration=Configuration(settings, None, Path()),
        folders=DataFolders(Path()),
        stop=threading.Event(),
        open_board=lambda: board,
        open_archive=lambda name: open_archive(settings.archive(name or None)),
        open_audit=AuditLog,
        announce=announce,
    )


def store(peer: Peer, paths: list[Path]) -> str:
    with open_archive(peer.settings()) as archive:
        archive.store(paths)
    return str(dcmread(paths[0]).SeriesInstanceUID)


def test_polling_finds_a_series_once_it_grows_no_more(fresh_peer: Peer, tmp_path: Path) -> None:
    board = FakeBoard()
    moment = STUDY_TIME + timedelta(hours=2)
    poller = Poller(PollSettings(pacs="main"), context(fresh_peer, board), lambda: moment)
    model = raw_data_series(tmp_path / "model")
    store(fresh_peer, list(model.paths))
    assert poller.round() == 0

    paths = ct_slices(tmp_path / "ct", 6)
    series = store(fresh_peer, paths[:4])
    assert poller.round() == 0  # the model is one for MR
    poller = Poller(PollSettings(pacs="main", modalities=("CT",)), context(fresh_peer, board), lambda: moment)
    assert poller.round() == 0
    store(fresh_peer, paths[4:])
    assert poller.round() == 0
    assert poller.round() == 1
    assert [poller.round() for _ in range(3)] == [0, 0, 0]
    [job] = board.list()
    assert (job.request.series_instance_uid, job.request.instances, job.request.pacs) == (series, 6, "main")


def test_studies_outside_the_window_are_not_asked_about(orthanc_peer: Peer, tmp_path: Path) -> None:
    store(orthanc_peer, ct_slices(tmp_path / "ct", 2, study="window", name="window"))
    board = FakeBoard()
    moment = STUDY_TIME + timedelta(days=5)
    poller = Poller(PollSettings(pacs="main", modalities=("CT",)), context(orthanc_peer, board), lambda: moment)
    assert [poller.round() for _ in range(3)] == [0, 0, 0]


def test_every_archive_tells_how_many_instances_a_series_has(peer: Peer, tmp_path: Path) -> None:
    paths = ct_slices(tmp_path / "ct", 5, study="count", name="count")
    series = store(peer, paths)
    with open_archive(peer.settings()) as archive:
        assert count_of(archive, str(dcmread(paths[0]).StudyInstanceUID), series) == 5
        assert count_of(archive, str(dcmread(paths[0]).StudyInstanceUID), "1.2.3.4") is None


def test_a_series_is_complete_at_once_when_its_archive_says_the_same_twice(peer: Peer, tmp_path: Path) -> None:
    paths = ct_slices(tmp_path / "ct", 3, study="early", name="early")
    series, study = store(peer, paths), str(dcmread(paths[0]).StudyInstanceUID)
    clock = Clock()
    arrivals = Arrivals(ArrivalSettings(quiet_s=1e6), clock)
    for number in range(3):
        arrivals.arrived(Received(Path(), CT_IMAGE, str(number), study, series, "CT", "P", peer.aet, 1))
    opened = context(peer, FakeBoard())
    for _ in range(2):
        counting = Counting(arrivals, lambda _: "main", opened.open_archive, clock)
        clock.now += 5
        counting.ask()
        counting._pool.shutdown(wait=True)  # answered

    assert [(each.key.series, each.held) for each in arrivals.take_complete()] == [(series, 3)]
