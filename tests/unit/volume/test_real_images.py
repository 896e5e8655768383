"""Real images of every transfer syntax decode to what other readers decode them to, and are placed or refused rightly."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from iodeep.errors import GeometryError
from iodeep.volume import find_series, open_series
from iodeep.volume.image_file import ImageFile, read_image_file
from iodeep.volume.pixels import stored_frames
from tests.synthetic import write_multiframe, write_series

sitk: Any = SimpleITK  # it ships types for a part only
SAMPLES = Path(__file__).parents[3] / "sample_data"
GREY = sorted(path for path in (SAMPLES / "images").glob("*.dcm") if not path.name.startswith("US-RGB"))

DECODED_BY_DCMTK = {
    "jpeg_baseline_8bit": "978fa8e8151d39e6ea48a0e42b766d0cfd8456fcc33426985c7accd5f54d9ca4",
    "jpeg_lossless_sel1": "dc6e77a2e30ef699fa4f5c55ec58514fa7dbb4658fbec2d0708d77b0003846f4",
    "mi2b2": "b35a61a414c3d3b4850a79c99a02edfa962c68eef0702ae87cc4b21547f84426",
    "monochrome2": "da6151c7492cbb848435bafb0091a6e54dd9b1717acc8a1d3bf8f8f477079414",
    "jpeg_ls": "71096e86e317d9443b3fc80f657349a0aa955fa43ec01c7e4d31d42cef0d81df",
    "rle": "1add6ede29758c6f0c68f01749ddc6c907e68a312be4eb9da8489e376e0bbd34",
}
"""SHA-256 of the pixels that dcmdjpeg, dcmdjpls and dcmdrle 3.6.7 write; the decoders here are others."""


def stored(path: Path) -> tuple[ImageFile, npt.NDArray[Any]]:
    image = read_image_file(path)
    assert isinstance(image, ImageFile)
    return image, np.stack(list(stored_frames(image, (image.header.Rows, image.header.Columns))))


@pytest.mark.parametrize("path", GREY, ids=lambda path: path.stem)
def test_a_real_image_decodes_to_what_simpleitk_reads(path: Path) -> None:
    image, pixels = stored(path)
    slope, intercept = image.header.get("RescaleSlope") or 1, image.header.get("RescaleIntercept") or 0
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(path))).reshape(pixels.shape)
    assert np.array_equal(pixels * float(slope) + float(intercept), theirs)


@pytest.mark.parametrize(("name", "digest"), DECODED_BY_DCMTK.items(), ids=lambda text: text[:20])
def test_a_real_image_decodes_to_what_dcmtk_writes(name: str, digest: str) -> None:
    _, pixels = stored(SAMPLES / "images" / f"{name}.dcm")
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == digest


def test_htj2k_decodes_to_what_was_encoded() -> None:
    """Encoded with OpenJPH 0.26.3; decoded here by OpenJPEG."""
    path = Path(__file__).parent / "data" / "htj2k_lossless.dcm"
    expected = np.arange(24 * 32).reshape(1, 24, 32) * 17 % 4096
    assert np.array_equal(open_series([path]).read_volume().voxels, expected)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.name)
@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_compressed_stacks_and_frames_hold_the_same_values(tmp_path: Path, syntax: Any, dtype: type) -> None:
    ramp = np.linspace(0 if dtype is np.uint16 else -900, 900, 4 * 64 * 80)
    voxels: npt.NDArray[Any] = ramp.astype(dtype).reshape(4, 64, 80)
    single = write_series(tmp_path, voxels, modality="MR")
    multi = write_multiframe(tmp_path / "multi", voxels)
    for path in [*single, multi]:
        ds = dcmread(path)
        ds.compress(syntax, generate_instance_uid=False)
        ds.save_as(path)
    assert np.array_equal(open_series(single).read_volume().voxels, voxels)
    assert np.array_equal(open_series([multi]).read_volume().voxels, voxels)


@pytest.mark.slow
def test_the_real_head_series_lies_where_simpleitk_puts_it() -> None:
    series = open_series(find_series(SAMPLES / "mr-head")[0])
    volume = series.read_volume()
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(SAMPLES / "mr-head")))
    image = reader.Execute()
    assert np.array_equal(volume.voxels, sitk.GetArrayFromImage(image))
    for index in np.ndindex(2, 2, 2):
        corner = np.array(index) * (np.array(volume.voxels.shape) - 1)
        there = image.TransformContinuousIndexToPhysicalPoint([float(i) for i in corner[::-1]])
        assert np.allclose((volume.affine @ [*corner, 1])[:3], there, atol=0.01)


def test_each_slice_of_the_real_head_series_lies_where_its_header_says_as_far_as_that_is_rounded() -> None:
    series = open_series(find_series(SAMPLES / "mr-head")[0])
    for k, header in enumerate(series.headers):
        assert np.allclose(series.geometry.position(k), header.ImagePositionPatient, atol=0.1)


def test_the_real_head_series_is_warned_of_its_recorded_spacing() -> None:
    series = open_series(find_series(SAMPLES / "mr-head")[0])
    assert series.geometry.spacing == pytest.approx((7.0005, 0.859375, 0.859375), abs=1e-3)
    assert "says 2 mm" in series.warnings[0]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("monochrome2", "no Image Position"),
        ("US-RGB-8-esopecho", "colour image"),
        ("deflated", "no Image Position"),
        ("explicit_little", "16 frames without positions"),
        ("jpeg_baseline_8bit", "96 frames without positions"),
        ("j2k", "is a localizer"),
        ("jpeg_lossless_sel1", "is a localizer"),
    ],
)
def test_a_real_image_that_is_no_stack_is_refused(name: str, reason: str) -> None:
    with pytest.raises(GeometryError, match=reason):
        open_series([SAMPLES / "images" / f"{name}.dcm"])
