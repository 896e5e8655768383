"""The archive over DIMSE against a small peer in this process."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    MRImageStorage,
    RawDataStorage,
    SegmentationStorage,
    generate_uid,
)

from iodeep.errors import (
    ArchiveError,
    ArchiveUnreachableError,
    CancelledError,
    InputError,
    LocalStorageError,
    SettingsError,
)
from iodeep.ports import Level, Progress, Wanted
from iodeep.settings import Retrieve
from pacs_bridge import open_archive
from pacs_bridge.dimse import DimseArchive
from pacs_bridge.dimse.negotiation import MAX_CONTEXTS
from pacs_bridge.dimse.storage_classes import RECEIVED
from pacs_bridge.dimse.store import grouped
from pacs_bridge.part10 import Instance
from pacs_bridge.server_process import free_port
from tests.unit.pacs_bridge.dimse_peer import FIND, LOOPBACK, MOVE, Peer, raw_data, running, written

EXPLICIT = str(ExplicitVRLittleEndian)
STUDY, SERIES = generate_uid(), generate_uid()


def parts(count: int, **more: object) -> list[Dataset]:
    return [
        raw_data(study=STUDY, series=SERIES, number=number, payload=bytes([number, 0]) * 5000, **more)
        for number in range(1, count + 1)
    ]


def held(count: int, folder: Path) -> list[Dataset]:
    """What an archive holds: data sets read back, with their transfer syntax."""
    return [dcmread(written(part, folder)) for part in parts(count)]


def test_an_echo_names_the_peer_and_its_software() -> None:
    with running(Peer()) as peer, open_archive(peer.settings()) as archive:
        reply = archive.echo()
    assert reply.milliseconds > 0
    assert "PEER" in reply.peer
    assert reply.implementation is not None


def test_a_closed_port_is_told_with_host_and_port() -> None:
    port = free_port()
    archive = DimseArchive(Peer(port=port).settings())
    with pytest.raises(ArchiveUnreachableError, match=f"nothing answers at {LOOPBACK}:{port}"):
        archive.echo()


def test_a_host_without_address_is_told() -> None:
    archive = DimseArchive(Peer(port=104).settings(host="no-such-host.invalid"))
    with pytest.raises(ArchiveUnreachableError, match=r"no-such-host\.invalid"):
        archive.echo()


def test_a_wrong_called_ae_title_says_which_to_set() -> None:
    with (
        running(Peer()) as peer,
        open_archive(peer.settings(aet="WRONG")) as archive,
        pytest.raises(ArchiveUnreachableError, match="rejected the association") as told,
    ):
        archive.echo()
    assert "set aet" in str(told.value)
    assert "WRONG" in str(told.value)


def test_an_unknown_calling_ae_title_says_what_to_register() -> None:
    with (
        running(Peer(calling="KNOWN")) as peer,
        open_archive(peer.settings()) as archive,
        pytest.raises(ArchiveUnreachableError, match="register IODEEP"),
    ):
        archive.echo()


def test_what_is_stored_arrives_byte_for_byte(tmp_path: Path) -> None:
    paths = [written(part, tmp_path) for part in parts(3)]
    seen: list[Progress] = []
    with running(Peer()) as peer, open_archive(peer.settings()) as archive:
        report = archive.store(paths, progress=seen.append)
    assert report.instances == 3
    assert seen[-1].done == seen[-1].total == report.bytes
    assert [held[0x7FE1, 0x1030].value for held in peer.held] == [bytes([n, 0]) * 5000 for n in (1, 2, 3)]


def test_a_file_is_rewritten_for_a_peer_that_takes_implicit_vr_only(tmp_path: Path) -> None:
    path = written(parts(1)[0], tmp_path)
    with running(Peer(syntaxes=(ImplicitVRLittleEndian,))) as peer, open_archive(peer.settings()) as archive:
        archive.store([path])
        archive.verify_stored([path])
    assert peer.held[0].file_meta.TransferSyntaxUID == ImplicitVRLittleEndian


def test_a_compressed_file_is_not_decompressed_on_the_way(tmp_path: Path) -> None:
    path = written(raw_data(study=STUDY, series=SERIES), tmp_path, JPEGLSLossless)
    with (
        running(Peer()) as peer,
        open_archive(peer.settings()) as archive,
        pytest.raises(ArchiveError, match="JPEG-LS Lossless"),
    ):
        archive.store([path])
    assert peer.held == []


@pytest.mark.parametrize(
    ("status", "words"),
    [(0xB000, "Warning"), (0xB006, "Warning"), (0xB007, "Warning"), (0xA700, "out of resources"), (0xC001, "Failure")],
)
def test_only_success_is_success(tmp_path: Path, status: int, words: str) -> None:
    path = written(parts(1)[0], tmp_path)
    with (
        running(Peer(store_status=status)) as peer,
        open_archive(peer.settings()) as archive,
        pytest.raises(ArchiveError, match=f"0x{status:04X}") as told,
    ):
        archive.store([path])
    assert words.lower() in str(told.value).lower()
    assert path.name in str(told.value)
    assert "Raw Data Storage" in str(told.value)


def test_a_sop_class_that_the_peer_does_not_take_is_named(tmp_path: Path) -> None:
    path = written(parts(1, SOPClassUID=SegmentationStorage)[0], tmp_path)
    with running(Peer()) as peer, open_archive(peer.settings()) as archive:
        with pytest.raises(ArchiveError, match="Segmentation Storage"):
            archive.store([path])
        assert archive.accepted([RawDataStorage, SegmentationStorage]) == {RawDataStorage}


def test_more_kinds_of_files_than_an_association_has_contexts_use_several() -> None:
    instances = [Instance(Path(f"{n}.dcm"), f"1.2.{n}", f"1.3.{n}", EXPLICIT, STUDY, SERIES, 0, 0) for n in range(100)]
    groups = [(len(group), len(proposals)) for group, proposals in grouped(instances)]
    assert groups == [(64, 128), (36, 72)]


def test_something_else_than_dicom_is_refused_before_connecting(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("no DICOM")
    with pytest.raises(InputError, match=r"note\.txt"):
        DimseArchive(Peer(port=104).settings()).store([path])


def test_a_study_over_the_known_limit_is_refused_before_connecting(tmp_path: Path) -> None:
    paths = [written(part, tmp_path) for part in parts(2)]
    archive = DimseArchive(Peer(port=104).settings(max_study_size=15_000))
    with pytest.raises(ArchiveError, match="too large"):
        archive.store(paths)


def test_supersets_are_filtered_and_repeats_told_once() -> None:
    other = parts(1, StudyInstanceUID=generate_uid(), PatientID="SOMEONE")
    with running(Peer(held=[*parts(3), *other], repeat=2)) as peer, open_archive(peer.settings()) as archive:
        found = archive.find(Level.STUDY, {"PatientID": "AIM1.*"}, ["StudyID"])
    assert [(answer["StudyInstanceUID"], answer["StudyID"]) for answer in found] == [(STUDY, "V1.0.0")]


def test_keys_of_the_study_are_asked_for_at_the_study_level() -> None:
    with running(Peer(held=parts(2))) as peer, open_archive(peer.settings()) as archive:
        found = archive.find(Level.SERIES, {"PatientID": "AIM1*", "Modality": "OT"}, ["StudyID", "SeriesNumber"])
    assert [query.QueryRetrieveLevel for query in peer.queries] == ["STUDY", "SERIES"]
    assert "PatientID" not in peer.queries[1]
    assert found == [
        {
            "StudyInstanceUID": STUDY,
            "SeriesInstanceUID": SERIES,
            "PatientID": "AIM1.MR.BRAIN",
            "Modality": "OT",
            "StudyID": "V1.0.0",
            "SeriesNumber": "1",
        }
    ]


def test_a_list_of_uids_is_asked_for_one_by_one() -> None:
    both = parts(2)
    uids = [str(part.SOPInstanceUID) for part in both]
    match = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES, "SOPInstanceUID": "\\".join(uids)}
    with running(Peer(held=[*both, *parts(1)])) as peer, open_archive(peer.settings()) as archive:
        found = archive.find(Level.IMAGE, match)
    assert [answer["SOPInstanceUID"] for answer in found] == uids
    assert [query.SOPInstanceUID for query in peer.queries] == uids


def test_a_refused_query_is_told_with_its_status() -> None:
    with (
        running(Peer(find_status=0xA900)) as peer,
        open_archive(peer.settings()) as archive,
        pytest.raises(ArchiveError, match="0xA900"),
    ):
        archive.find(Level.STUDY, {})


def test_a_query_association_that_was_lost_meanwhile_is_opened_again() -> None:
    with running(Peer(held=parts(1))) as peer, DimseArchive(peer.settings()) as archive:
        archive.echo()
        assert archive._queries._idle is not None
        archive._queries._idle.wire.close()
        assert len(archive.find(Level.STUDY, {})) == 1


@pytest.mark.parametrize("method", [Retrieve.GET, Retrieve.MOVE])
def test_what_is_fetched_is_what_the_archive_holds(tmp_path: Path, method: Retrieve) -> None:
    port = free_port()
    peer = Peer(held=held(3, tmp_path / "held"), destination_port=port)
    with running(peer), open_archive(peer.settings(method, move_port=port)) as archive:
        paths = archive.fetch(Wanted(STUDY, SERIES), tmp_path / "into")
        archive.verify_stored([Path(str(part.filename)) for part in peer.held])
    assert [path.stem for path in paths] == sorted(str(part.SOPInstanceUID) for part in peer.held)
    for path in paths:
        original = (tmp_path / "held" / path.name).read_bytes()
        assert hashlib.sha256(path.read_bytes()[-10_000:]).digest() == hashlib.sha256(original[-10_000:]).digest()
        assert dcmread(path).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_single_instances_are_fetched_by_their_uid(tmp_path: Path) -> None:
    peer = Peer(held=held(3, tmp_path / "held"))
    uid = str(peer.held[1].SOPInstanceUID)
    with running(peer), open_archive(peer.settings()) as archive:
        paths = archive.fetch(Wanted(STUDY, None, (uid,)), tmp_path / "into")
    assert [path.stem for path in paths] == [uid]


def test_a_peer_without_c_get_is_asked_by_c_move_from_then_on(tmp_path: Path) -> None:
    port = free_port()
    services = (FIND, MOVE)
    peer = Peer(held=held(2, tmp_path / "held"), destination_port=port, services=services)
    with running(peer), DimseArchive(peer.settings(move_port=port)) as archive:
        assert len(archive.fetch(Wanted(STUDY, SERIES), tmp_path / "into")) == 2
        assert archive._methods.worked is Retrieve.MOVE


def test_an_unknown_move_destination_says_what_to_register(tmp_path: Path) -> None:
    peer = Peer(held=held(1, tmp_path / "held"))
    with (
        running(peer),
        open_archive(peer.settings(Retrieve.MOVE)) as archive,
        pytest.raises(ArchiveError, match="Register IODEEP as a C-MOVE destination"),
    ):
        archive.fetch(Wanted(STUDY, SERIES), tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_nothing_of_a_study_that_the_archive_lacks(tmp_path: Path) -> None:
    with (
        running(Peer()) as peer,
        open_archive(peer.settings()) as archive,
        pytest.raises(ArchiveError, match="holds nothing of study"),
    ):
        archive.fetch(Wanted(STUDY), tmp_path / "into")


def test_an_instance_that_does_not_come_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    peer = Peer(held=held(3, tmp_path / "held"))
    lost = str(peer.held[1].SOPInstanceUID)
    peer.alter = lambda dataset: None if dataset.SOPInstanceUID == lost else dataset
    into = tmp_path / "into"
    into.mkdir()
    (into / "keep.txt").write_text("the caller's")
    with running(peer), open_archive(peer.settings(Retrieve.GET)) as archive, pytest.raises(ArchiveError, match=lost):
        archive.fetch(Wanted(STUDY, SERIES), into)
    assert [path.name for path in into.iterdir()] == ["keep.txt"]


def test_an_instance_of_another_study_is_not_kept(tmp_path: Path) -> None:
    peer = Peer(held=held(2, tmp_path / "held"))

    def into_another_study(dataset: Dataset) -> Dataset:
        dataset.StudyInstanceUID = generate_uid()
        return dataset

    with running(peer), open_archive(peer.settings(Retrieve.GET)) as archive:
        uids = tuple(str(part.SOPInstanceUID) for part in peer.held)
        peer.alter = into_another_study
        with pytest.raises(ArchiveError, match="another study or series"):
            archive.fetch(Wanted(STUDY, SERIES, uids), tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_an_instance_that_nobody_asked_for_is_refused_and_the_rest_kept(tmp_path: Path) -> None:
    peer = Peer(held=held(2, tmp_path / "held"))
    uid = str(peer.held[0].SOPInstanceUID)
    peer._wanted = lambda identifier: peer.held  # type: ignore[method-assign]
    with running(peer), open_archive(peer.settings(Retrieve.GET)) as archive:
        paths = archive.fetch(Wanted(STUDY, SERIES, (uid,)), tmp_path / "into")
    assert [path.stem for path in paths] == [uid]


def test_an_altered_instance_is_named_after_storing(tmp_path: Path) -> None:
    paths = [written(part, tmp_path) for part in parts(3)]
    with running(Peer()) as peer, open_archive(peer.settings()) as archive:
        archive.store(paths)
        archive.verify_stored(paths)
        peer.held[1][0x7FE1, 0x1030].value = b"\x02\x01" * 5000
        with pytest.raises(ArchiveError, match=str(peer.held[1].SOPInstanceUID)) as told:
            archive.verify_stored(paths)
    assert "1 instances other than they were sent" in str(told.value)


def test_a_silently_deleted_instance_is_named_after_storing(tmp_path: Path) -> None:
    paths = [written(part, tmp_path) for part in parts(3)]
    with running(Peer()) as peer, open_archive(peer.settings()) as archive:
        archive.store(paths)
        lost = peer.held.pop(0)
        with pytest.raises(ArchiveError, match=str(lost.SOPInstanceUID)) as told:
            archive.verify_stored(paths)
    assert "max_study_size" in str(told.value)


def test_a_cancelled_retrieve_leaves_nothing(tmp_path: Path) -> None:
    cancel = threading.Event()
    peer = Peer(held=held(3, tmp_path / "held"), during=cancel.set)
    with running(peer), open_archive(peer.settings(Retrieve.GET)) as archive, pytest.raises(CancelledError):
        archive.fetch(Wanted(STUDY, SERIES), tmp_path / "into", cancel=cancel)
    assert not (tmp_path / "into").exists()


def test_a_failed_sub_operation_is_an_error(tmp_path: Path) -> None:
    """The peer holds an MR image too, on which C-GET was negotiated in no way that it can send."""
    peer = Peer(held=held(2, tmp_path / "held"))
    peer.held[1].SOPClassUID = MRImageStorage
    with (
        running(peer),
        open_archive(peer.settings(Retrieve.GET)) as archive,
        pytest.raises(ArchiveError, match="1 sub-operations failed"),
    ):
        archive.fetch(Wanted(STUDY, SERIES), tmp_path / "into")


def test_what_is_offered_for_c_get_fits_one_association() -> None:
    assert len(RECEIVED) + 1 <= MAX_CONTEXTS


def test_a_full_disk_is_ours_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pacs_bridge.dimse.arrivals.write_header", no_room)
    peer = Peer(held=held(1, tmp_path / "held"))
    with (
        running(peer),
        open_archive(peer.settings(Retrieve.GET)) as archive,
        pytest.raises(LocalStorageError, match="No space left"),
    ):
        archive.fetch(Wanted(STUDY, SERIES), tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_a_port_for_c_move_that_is_taken_is_told(tmp_path: Path) -> None:
    peer = Peer(held=held(1, tmp_path / "held"))
    with (
        running(peer),
        open_archive(peer.settings(Retrieve.MOVE, move_port=peer.port)) as archive,
        pytest.raises(SettingsError, match="move_port"),
    ):
        archive.fetch(Wanted(STUDY, SERIES), tmp_path / "into")
