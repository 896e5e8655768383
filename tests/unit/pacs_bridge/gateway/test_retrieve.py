"""WADO-RS: instances, metadata, bulk data, frames and pictures are those of the archive, in what the client takes."""

from __future__ import annotations

from email import message_from_bytes
from email.message import Message
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from tests.synthetic import write_multiframe
from tests.unit.pacs_bridge.gateway.conftest import CT_STUDY, ROOT, VOXELS, Site

DICOM_PARTS = 'multipart/related; type="application/dicom"'
OCTET_PARTS = 'multipart/related; type="application/octet-stream"'


def _parts(answer: Any) -> list[Message]:
    assert answer.status_code == 200, answer.text
    whole = message_from_bytes(
        b"Content-Type: " + answer.headers["content-type"].encode() + b"\r\n\r\n" + answer.content
    )
    parts = whole.get_payload()
    assert isinstance(parts, list)
    return [part for part in parts if isinstance(part, Message)]


def _octets(part: Message) -> bytes:
    octets = part.get_payload(decode=True)
    assert isinstance(octets, bytes)
    return octets


def _compress(site: Site, syntax: str) -> str:
    """The first slice compressed in the archive."""
    path = next(path for path in site.shelf.folder.glob("ct-*") if dcmread(path).SOPInstanceUID == site.uids[0])
    dataset = dcmread(path)
    dataset.compress(syntax, generate_instance_uid=False)
    dataset.save_as(path)
    return f"{site.series}/instances/{site.uids[0]}"


@pytest.mark.parametrize("resource", ["", "/series/{series}"])
def test_a_study_and_a_series_come_as_parts_byte_for_byte(site: Site, resource: str) -> None:
    url = site.series if resource else f"{ROOT}/studies/{CT_STUDY}"
    parts = _parts(site.client.get(url, headers={"Accept": f"{DICOM_PARTS}; transfer-syntax=*"}))

    held = {path.read_bytes() for path in site.shelf.folder.glob("ct-*")}
    assert {_octets(part) for part in parts} == held
    assert parts[0]["Content-Type"] == f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}"
    assert str(parts[0]["Content-Location"]).startswith(f"http://testserver{site.series}/instances/")


def test_an_instance_comes_bare_where_that_is_asked_for(site: Site) -> None:
    url = f"{site.series}/instances/{site.uids[2]}"
    bare = site.client.get(url, headers={"Accept": "application/dicom"})

    assert bare.headers["content-type"] == f"application/dicom; transfer-syntax={ExplicitVRLittleEndian}"
    assert np.array_equal(dcmread(BytesIO(bare.content)).pixel_array, VOXELS[2])
    assert len(_parts(site.client.get(url))) == 1


def test_a_compressed_instance_is_decompressed_unless_it_is_taken_as_stored(site: Site) -> None:
    url = _compress(site, JPEGLSLossless)
    default = dcmread(BytesIO(site.client.get(url, headers={"Accept": "application/dicom"}).content))
    stored = site.client.get(url, headers={"Accept": "application/dicom; transfer-syntax=*"})
    implicit = site.client.get(url, headers={"Accept": f"application/dicom; transfer-syntax={ImplicitVRLittleEndian}"})
    other = site.client.get(url, headers={"Accept": f"application/dicom; transfer-syntax={RLELossless}"})

    assert default.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert np.array_equal(default.pixel_array, VOXELS[0])
    assert dcmread(BytesIO(stored.content)).file_meta.TransferSyntaxUID == JPEGLSLossless
    assert np.array_equal(dcmread(BytesIO(implicit.content)).pixel_array, VOXELS[0])
    assert other.status_code == 406


def test_metadata_name_bulk_data_that_can_be_had(site: Site) -> None:
    documents = site.client.get(f"{site.series}/metadata").json()
    first = next(each for each in documents if each["00080018"]["Value"] == [site.uids[0]])
    uri = first["7FE00010"]["BulkDataURI"].removeprefix("http://testserver")

    bare = site.client.get(uri, headers={"Accept": "application/octet-stream"})
    (part,) = _parts(site.client.get(uri))

    assert len(documents) == 4
    assert first["00281052"] == {"vr": "DS", "Value": [-1024.0]}
    assert bare.content == _octets(part) == VOXELS[0].tobytes()
    assert "7FE00010" in site.client.get(f"{ROOT}/studies/{CT_STUDY}/metadata").json()[0]
    assert site.client.get(f"{site.series}/instances/{site.uids[0]}/metadata").json() == [first]


