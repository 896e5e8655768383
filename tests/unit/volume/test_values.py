"""Voxel values are what the headers say they are: signed or not, rescaled, int16 where they fit, else float32."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom import dcmread, dcmwrite
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from iodeep.errors import CancelledError, InputError
from iodeep.ports import Progress
from iodeep.volume import open_series
from iodeep.volume.rescaled import RescaledVoxels
from tests.synthetic import Overrides, write_multiframe, write_series

NO_RESCALE: Overrides = {"RescaleSlope": None, "RescaleIntercept": None, "RescaleType": None}


def read(paths: list[Path]) -> npt.NDArray[Any]:
    return open_series(paths).read_volume().voxels


def ramp(dtype: type[np.integer[Any]], low: int, high: int) -> npt.NDArray[np.integer[Any]]:
    return np.linspace(low, high, 3 * 5 * 7).round().astype(dtype).reshape(3, 5, 7)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [(np.uint8, 0, 255), (np.int8, -128, 127), (np.uint16, 0, 32767), (np.int16, -32768, 32767)],
)
def test_integers_that_fit_are_int16(tmp_path: Path, dtype: type[np.integer[Any]], low: int, high: int) -> None:
    voxels = ramp(dtype, low, high)
    got = read(write_series(tmp_path, voxels, modality="MR"))
    assert got.dtype == np.int16
    assert np.array_equal(got, voxels)


@pytest.mark.parametrize(("dtype", "high"), [(np.uint16, 65535), (np.uint32, 1 << 20), (np.int32, 1 << 20)])
def test_integers_that_do_not_fit_are_float32(tmp_path: Path, dtype: type[np.integer[Any]], high: int) -> None:
    voxels = ramp(dtype, 0, high)
    got = read(write_series(tmp_path, voxels, modality="MR"))
    assert got.dtype == np.float32
    assert np.array_equal(got, voxels)


def test_the_first_slices_survive_when_a_later_one_does_not_fit(tmp_path: Path) -> None:
    voxels = np.array([[[1, 2]], [[3, 4]], [[5, 40000]]], np.uint16)
    assert read(write_series(tmp_path, voxels, modality="MR")).tolist() == voxels.tolist()


def test_ct_is_in_hounsfield_units(tmp_path: Path) -> None:
    voxels = ramp(np.uint16, 0, 4095)
    got = read(write_series(tmp_path, voxels, bits_stored=12))
    assert got.dtype == np.int16
    assert np.array_equal(got, voxels.astype(int) - 1024)


@pytest.mark.parametrize(("slope", "dtype"), [("2", np.int16), ("-1", np.int16), ("0.5", np.float32)])
def test_slope_is_applied(tmp_path: Path, slope: str, dtype: type) -> None:
    voxels = ramp(np.int16, -300, 300)
    got = read(write_series(tmp_path, voxels, overrides={"RescaleSlope": slope, "RescaleIntercept": "10"}))
    assert got.dtype == dtype
    assert np.array_equal(got, voxels * float(slope) + 10)


def test_each_slice_has_its_own_slope(tmp_path: Path) -> None:
    voxels = ramp(np.int16, 0, 100)
    paths = write_series(
        tmp_path, voxels, modality="MR", per_slice=lambda k: {"RescaleSlope": f"{k + 0.5}", "RescaleIntercept": "0"}
    )
    assert np.array_equal(read(paths), voxels * np.array([0.5, 1.5, 2.5])[:, None, None])


def test_enhanced_images_are_rescaled_by_their_functional_groups(tmp_path: Path) -> None:
    voxels = ramp(np.uint16, 0, 2000)
    got = read([write_multiframe(tmp_path, voxels, modality="CT", frame_order=[2, 0, 1])])
    assert np.array_equal(got, voxels.astype(int) - 1024)


def test_bits_above_those_stored_are_no_value(tmp_path: Path) -> None:
    """Overlay bits in the unused bits (retired) and signed values without sign extension (PS3.5 8.1.1)."""
    voxels = ramp(np.int16, -2048, 2047)
    with_rubbish = (voxels & 0x0FFF | 0x4000).astype(np.int16)
    got = read(write_series(tmp_path, with_rubbish, modality="MR", bits_stored=12))
    assert np.array_equal(got, voxels)


def test_monochrome1_and_padding_are_left_as_they_are(tmp_path: Path) -> None:
    voxels = ramp(np.int16, -2000, 100)
    overrides = {"PhotometricInterpretation": "MONOCHROME1", "PixelPaddingValue": -2000}
    assert np.array_equal(read(write_series(tmp_path, voxels, modality="MR", overrides=overrides)), voxels)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_every_uncompressed_syntax_gives_the_same_values(tmp_path: Path, syntax: Any) -> None:
    voxels = ramp(np.int16, -1000, 1000)
    paths = write_series(tmp_path, voxels, modality="MR")
    for path in paths:
        ds = dcmread(path)
        raw = np.frombuffer(ds.PixelData, "<i2")
        ds.PixelData = raw.byteswap().tobytes() if syntax == ExplicitVRBigEndian else raw.tobytes()
        ds.file_meta.TransferSyntaxUID = syntax
        dcmwrite(path, ds, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)
    assert np.array_equal(read(paths), voxels)


def test_a_rescale_beyond_all_bounds_is_an_error_and_not_infinity(tmp_path: Path) -> None:
    paths = write_series(tmp_path, ramp(np.int16, 0, 9), modality="MR", overrides={
        "RescaleSlope": "1e300", "RescaleIntercept": "0"
    })  # fmt: skip
    with pytest.raises(InputError, match="rescales to"):
        read(paths)


def test_progress_counts_the_slices(tmp_path: Path) -> None:
    seen: list[Progress] = []
    open_series(write_series(tmp_path, ramp(np.int16, 0, 9))).read_volume(seen.append)
    assert [(p.done, p.total, p.unit) for p in seen] == [(1, 3, "slices"), (2, 3, "slices"), (3, 3, "slices")]


def test_reading_can_be_cancelled(tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(CancelledError, match="0 of 3 slices"):
        open_series(write_series(tmp_path, ramp(np.int16, 0, 9))).read_volume(cancel=cancel)


@given(
    arrays(np.int32, (3, 2, 2), elements=st.integers(-70_000, 70_000)),
    st.sampled_from([1.0, -3.0, 0.25, 7.0]),
    st.sampled_from([0.0, -1024.0, 0.5]),
    st.permutations(range(3)),
)
def test_rescaled_values_are_exact_in_the_narrowest_type(
    stored: npt.NDArray[np.int32], slope: float, intercept: float, order: list[int]
) -> None:
    voxels = RescaledVoxels((3, 2, 2), [(slope, intercept)] * 3)
    for k in order:
        voxels.put(k, stored[k])
    expected = stored * slope + intercept
    whole = slope.is_integer() and intercept.is_integer()
    fits = whole and np.iinfo(np.int16).min <= expected.min() and expected.max() <= np.iinfo(np.int16).max
    assert voxels.values.dtype == (np.int16 if fits else np.float32)
    assert np.array_equal(voxels.values, expected)


def test_functional_groups_outrank_what_the_image_says_at_its_top(tmp_path: Path) -> None:
    overrides = {"PixelSpacing": ["9", "9"], "RescaleSlope": "9", "RescaleIntercept": "9"}
    series = open_series([write_multiframe(tmp_path, ramp(np.uint16, 0, 2000), modality="CT", overrides=overrides)])
    assert series.geometry.spacing == (2.0, 1.0, 1.0)
    assert series.read_volume().voxels.min() == -1024
