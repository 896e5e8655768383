"""Every operation on every peer, through the archive port; ``docs/peers.md`` has to say what is seen here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.uid import ImplicitVRLittleEndian

from iodeep.errors import ArchiveError
from iodeep.ports import Level, Wanted
from iodeep.settings import MEBI, Retrieve
from pacs_bridge import open_archive
from pacs_bridge.content_digest import same_content
from tests.peers.matrix import DOCUMENT, read_matrix
from tests.peers.objects import RAW_DATA_STORAGE, Sample, raw_data_series
from tests.peers.servers import PEERS, Peer

pytestmark = pytest.mark.peers

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.7"
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
NOT_OFFERED = "not offered"

Operation = Callable[[Peer, Sample, Path], str]


def _echo(peer: Peer, sample: Sample, folder: Path) -> str:
    with open_archive(peer.settings()) as archive:
        assert archive.echo().milliseconds > 0
    return "yes"


def _store(peer: Peer, sample: Sample, folder: Path) -> str:
    other = raw_data_series(folder)
    with open_archive(peer.settings()) as archive:
        assert archive.store(other.paths).warnings == ()
        archive.verify_stored(other.paths)
    return "yes"


def _find_study(peer: Peer, sample: Sample, folder: Path) -> str:
    with open_archive(peer.settings()) as archive:
        found = archive.find(Level.STUDY, {"PatientID": f"{sample.patient[:-2]}*"}, ["StudyID"])
        assert [(one["StudyInstanceUID"], one["StudyID"]) for one in found] == [(sample.study, "V1.0.0")]
        assert archive.find(Level.STUDY, {"PatientID": sample.patient.lower()}) == []
    return "yes"


def _find_series(peer: Peer, sample: Sample, folder: Path) -> str:
    with open_archive(peer.settings()) as archive:
        found = archive.find(Level.SERIES, {"StudyInstanceUID": sample.study, "Modality": "OT"}, ["SeriesNumber"])
        assert [(one["SeriesInstanceUID"], one["SeriesNumber"]) for one in found] == [(sample.series, "1010000")]
        assert archive.find(Level.SERIES, {"StudyInstanceUID": sample.study, "SeriesDescription": "none"}) == []
    return "yes"


def _find_image(peer: Peer, sample: Sample, folder: Path) -> str:
    keys = {"StudyInstanceUID": sample.study, "SeriesInstanceUID": sample.series}
    with open_archive(peer.settings()) as archive:
        found = archive.find(Level.IMAGE, keys, ["InstanceNumber"])
    assert {one["SOPInstanceUID"]: one["InstanceNumber"] for one in found} == dict(
        zip(sample.instances, "123", strict=True)
    )
    return "yes"


def _retrieve_by(method: Retrieve) -> Operation:
    def retrieve(peer: Peer, sample: Sample, folder: Path) -> str:
        if method is Retrieve.WEB and peer.dicomweb is None:
            return NOT_OFFERED
        with open_archive(peer.settings(method)) as archive:
            came = archive.fetch(Wanted(sample.study, sample.series), folder)
        by_name = {path.stem: path for path in came}
        assert by_name.keys() == set(sample.instances)
        for uid, path in zip(sample.instances, sample.paths, strict=True):
            assert same_content(path, by_name[uid]) is None
        return "yes"

    return retrieve


def _store_by_web(peer: Peer, sample: Sample, folder: Path) -> str:
    if peer.dicomweb is None:
        return NOT_OFFERED
    other = raw_data_series(folder)
    with open_archive(peer.settings(Retrieve.WEB)) as archive:
        archive.store(other.paths)
        archive.verify_stored(other.paths)
    return "yes"


def _implicit_vr(peer: Peer, sample: Sample, folder: Path) -> str:
    other = raw_data_series(folder, syntax=ImplicitVRLittleEndian)
    with open_archive(peer.settings()) as archive:
        archive.store(other.paths)
        archive.verify_stored(other.paths)
    return "yes"


def _takes(sop_class: str) -> Operation:
    def takes(peer: Peer, sample: Sample, folder: Path) -> str:
        with open_archive(peer.settings()) as archive:
            return "yes" if sop_class in archive.accepted([sop_class]) else "refused"

    return takes


def _over_one_gibibyte(peer: Peer, sample: Sample, folder: Path) -> str:
    other = raw_data_series(folder, parts=17, payload_bytes=64 * MEBI)
    with open_archive(peer.settings()) as archive:
        archive.store(other.paths)
        try:
            archive.verify_stored(other.paths)
        except ArchiveError as error:
            oldest = "part1.dcm"
            return "noticed" if oldest in str(error) else f"failed otherwise: {error}"
    return "yes"


OPERATIONS: dict[str, Operation] = {
    "C-ECHO": _echo,
    "C-STORE, verified": _store,
    "C-FIND of a study by Patient ID with a wildcard": _find_study,
    "C-FIND of a series": _find_series,
    "C-FIND of instances": _find_image,
    "C-GET": _retrieve_by(Retrieve.GET),
    "C-MOVE": _retrieve_by(Retrieve.MOVE),
    "WADO-RS": _retrieve_by(Retrieve.WEB),
    "STOW-RS, verified": _store_by_web,
    "Implicit VR Little Endian, verified": _implicit_vr,
    "takes Raw Data": _takes(RAW_DATA_STORAGE),
    "takes Segmentation": _takes(SEGMENTATION),
    "takes Label Map Segmentation": _takes(LABEL_MAP_SEGMENTATION),
    "takes Comprehensive 3D SR": _takes(COMPREHENSIVE_3D_SR),
    "a study of more than 1 GiB, verified": _over_one_gibibyte,
}
_SLOW = {"a study of more than 1 GiB, verified"}


@pytest.fixture(scope="module")
def sample(peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """A series that the peer holds."""
    series = raw_data_series(tmp_path_factory.mktemp("sample"))
    with open_archive(peer.settings()) as archive:
        archive.store(series.paths)
    return series


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Gone at once: a gigabyte would lie about until the third next run."""
    yield tmp_path / "folder"
    shutil.rmtree(tmp_path / "folder", ignore_errors=True)


@pytest.mark.parametrize(
    "operation", [pytest.param(name, marks=[pytest.mark.slow] if name in _SLOW else []) for name in OPERATIONS]
)
def test_the_table_says_what_is_seen(
    peer: Peer, sample: Sample, operation: str, folder: Path, request: pytest.FixtureRequest
) -> None:
    seen = OPERATIONS[operation](peer, sample, folder)
    matrix = read_matrix()
    if request.config.getoption("--write-peers-matrix", default=False):
        matrix.cells.setdefault(operation, {})[peer.name] = seen
        matrix.versions[peer.name] = peer.version
        DOCUMENT.write_text(matrix.text(list(PEERS), list(OPERATIONS)), encoding="utf-8")
    else:
        assert matrix.cells.get(operation, {}).get(peer.name) == seen


def test_the_table_holds_every_operation_on_every_peer_and_no_other() -> None:
    cells = read_matrix().cells
    assert {name: sorted(seen) for name, seen in cells.items()} == dict.fromkeys(OPERATIONS, sorted(PEERS))
