"""The whole way over DIMSE on real archives: store, find at each level, retrieve by C-GET and C-MOVE, compare bytes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from iodeep.errors import ArchiveError, ArchiveUnreachableError, CancelledError
from iodeep.ports import Level, Progress, Wanted
from iodeep.settings import Retrieve
from pacs_bridge import open_archive
from pacs_bridge.content_digest import content_digest
from pacs_bridge.dimse import query
from pacs_bridge.part10 import read_instance
from tests.peers.servers import Peer, orthanc
from tests.unit.pacs_bridge.dimse_peer import raw_data, written

pytestmark = pytest.mark.peers

REAL_SERIES = Path(__file__).parents[2] / "sample_data" / "mr-head"
ABOUT_A_PDU = [1, 2, 16_300, 16_378, 16_384, 1 << 20, (3 << 20) + 5]


@pytest.fixture
def model(tmp_path: Path) -> list[Path]:
    """Parts of one series whose lengths lie around those of PDUs; every archive keeps even lengths only."""
    study, series = generate_uid(), generate_uid()
    return [
        written(
            raw_data(study=study, series=series, number=number, payload=bytes(range(256)) * (size // 256) + bytes(256)),
            tmp_path / "model",
        )
        for number, size in enumerate(ABOUT_A_PDU, start=1)
    ]


@pytest.mark.parametrize("method", [Retrieve.AUTO, Retrieve.GET, Retrieve.MOVE])
def test_what_is_stored_is_found_and_comes_back_byte_for_byte(
    peer: Peer, model: list[Path], tmp_path: Path, method: Retrieve
) -> None:
    first = read_instance(model[0])
    with open_archive(peer.settings(method)) as archive:
        archive.store(model)
        archive.verify_stored(model)
        fetched = archive.fetch(Wanted(first.study, first.series), tmp_path / "into")
        single = archive.fetch(Wanted(first.study, first.series, (first.uid,)), tmp_path / "one")
    assert {path.name: content_digest(path) for path in fetched} == {path.name: content_digest(path) for path in model}
    assert [path.stem for path in single] == [first.uid]


def test_a_study_its_series_and_its_instances_are_found(peer: Peer, model: list[Path]) -> None:
    first = read_instance(model[0])
    with open_archive(peer.settings()) as archive:
        archive.store(model)
        studies = archive.find(Level.STUDY, {"PatientID": "AIM1.MR.*", "StudyInstanceUID": first.study}, ["StudyID"])
        series = archive.find(Level.SERIES, {"StudyInstanceUID": first.study}, ["Modality", "SeriesNumber", "StudyID"])
        instances = archive.find(Level.IMAGE, {"StudyInstanceUID": first.study, "InstanceNumber": "2"})
        nothing = archive.find(Level.SERIES, {"StudyInstanceUID": first.study, "Modality": "MR"})
    assert [(study["StudyInstanceUID"], study["StudyID"]) for study in studies] == [(first.study, "V1.0.0")]
    assert [(one["SeriesInstanceUID"], one["Modality"], one["StudyID"]) for one in series] == [
        (first.series, "OT", "V1.0.0")
    ]
    assert [instance["SOPInstanceUID"] for instance in instances] == [model[1].stem]
    assert nothing == []


def test_a_series_is_found_by_its_uid_alone(peer: Peer, model: list[Path]) -> None:
    first = read_instance(model[0])
    with open_archive(peer.settings()) as archive:
        archive.store(model)
        found = archive.find(Level.SERIES, {"SeriesInstanceUID": first.series}, ["StudyInstanceUID", "Modality"])

    assert [(row["StudyInstanceUID"], row["Modality"]) for row in found] == [(first.study, "OT")]


def test_a_large_archive_that_wants_the_study_named_is_not_asked_study_by_study(
    peer: Peer, model: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "MOST_STUDIES", 0)
    first = read_instance(model[0])
    with open_archive(peer.settings()) as archive:
        archive.store(model)
        if peer.name == "orthanc":  # it answers the relational query, with the one study
            monkeypatch.setattr(query, "MOST_STUDIES", 1)
            assert archive.find(Level.SERIES, {"SeriesInstanceUID": first.series})
            return
        with pytest.raises(ArchiveError, match="STUDY_UID/SERIES_UID"):
            archive.find(Level.SERIES, {"SeriesInstanceUID": first.series})


@pytest.mark.parametrize("method", [Retrieve.GET, Retrieve.MOVE])
def test_a_real_series_is_verified_after_storing(peer: Peer, method: Retrieve) -> None:
    paths = sorted(REAL_SERIES.glob("*.dcm"))
    with open_archive(peer.settings(method)) as archive:
        archive.store(paths)
        archive.verify_stored(paths)


def test_a_retrieve_that_is_cancelled_leaves_nothing(peer: Peer, model: list[Path], tmp_path: Path) -> None:
    first = read_instance(model[0])
    cancel = threading.Event()

    def cancel_at_once(_: Progress) -> None:
        cancel.set()

    with open_archive(peer.settings(Retrieve.GET)) as archive:
        archive.store(model)
        with pytest.raises(CancelledError):
            archive.fetch(Wanted(first.study, first.series), tmp_path / "into", progress=cancel_at_once, cancel=cancel)
        assert len(archive.fetch(Wanted(first.study, first.series), tmp_path / "again")) == len(model)
    assert not (tmp_path / "into").exists()


def test_a_store_that_is_cancelled_stores_no_half(peer: Peer, tmp_path: Path) -> None:
    study, series = generate_uid(), generate_uid()
    path = written(raw_data(study=study, series=series, payload=bytes(16 << 20)), tmp_path)
    cancel = threading.Event()
    with open_archive(peer.settings()) as archive:
        with pytest.raises(CancelledError):
            archive.store([path], progress=lambda _: cancel.set(), cancel=cancel)
        assert archive.find(Level.STUDY, {"StudyInstanceUID": study}) == []
        archive.store([path])
        archive.verify_stored([path])


def test_orthanc_aborts_queries_of_an_unlisted_ae_title_and_we_say_why(orthanc_peer: Peer, tmp_path: Path) -> None:
    with open_archive(orthanc_peer.settings(calling_aet="STRANGER")) as archive:
        archive.echo()
        with pytest.raises(ArchiveError, match="STRANGER") as told:
            archive.find(Level.STUDY, {})
        with pytest.raises(ArchiveError, match="STRANGER"):
            archive.fetch(Wanted("1.2.3", "1.2.3.4", ("1.2.3.4.5",)), tmp_path / "into")
    assert "DicomModalities" in str(told.value)


def test_an_unknown_move_destination_is_told(tmp_path: Path, model: list[Path]) -> None:
    with orthanc(tmp_path / "orthanc") as peer, open_archive(peer.settings(Retrieve.MOVE, "IODEEP")) as archive:
        archive.store(model[:1])
        first = read_instance(model[0])
        with pytest.raises(ArchiveError):
            archive.fetch(Wanted(first.study, first.series), tmp_path / "into")


def test_a_wrong_called_ae_title_is_told_by_dcmqrscp(dcmqrscp_peer: Peer) -> None:
    settings = dcmqrscp_peer.settings().model_copy(update={"aet": "NOBODY"})
    with open_archive(settings) as archive, pytest.raises(ArchiveUnreachableError, match="set aet"):
        archive.echo()
