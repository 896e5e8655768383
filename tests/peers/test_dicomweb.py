"""The archive port over DICOMweb against Orthanc as Debian ships it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import ImplicitVRLittleEndian

from iodeep.errors import ArchiveError, CancelledError
from iodeep.ports import Level, Progress, Wanted
from iodeep.settings import Retrieve
from pacs_bridge.content_digest import same_content
from pacs_bridge.dicomweb import DicomWebArchive
from tests.peers.objects import Sample, raw_data_series
from tests.peers.servers import Peer

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def archive(orthanc_peer: Peer) -> Iterator[DicomWebArchive]:
    with DicomWebArchive(orthanc_peer.settings(Retrieve.WEB)) as opened:
        yield opened


@pytest.fixture(scope="module")
def stored(archive: DicomWebArchive, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    sample = raw_data_series(tmp_path_factory.mktemp("sample"))
    report = archive.store(sample.paths)
    assert (report.instances, report.warnings) == (3, ())
    assert report.bytes == sum(path.stat().st_size for path in sample.paths)
    return sample


def test_orthanc_answers_an_echo(archive: DicomWebArchive) -> None:
    reply = archive.echo()
    assert reply.milliseconds > 0
    assert "/dicom-web" in reply.peer


def test_what_was_stored_is_found_at_each_level(archive: DicomWebArchive, stored: Sample) -> None:
    (study,) = archive.find(Level.STUDY, {"PatientID": stored.patient}, ["StudyDate", "PatientName"])
    assert study == {
        "StudyInstanceUID": stored.study,
        "PatientID": stored.patient,
        "StudyDate": "20260301",
        "PatientName": "AIMODEL^Brain",
    }
    (series,) = archive.find(Level.SERIES, {"StudyInstanceUID": stored.study, "Modality": "OT"}, ["SeriesNumber"])
    assert (series["SeriesInstanceUID"], series["SeriesNumber"]) == (stored.series, "1010000")
    images = archive.find(
        Level.IMAGE, {"StudyInstanceUID": stored.study, "SeriesInstanceUID": stored.series}, ["InstanceNumber"]
    )
    assert {image["SOPInstanceUID"]: image["InstanceNumber"] for image in images} == dict(
        zip(stored.instances, "123", strict=True)
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("PatientID", "AIM1.MR.BRAIN.*"),
        ("PatientID", "AIM1.?R.BRAIN.*"),
        ("PatientName", "AIMODEL^*"),
        ("PatientName", "AIMODEL^Brain"),
        ("StudyDate", "20260101-20261231"),
        ("StudyDate", "20260301"),
    ],
)
def test_a_study_is_found_by_wildcards_ranges_and_values_that_a_url_would_encode(
    archive: DicomWebArchive, stored: Sample, key: str, value: str
) -> None:
    found = archive.find(Level.STUDY, {key: value})
    assert stored.study in [answer["StudyInstanceUID"] for answer in found]


def test_what_does_not_fit_is_not_found(archive: DicomWebArchive, stored: Sample) -> None:
    assert archive.find(Level.STUDY, {"PatientID": stored.patient, "StudyDate": "20270101-"}) == []
    assert archive.find(Level.STUDY, {"PatientName": "aimodel^brain"}) == []
    assert archive.find(Level.SERIES, {"StudyInstanceUID": stored.study, "Modality": "MR"}) == []


def test_lists_of_uids_are_found(archive: DicomWebArchive, stored: Sample) -> None:
    both = "\\".join(stored.instances[:2])
    keys = {"StudyInstanceUID": stored.study, "SeriesInstanceUID": stored.series, "SOPInstanceUID": both}
    assert {answer["SOPInstanceUID"] for answer in archive.find(Level.IMAGE, keys)} == set(stored.instances[:2])
    studies = archive.find(Level.STUDY, {"StudyInstanceUID": f"{stored.study}\\1.2.3"})
    assert [answer["StudyInstanceUID"] for answer in studies] == [stored.study]


def test_more_answers_than_a_page_are_all_given(
    archive: DicomWebArchive, stored: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pacs_bridge.dicomweb.query.PAGE", 2)
    keys = {"StudyInstanceUID": stored.study, "SeriesInstanceUID": stored.series}
    assert {answer["SOPInstanceUID"] for answer in archive.find(Level.IMAGE, keys)} == set(stored.instances)


@pytest.mark.parametrize("named", ["study", "series", "instances"])
def test_what_was_stored_comes_back_byte_for_byte(
    archive: DicomWebArchive, stored: Sample, tmp_path: Path, named: str
) -> None:
    wanted = {
        "study": Wanted(stored.study),
        "series": Wanted(stored.study, stored.series),
        "instances": Wanted(stored.study, stored.series, stored.instances[1:]),
    }[named]
    seen: list[Progress] = []
    came = archive.fetch(wanted, tmp_path / "into", progress=seen.append)
    count = 2 if named == "instances" else 3
    assert {path.stem for path in came} == set(stored.instances[-count:])
    assert sorted(tmp_path.joinpath("into").iterdir()) == sorted(came)
    for uid, path in zip(stored.instances, stored.paths, strict=True):
        if (back := tmp_path / "into" / f"{uid}.dcm") in came:
            assert same_content(path, back) is None
    assert seen[-1] == Progress("fetch", count, count, "instances")


def test_storing_is_verified(archive: DicomWebArchive, stored: Sample) -> None:
    archive.verify_stored(stored.paths)


def test_implicit_vr_is_stored_and_verified(archive: DicomWebArchive, tmp_path: Path) -> None:
    sample = raw_data_series(tmp_path, syntax=ImplicitVRLittleEndian)
    archive.store(sample.paths)
    archive.verify_stored(sample.paths)


def test_an_instance_that_was_never_sent_is_named(archive: DicomWebArchive, stored: Sample, tmp_path: Path) -> None:
    other = raw_data_series(tmp_path, parts=1)
    with pytest.raises(ArchiveError, match=r"does not hold 1 instances.*part1\.dcm: not found again"):
        archive.verify_stored([*stored.paths, *other.paths])


def test_another_payload_under_a_uid_that_is_taken_is_noticed(
    archive: DicomWebArchive, stored: Sample, tmp_path: Path
) -> None:
    altered = tmp_path / "altered.dcm"
    octets = bytearray(stored.paths[0].read_bytes())
    octets[-10] ^= 0xFF
    altered.write_bytes(bytes(octets))
    archive.store([altered])
    with pytest.raises(ArchiveError, match=r"altered\.dcm: \(7FE1,1030\): the value .* was altered"):
        archive.verify_stored([altered])


def test_an_unknown_study_is_told(archive: DicomWebArchive, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"has nothing of study 1\.2\.3\.4"):
        archive.fetch(Wanted("1.2.3.4"), tmp_path / "into")
    with pytest.raises(ArchiveError, match="HTTP 404"):
        archive.fetch(Wanted("1.2.3.4", "1.2.3.5", ("1.2.3.6",)), tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_cancelling_ends_a_store_and_a_fetch(archive: DicomWebArchive, stored: Sample, tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    sample = raw_data_series(tmp_path / "sample")
    with pytest.raises(CancelledError):
        archive.store(sample.paths, cancel=cancel)
    with pytest.raises(CancelledError):
        archive.fetch(Wanted(stored.study), tmp_path / "into", cancel=cancel)
    assert not (tmp_path / "into").exists()
    assert archive.find(Level.STUDY, {"StudyInstanceUID": sample.study}) == []