def test_bulk_data_inside_a_sequence_and_what_is_none(site: Site, tmp_path: Path) -> None:
    path = next(site.shelf.folder.glob("ct-*"))
    dataset = dcmread(path)
    item = dcmread(path, specific_tags=["Modality"])
    inner = type(dataset["PixelData"])
    item.add(inner(0x00420011, "OB", b"\x01\x02" * 4000))
    dataset.ReferencedImageSequence = [item]
    dataset.save_as(path)
    uid = dataset.SOPInstanceUID

    (document,) = site.client.get(f"{site.series}/instances/{uid}/metadata").json()
    uri = document["00081140"]["Value"][0]["00420011"]["BulkDataURI"].removeprefix("http://testserver")

    assert site.client.get(uri, headers={"Accept": "application/octet-stream"}).content == b"\x01\x02" * 4000
    for where in ("00420011", "00100020", "00081140/7/00420011", "x", "0008114000420011"):
        assert site.client.get(f"{site.series}/instances/{uid}/bulkdata/{where}").status_code == 404


@pytest.mark.parametrize("accept", [None, OCTET_PARTS, "*/*", f"{OCTET_PARTS}; transfer-syntax=*"])
def test_a_frame_is_the_stored_values_little_endian(site: Site, accept: str | None) -> None:
    headers = {"Accept": accept} if accept else {}
    (part,) = _parts(site.client.get(f"{site.series}/instances/{site.uids[1]}/frames/1", headers=headers))

    assert _octets(part) == VOXELS[1].tobytes()
    assert str(part["Content-Type"]).startswith("application/octet-stream")


def test_a_frame_comes_bare_where_that_is_asked_for(site: Site) -> None:
    url = f"{site.series}/instances/{site.uids[1]}/frames/1"
    answer = site.client.get(url, headers={"Accept": "application/octet-stream"})

    assert answer.content == VOXELS[1].tobytes()


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, RLELossless])
def test_compressed_frames_are_decoded_or_given_as_stored(site: Site, syntax: str) -> None:
    url = f"{_compress(site, syntax)}/frames/1"
    (decoded,) = _parts(site.client.get(url))
    (stored,) = _parts(site.client.get(url, headers={"Accept": f"{OCTET_PARTS}; transfer-syntax=*"}))
    named = (
        "image/jls" if syntax == JPEGLSLossless else "image/jp2" if syntax == JPEG2000Lossless else "image/dicom-rle"
    )
    alone = site.client.get(url, headers={"Accept": named})

    assert _octets(decoded) == VOXELS[0].tobytes()
    assert stored["Content-Type"] == f"{named}; transfer-syntax={syntax}"
    assert alone.content == _octets(stored)
    assert site.client.get(url, headers={"Accept": "image/gif"}).status_code == 406


def test_frames_of_an_enhanced_image_come_in_the_order_asked_for(site: Site, tmp_path: Path) -> None:
    path = write_multiframe(tmp_path / "mf", VOXELS, study="ct", name="many")
    dataset = dcmread(path)
    path.rename(site.shelf.folder / "mf.dcm")
    url = f"{ROOT}/studies/{CT_STUDY}/series/{dataset.SeriesInstanceUID}/instances/{dataset.SOPInstanceUID}"

    parts = _parts(site.client.get(f"{url}/frames/3,1"))

    assert [_octets(part) for part in parts] == [VOXELS[2].tobytes(), VOXELS[0].tobytes()]
    assert site.client.get(f"{url}/frames/5").status_code == 404
    assert site.client.get(f"{url}/frames/0").status_code == 404
    assert site.client.get(f"{url}/frames/a").status_code == 400
    assert "one of 4 frames" in site.client.get(f"{url}/rendered").headers["warning"]


def _drawn(answer: Any) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(BytesIO(answer.content)))


def test_a_picture_is_the_window_on_rescaled_values(site: Site) -> None:
    """By PS3.3 C.11.2.1.2: below center - 0.5 - (width - 1) / 2 black, above it white, linear between."""
    url = f"{site.series}/instances/{site.uids[1]}/rendered"
    drawn = _drawn(site.client.get(url, params={"window": "10000,4001,linear"}, headers={"Accept": "image/png"}))

    values = VOXELS[1].astype(float) - 1024
    expected = np.clip(np.rint(((values - 9999.5) / 4000 + 0.5) * 255), 0, 255)
    assert np.array_equal(drawn, expected)
    assert len(np.unique(drawn)) > 50


