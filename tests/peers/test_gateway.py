"""The gateway in front of real archives that it asks by DIMSE, used by two clients, and held against Orthanc's own DICOMweb."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread

from iodeep.ports import Level, Wanted
from iodeep.settings import PacsSettings, Retrieve
from pacs_bridge import open_archive
from pacs_bridge.content_digest import same_content
from pacs_bridge.dicomweb import DicomWebArchive
from pacs_bridge.gateway import Gateway
from tests.gateway_server import PREFIX, served
from tests.peers.servers import Peer
from tests.synthetic import write_series

pytestmark = pytest.mark.peers
SLICES = 12


@contextmanager
def gateway_url(gateway: Gateway) -> Iterator[str]:
    """The gateway's root at a free port of loopback."""
    with served(gateway) as port:
        yield f"http://127.0.0.1:{port}{PREFIX}"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    rng = np.random.default_rng(1)
    voxels = rng.integers(0, 4000, (SLICES, 64, 48), dtype=np.int16)
    return write_series(tmp_path_factory.mktemp("images"), voxels, name="gateway", study="gateway", patient="GATEWAY1")


@pytest.fixture(scope="module")
def root(peer: Peer, images: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The gateway in front of each peer, which holds the images."""
    with open_archive(peer.settings()) as archive:
        archive.store(images)
    gateway = Gateway(lambda _: open_archive(peer.settings()), tmp_path_factory.mktemp("cache"), 1 << 28)
    with gateway_url(gateway) as url:
        yield url
    gateway.close()


def _uids(path: Path) -> tuple[str, str, str]:
    dataset = dcmread(path, stop_before_pixels=True)
    return str(dataset.StudyInstanceUID), str(dataset.SeriesInstanceUID), str(dataset.SOPInstanceUID)


def test_dicomweb_client_finds_and_retrieves_everything(root: str, images: list[Path]) -> None:
    client = DICOMwebClient(root)
    study, series, uid = _uids(images[3])
    truth = dcmread(images[3])

    (found,) = client.search_for_studies(search_filters={"PatientID": "GATEWAY1"})
    assert found["00201208"]["Value"] == [SLICES]
    assert found["00080061"]["Value"] == ["CT"]
    assert len(client.search_for_instances(study, series)) == SLICES
    assert len(client.retrieve_study(study)) == len(client.retrieve_series(study, series)) == SLICES
    metadata = client.retrieve_series_metadata(study, series)
    (one,) = [each for each in metadata if each["00080018"]["Value"] == [uid]]
    (bulk,) = client.retrieve_bulkdata(one["7FE00010"]["BulkDataURI"])
    (frame,) = client.retrieve_instance_frames(study, series, uid, [1])
    assert bulk == frame == truth.PixelData
    assert np.array_equal(client.retrieve_instance(study, series, uid).pixel_array, truth.pixel_array)
    assert client.retrieve_instance_rendered(study, series, uid, media_types=("image/png",))[:4] == b"\x89PNG"


def test_our_own_client_reads_through_the_gateway_what_was_stored(
    root: str, images: list[Path], tmp_path: Path
) -> None:
    study, series, _ = _uids(images[0])
    with DicomWebArchive(PacsSettings(name="gateway", dicomweb=root, retrieve=Retrieve.WEB)) as archive:
        (found,) = archive.find(Level.SERIES, {"StudyInstanceUID": study}, ["Modality"])
        files = archive.fetch(Wanted(study, series), tmp_path / "fetched")

    truth = {_uids(path)[2]: path for path in images}
    assert found["Modality"] == "CT"
    assert len(files) == SLICES
    assert all(same_content(truth[file.stem], file) is None for file in files)


def test_what_is_stored_through_the_gateway_is_verified_in_the_archive(root: str, peer: Peer, tmp_path: Path) -> None:
    paths = write_series(
        tmp_path, np.ones((3, 8, 8), np.int16), name="stow", study=f"stow {peer.name}", patient="STOW1"
    )
    with DicomWebArchive(PacsSettings(name="gateway", dicomweb=root, retrieve=Retrieve.WEB)) as gateway:
        assert gateway.store(paths).warnings == ()
    with open_archive(peer.settings()) as archive:
        archive.verify_stored(paths)


def test_many_readers_at_once_cause_one_retrieve(peer: Peer, images: list[Path], tmp_path: Path) -> None:
    with open_archive(peer.settings()) as archive:
        archive.store(images)
    fetches = []

    def opened(_: str) -> Any:
        archive = open_archive(peer.settings())
        fetch = archive.fetch
        archive.fetch = lambda *args, **more: fetches.append(args[0]) or fetch(*args, **more)  # type: ignore[method-assign,func-returns-value]
        return archive

    gateway = Gateway(opened, tmp_path / "cache", 1 << 28)
    with gateway_url(gateway) as url:
        answers: dict[str, bytes] = {}

        def read(path: Path) -> None:
            study, series, uid = _uids(path)
            frame = requests.get(
                f"{url}/studies/{study}/series/{series}/instances/{uid}/frames/1",
                headers={"Accept": "application/octet-stream"},
                timeout=60,
            )
            answers[uid] = frame.content

        threads = [threading.Thread(target=read, args=(path,)) for path in images]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    gateway.close()

    assert answers == {_uids(path)[2]: dcmread(path).PixelData for path in images}
    assert sum(not each.instances for each in fetches) == 1
    assert len(fetches) <= 2


_DIFFERS = {
    "00081190": "RetrieveURL: each service's own",
    "0008002A": "not given by the gateway",
    "00080056": "InstanceAvailability: not given where the archive doesn't tell",
    "00080005": "the gateway's JSON is UTF-8",
    "00083002": "AvailableTransferSyntaxUID",
}


@pytest.mark.parametrize("resource", ["studies", "series", "instances"])
def test_answers_are_those_of_orthancs_own_dicomweb(
    orthanc_peer: Peer, images: list[Path], tmp_path: Path, resource: str
) -> None:
    """Attribute by attribute, for what both give: by C-FIND through us, and by Orthanc's plug-in itself."""
    with open_archive(orthanc_peer.settings()) as archive:
        archive.store(images)
    study, series, _ = _uids(images[0])
    paths = {
        "studies": f"/studies?StudyInstanceUID={study}",
        "series": f"/studies/{study}/series",
        "instances": f"/studies/{study}/series/{series}/instances",
    }
    gateway = Gateway(lambda _: open_archive(orthanc_peer.settings()), tmp_path / "cache", 1 << 28)
    with gateway_url(gateway) as url:
        ours = requests.get(url + paths[resource], timeout=60).json()
    gateway.close()
    theirs = requests.get(
        f"{orthanc_peer.dicomweb}{paths[resource]}", headers={"Accept": "application/dicom+json"}, timeout=60
    ).json()

    key = {"studies": "0020000D", "series": "0020000E", "instances": "00080018"}[resource]
    other = {each[key]["Value"][0]: each for each in theirs}
    assert {each[key]["Value"][0] for each in ours} == set(other)
    compared = 0
    for each in ours:
        for tag in (each.keys() & other[each[key]["Value"][0]].keys()) - _DIFFERS.keys():
            assert each[tag] == other[each[key]["Value"][0]][tag], tag
            compared += 1
    assert compared >= len(ours) * 4


def test_metadata_are_those_of_orthancs_own_dicomweb(orthanc_peer: Peer, images: list[Path], tmp_path: Path) -> None:
    with open_archive(orthanc_peer.settings()) as archive:
        archive.store(images)
    study, series, uid = _uids(images[5])
    path = f"/studies/{study}/series/{series}/instances/{uid}/metadata"
    gateway = Gateway(lambda _: open_archive(orthanc_peer.settings()), tmp_path / "cache", 1 << 28)
    with gateway_url(gateway) as url:
        (ours,) = requests.get(url + path, timeout=60).json()
    gateway.close()
    (theirs,) = requests.get(f"{orthanc_peer.dicomweb}{path}", timeout=60).json()

    ours_only = ours.keys() - theirs.keys() - _DIFFERS.keys()
    theirs_only = theirs.keys() - ours.keys() - _DIFFERS.keys()
    assert (ours_only, theirs_only) == (set(), set())
    for tag in ours.keys() - _DIFFERS.keys() - {"7FE00010"}:
        assert _plain(ours[tag]) == _plain(theirs[tag]), tag
    assert "BulkDataURI" in ours["7FE00010"]
    assert "BulkDataURI" in theirs["7FE00010"]


def _plain(element: dict[str, Any]) -> tuple[str, list[Any]]:
    """An empty value may be told as no Value at all, as none of them, or as null."""
    return element["vr"], [value for value in element.get("Value", []) if value not in (None, "", {})]
