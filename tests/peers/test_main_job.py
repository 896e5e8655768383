"""The whole way on real, unmodified archives: pack, store, find, fetch, verify, run, write back, fetch back."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from iodeep.card import read_card
from iodeep.errors import ObjectError
from iodeep.inference import Engine
from iodeep.model_object import PackedModel
from iodeep.ports import Archive, Level, Wanted
from iodeep.results import SegKind
from iodeep.selection import SiteRules, decision_record
from iodeep.service.explaining import decisions_about
from iodeep.service.library import fetch_model
from iodeep.service.packing import pack_network
from iodeep.service.running import Job, RunReport, run_job
from iodeep.service.selecting import site_policy
from iodeep.service.storing import dicom_files, store_and_prove
from iodeep.service.subjects import subject_of
from iodeep.settings import PacsSettings, Retrieve, RunSettings, Settings
from iodeep.trust import verify_object
from pacs_bridge import open_archive
from pacs_bridge.content_digest import same_content
from tests.peers.servers import Peer

pytestmark = [pytest.mark.peers, pytest.mark.slow]

SAMPLE_DATA = Path(__file__).resolve().parents[2] / "sample_data"
HEAD = SAMPLE_DATA / "mr-head"
HEAD_SERIES = "0.0.0.0.3.8811.2.20010413115754.12432"
HEAD_STUDY = "0.0.0.0.2.8811.20010413115754.12432"
MEBI = 1 << 20


@pytest.fixture(scope="module")
def brain(tmp_path_factory: pytest.TempPathFactory) -> PackedModel:
    """The real network in parts of 2 MiB, so that it has several."""
    out = tmp_path_factory.mktemp("packed") / "brain"
    with Engine(RunSettings()) as engine:
        card = read_card(SAMPLE_DATA / "brain" / "card.yaml")
        network = SAMPLE_DATA / "brain" / "brain-extraction.onnx"
        return pack_network(network, card, out, engine, self_test_series=HEAD, part_size=2 * MEBI).model


def _run(settings: PacsSettings, folder: Path, kind: SegKind = SegKind.BINARY) -> RunReport:
    with open_archive(settings) as archive, Engine(RunSettings()) as engine:
        workspace = folder / "workspace"
        subject = subject_of(HEAD_SERIES, archive, workspace)
        job = Job(subject, archive, folder / "cache", site_policy(Settings()), kind=kind, out=folder / "results")
        return run_job(job, engine, workspace)


def _main_job(settings: PacsSettings, brain: PackedModel, folder: Path) -> None:
    with open_archive(settings) as archive:
        store_and_prove(archive, [*brain.files, *dicom_files([HEAD])])
    report = _run(settings, folder)
    assert report.stored
    assert 1200 <= report.volumes_ml[1] <= 1400
    with open_archive(settings) as archive:
        _model_came_back_whole(archive, brain, folder / "model")
        for uid, series in (
            (report.uids.segmentation, report.uids.segmentation_series),
            (report.uids.report, report.uids.report_series),
        ):
            (back,) = archive.fetch(Wanted(HEAD_STUDY, series), _made(folder / uid))
            sent = folder / "results" / f"{uid}.dcm"
            assert same_content(sent, back) is None
        _says_why(archive, report, folder / "why")


def _says_why(archive: Archive, report: RunReport, folder: Path) -> None:
    """The whole record of the choice comes back, by the UID of the report, of the segmentation and of the series."""
    record = decision_record(report.decision, SiteRules())
    for uid in (report.uids.report, f"{HEAD_STUDY}/{report.uids.segmentation}", HEAD_SERIES):
        (kept,) = decisions_about(uid, archive, _made(folder / uid.replace("/", "-")))
        assert kept.record == record
        assert kept.segmentation_uids == (report.uids.segmentation,)


def _model_came_back_whole(archive: Archive, brain: PackedModel, folder: Path) -> None:
    local = fetch_model(archive, brain.study_instance_uid, folder)
    report = verify_object(local.descriptor_path, local.part_paths)
    assert report.holds, report.sentences
    by_uid = {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in brain.files}
    for path in (local.descriptor_path, *local.part_paths):
        uid = str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)
        assert same_content(by_uid[uid], path) is None


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("retrieve", [Retrieve.GET, Retrieve.MOVE])
def test_the_whole_way_over_dimse(fresh_peer: Peer, brain: PackedModel, tmp_path: Path, retrieve: Retrieve) -> None:
    _main_job(fresh_peer.settings(retrieve), brain, tmp_path)


def test_the_whole_way_over_dicomweb(orthanc_peer: Peer, brain: PackedModel, tmp_path: Path) -> None:
    _main_job(orthanc_peer.settings(Retrieve.WEB), brain, tmp_path)


def test_a_label_map_falls_back_where_the_archive_refuses_it(
    fresh_peer: Peer, brain: PackedModel, tmp_path: Path
) -> None:
    with open_archive(fresh_peer.settings()) as archive:
        archive.store([*brain.files, *dicom_files([HEAD])])
        takes = SegKind.LABELMAP if archive.accepted(["1.2.840.10008.5.1.4.1.1.66.7"]) else SegKind.BINARY

    report = _run(fresh_peer.settings(), tmp_path, SegKind.LABELMAP)

    assert report.kind is takes
    assert report.stored
    with open_archive(fresh_peer.settings()) as archive:
        rows = archive.find(Level.SERIES, {"StudyInstanceUID": HEAD_STUDY}, ("SeriesInstanceUID",))
        assert report.uids.segmentation_series in {row["SeriesInstanceUID"] for row in rows}


def test_a_part_that_the_archive_lost_is_named_and_the_network_not_run(
    qrscp_peer: Peer, brain: PackedModel, tmp_path: Path
) -> None:
    """As dcmqrscp does beyond its limit of a study: all answers were Success, and one instance is gone."""
    with open_archive(qrscp_peer.settings()) as archive:
        archive.store([*brain.files[1:], *dicom_files([HEAD])])

    with pytest.raises(ObjectError, match="missing"):
        _run(qrscp_peer.settings(), tmp_path)
    assert not (tmp_path / "results").exists()