def test_monochrome1_is_inverted_and_an_image_without_window_uses_its_range(site: Site) -> None:
    for path in site.shelf.folder.glob("ct-*"):
        dataset = dcmread(path)
        dataset.PhotometricInterpretation = "MONOCHROME1"
        dataset.save_as(path)
    drawn = _drawn(site.client.get(f"{site.series}/instances/{site.uids[0]}/rendered", headers={"Accept": "image/png"}))

    assert (drawn[0, 0], drawn[-1, -1]) == (255, 0)


@pytest.mark.parametrize("window", [(10000, 4001), (15000, 40001), (0, 0)])
def test_the_images_own_window_is_used_where_it_is_one(site: Site, window: tuple[int, int]) -> None:
    for path in site.shelf.folder.glob("ct-*"):
        dataset = dcmread(path)
        dataset.WindowCenter, dataset.WindowWidth = window
        dataset.save_as(path)
    drawn = _drawn(site.client.get(f"{site.series}/instances/{site.uids[1]}/rendered", headers={"Accept": "image/png"}))

    value = float(VOXELS[1].max()) - 1024
    expected = 255 if window[1] < 40001 else round(((value - 14999.5) / 40000 + 0.5) * 255)
    assert drawn.max() == expected
    assert len(np.unique(drawn)) > 40


def test_a_viewport_crops_scales_and_flips(site: Site) -> None:
    url = f"{site.series}/instances/{site.uids[0]}/rendered"

    def size(viewport: str) -> tuple[int, ...]:
        return _drawn(site.client.get(url, params={"viewport": viewport}, headers={"Accept": "image/png"})).shape

    plain = _drawn(site.client.get(url, headers={"Accept": "image/png"}))
    flipped = _drawn(site.client.get(url, params={"viewport": "40,48,,,-40,"}, headers={"Accept": "image/png"}))
    assert size("50,50") == (50, 42)
    assert size("10,10,1,1,2,2") == (10, 10)
    assert np.array_equal(flipped, plain[:, ::-1])


@pytest.mark.parametrize(
    "parameters",
    [
        {"window": "1,2"},
        {"window": "1,0,linear"},
        {"window": "1,2,cubic"},
        {"window": "nan,2,linear"},
        {"viewport": "0,5"},
        {"viewport": "99999,99999"},
        {"viewport": "5,5,90,90"},
        {"quality": "0"},
        {"quality": "x"},
        {"iccprofile": "srgb"},
    ],
)
def test_ill_formed_rendering_is_refused(site: Site, parameters: dict[str, str]) -> None:
    assert site.client.get(f"{site.series}/instances/{site.uids[0]}/rendered", params=parameters).status_code == 400


def test_thumbnails_are_small_and_of_the_middle(site: Site) -> None:
    for url in (f"{ROOT}/studies/{CT_STUDY}", site.series, f"{site.series}/instances/{site.uids[2]}"):
        answer = site.client.get(f"{url}/thumbnail", params={"viewport": "32,32"})
        assert (answer.headers["content-type"], _drawn(answer).shape) == ("image/jpeg", (32, 27))


def test_what_is_no_image_has_neither_frames_nor_picture(site: Site) -> None:
    (model,) = site.client.get(f"{ROOT}/studies/2.25.77/series/2.25.78/metadata").json()
    url = f"{ROOT}/studies/2.25.77/series/2.25.78/instances/{model['00080018']['Value'][0]}"

    assert site.client.get(f"{url}/frames/1").status_code == 404
    assert site.client.get(f"{url}/rendered").status_code == 406


@pytest.mark.parametrize("resource", ["", "/metadata", "/thumbnail"])
def test_what_is_not_there_is_404(site: Site, resource: str) -> None:
    for url in (f"{ROOT}/studies/1.2.3", f"{ROOT}/studies/{CT_STUDY}/series/1.2", f"{site.series}/instances/1.2"):
        assert site.client.get(url + resource).status_code == 404


def test_series_are_fetched_once_for_everything(site: Site) -> None:
    site.client.get(site.series)
    site.client.get(f"{site.series}/metadata")
    for uid in site.uids:
        site.client.get(f"{site.series}/instances/{uid}/frames/1")

    assert (site.shelf.asked["fetch series"], site.shelf.asked["fetch one"]) == (1, 0)
