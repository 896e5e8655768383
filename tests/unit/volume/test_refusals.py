"""What is no certain stack of slices is refused, with the reason and the figures."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from iodeep.errors import GeometryError, InputError
from iodeep.volume import find_series, open_series
from tests.synthetic import AXIAL, CORONAL, Overrides, write_multiframe, write_series

ZEROS = np.zeros((6, 4, 5), np.int16)


def refused(paths: list[Path], *figures: str) -> GeometryError:
    with pytest.raises(GeometryError) as caught:
        open_series(paths)
    for figure in figures:
        assert re.search(figure, str(caught.value)), f"{figure!r} is not said in: {caught.value}"
    return caught.value


def moved(k: int, x: float = 0.0, z: float = 0.0) -> Overrides:
    return {"ImagePositionPatient": [str(x), "0", str(round(2.0 * k + z, 6))]}


def only(wanted: int, values: Overrides) -> Callable[[int], Overrides]:
    return lambda k: values if k == wanted else {}


@pytest.mark.parametrize(
    ("overrides", "figures"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, ["is a localizer", "6 of 6 files"]),
        ({"ImagePositionPatient": None}, ["has no Image Position", "place in the patient"]),
        ({"ImageOrientationPatient": None}, ["has no Image Orientation"]),
        ({"PixelSpacing": None, "ImagerPixelSpacing": ["1", "1"]}, ["has no Pixel Spacing"]),
        ({"PixelSpacing": ["0", "1"]}, ["must be positive", "0 mm"]),
        ({"ImagePositionPatient": ["0", "0"]}, ["garbled", "3 finite numbers"]),
        ({"ImageOrientationPatient": ["1", "0", "0", "0", "2", "0"]}, ["unit vectors", "lengths 1.0000 and 2.0000"]),
        ({"ImageOrientationPatient": ["1", "0", "0", "0.6", "0.8", "0"]}, ["right angles", "product 0.6000"]),
        ({"FrameOfReferenceUID": None}, ["no Frame of Reference"]),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, ["colour", "3 samples, RGB"]),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, ["colour", "PALETTE COLOR"]),
        ({"RescaleSlope": None, "RescaleIntercept": None}, ["Hounsfield units are not known"]),
        ({"RescaleSlope": None}, ["only one of Rescale Slope"]),
        ({"RescaleSlope": "0"}, ["Slope of 0"]),
        ({"RescaleType": "Z_EFF"}, ["not Hounsfield", "Z_EFF"]),
        ({"Modality": "SEG"}, ["not images of a patient"]),
    ],
)
def test_a_series_that_cannot_be_placed_is_refused(tmp_path: Path, overrides: Overrides, figures: list[str]) -> None:
    refused(write_series(tmp_path, ZEROS, overrides=overrides), *figures)


@pytest.mark.parametrize(
    ("values", "figures"),
    [
        ({"PatientID": "OTHER"}, ["2 patients", "SYNTHETIC1, OTHER"]),
        ({"PatientBirthDate": "19700101"}, ["2 patients"]),
        ({"StudyInstanceUID": "1.2.3"}, ["2 studies"]),
        ({"SeriesInstanceUID": "1.2.3"}, ["2 series"]),
        ({"Modality": "MR"}, ["2 modalities"]),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, ["2 SOP classes"]),
        ({"FrameOfReferenceUID": "1.2.3"}, ["2 frames of reference"]),
        ({"Rows": 2}, ["2 numbers of rows", "4, 2"]),
        ({"ImageOrientationPatient": list(map(str, CORONAL))}, ["not lie parallel", "2 orientations in 6 slices"]),
        ({"PixelSpacing": ["1.01", "1"]}, ["different pixel spacings", "1 to 1.01 mm"]),
        ({"RescaleSlope": None, "RescaleIntercept": None}, ["1 of 6 slices have no Rescale"]),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, ["contains localizer images", "1 of 6 files"]),
    ],
)
def test_a_series_of_mixed_images_is_refused(tmp_path: Path, values: Overrides, figures: list[str]) -> None:
    refused(write_series(tmp_path, ZEROS, per_slice=only(3, values)), *figures)


def test_a_missing_slice_is_named_by_its_neighbours(tmp_path: Path) -> None:
    paths = write_series(tmp_path, ZEROS)
    refused(
        paths[:3] + paths[4:], "1 slice is missing", r"slices 2\.000 mm apart", r"4\.000 mm", "0002.dcm", "0004.dcm"
    )


def test_missing_slices_are_counted_over_all_gaps(tmp_path: Path) -> None:
    paths = write_series(tmp_path, np.zeros((12, 4, 5), np.int16))
    refused([p for k, p in enumerate(paths) if k not in {2, 3, 7}], "3 slices are missing", "and 1 more such gaps")


def test_a_missing_slice_is_seen_in_three(tmp_path: Path) -> None:
    paths = write_series(tmp_path, ZEROS)
    refused([paths[0], paths[1], paths[3]], "1 slice is missing")


def test_uneven_spacing_is_refused_with_the_tolerance(tmp_path: Path) -> None:
    paths = write_series(tmp_path, ZEROS, per_slice=lambda k: moved(k, z=0.3 if k == 3 else 0))
    refused(paths, "not evenly spaced", r"within 0\.100 mm", r"0\.300 mm off", r"from 1\.700 to 2\.300 mm")


def test_growing_spacing_is_refused(tmp_path: Path) -> None:
    refused(write_series(tmp_path, ZEROS, per_slice=lambda k: moved(k, z=0.05 * k * k)), "not evenly spaced")


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_even(tmp_path: Path) -> None:
    paths = write_series(
        tmp_path, ZEROS, per_slice=lambda k: {"ImagePositionPatient": ["0", "0", f"{0.625 * k + 0.01:.1f}"]}
    )
    assert open_series(paths).geometry.spacing[0] == pytest.approx(0.62, abs=0.01)


def test_a_stack_under_gantry_tilt_is_refused_with_its_angle(tmp_path: Path) -> None:
    lean = 2 * np.tan(np.radians(12))
    paths = write_series(
        tmp_path, ZEROS, overrides={"GantryDetectorTilt": "12"}, per_slice=lambda k: moved(k, x=round(lean * k, 4))
    )
    refused(paths, r"leans by 12\.00 degrees", r"shift of 2\.13 mm over 10\.0 mm", "Tilt 12")


@pytest.mark.parametrize(("shift", "slices"), [(0.03, 4), (0.0009, 200)])
def test_a_lean_within_rounding_is_evened_out(tmp_path: Path, shift: float, slices: int) -> None:
    voxels = np.zeros((slices, 4, 5), np.int16)
    series = open_series(write_series(tmp_path, voxels, per_slice=lambda k: moved(k, x=round(shift * k, 6))))
    assert series.geometry.affine[:3, 0].tolist() == pytest.approx([0, 0, 2], abs=1e-9)


def test_a_lean_beyond_rounding_is_refused(tmp_path: Path) -> None:
    paths = write_series(
        tmp_path, np.zeros((200, 4, 5), np.int16), per_slice=lambda k: moved(k, x=round(0.0011 * k, 6))
    )
    refused(paths, r"leans by 0\.03 degrees", r"shift of 0\.22 mm over 398\.0 mm")


def test_a_recorded_tilt_alone_is_no_reason(tmp_path: Path) -> None:
    assert open_series(write_series(tmp_path, ZEROS, overrides={"GantryDetectorTilt": "12"})).frame_count == 6


@pytest.mark.parametrize(
    ("keyword", "values", "words"),
    [
        ("EchoTime", ["20", "80"], r"echo time \(20, 80\)"),
        ("DiffusionBValue", [0.0, 1000.0], "b-value"),
        ("TemporalPositionIdentifier", ["1", "2"], "temporal position"),
        ("ImageType", [["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]], "image type"),
    ],
)
def test_several_images_at_each_position_are_told_apart(
    tmp_path: Path, keyword: str, values: list[Any], words: str
) -> None:
    paths = [
        path
        for i, value in enumerate(values)
        for path in write_series(
            tmp_path / str(i),
            ZEROS,
            modality="MR",
            overrides={keyword: value},
            per_slice=lambda k, i=i: {"SOPInstanceUID": f"1.2.{i + 1}.{k}", "InstanceNumber": 2 * k + i},  # type: ignore[misc]
        )
    ]
    refused(paths, "several images at one position", "2 images at each of 6 positions", words)


def test_one_position_with_two_images_is_named(tmp_path: Path) -> None:
    paths = write_series(tmp_path, ZEROS, per_slice=lambda k: moved(3) if k == 4 else {})
    refused(paths, "1 of 5 positions", "0003.dcm, 0004.dcm", "instance number")


def test_stacks_side_by_side_are_refused(tmp_path: Path) -> None:
    paths = write_series(tmp_path, ZEROS, per_slice=lambda k: moved(k // 2, x=50.0 * (k % 2)))
    refused(paths, "2 images at each of 3 positions", "side by side")


def test_the_same_image_twice_is_refused(tmp_path: Path) -> None:
    paths = write_series(tmp_path, ZEROS, per_slice=only(3, {"SOPInstanceUID": "1.2.3"}))
    refused([*paths, *write_series(tmp_path / "copy", ZEROS)[:1]], "there twice", "0000.dcm")


def test_a_recorded_slice_spacing_that_lies_is_a_warning(tmp_path: Path) -> None:
    series = open_series(write_series(tmp_path, ZEROS, overrides={"SpacingBetweenSlices": "7"}))
    assert series.geometry.spacing[0] == 2.0
    assert "says 7 mm" in series.warnings[0]
    assert "2.000 mm apart" in series.warnings[0]


def test_a_single_slice_takes_its_thickness_and_says_so(tmp_path: Path) -> None:
    series = open_series(write_series(tmp_path, ZEROS[:1], overrides={"SliceThickness": "4"}))
    assert series.geometry.spacing[0] == 4.0
    assert "Slice Thickness" in series.warnings[0]


def test_a_single_slice_without_thickness_is_refused(tmp_path: Path) -> None:
    refused(write_series(tmp_path, ZEROS[:1], overrides={"SliceThickness": None}), "how thick")


def test_no_file_is_an_input_error() -> None:
    with pytest.raises(InputError, match="no file is given"):
        open_series([])


def test_several_frames_at_one_position_of_an_enhanced_image_are_refused(tmp_path: Path) -> None:
    def two_echoes(k: int, groups: Dataset) -> None:
        groups.PlanePositionSequence[0].ImagePositionPatient = [0, 0, 2 * (k // 2)]
        groups.MREchoSequence = [Dataset()]
        groups.MREchoSequence[0].EffectiveEchoTime = 20.0 + 60 * (k % 2)

    path = write_multiframe(tmp_path, ZEROS, per_frame=two_echoes)
    refused([path], "2 images at each of 3 positions", r"echo time \(20.0, 80.0\)")


def test_frames_of_mixed_orientation_are_refused(tmp_path: Path) -> None:
    def turned(k: int, groups: Dataset) -> None:
        groups.PlaneOrientationSequence = [Dataset()]
        groups.PlaneOrientationSequence[0].ImageOrientationPatient = list(AXIAL if k else CORONAL)

    refused([write_multiframe(tmp_path, ZEROS, per_frame=turned)], "not lie parallel", "frame 1 of multiframe.dcm")


def test_an_enhanced_image_with_fewer_groups_than_frames_is_refused(tmp_path: Path) -> None:
    path = write_multiframe(tmp_path, ZEROS, overrides={"NumberOfFrames": 5})
    refused([path], "two numbers of frames", "5 as Number of Frames", "6 items")


def test_two_enhanced_images_are_refused(tmp_path: Path) -> None:
    paths = [write_multiframe(tmp_path / str(i), ZEROS, overrides={"SOPInstanceUID": f"1.2.{i + 1}"}) for i in range(2)]
    refused(paths, "2 multi-frame images")


def test_every_refusal_of_a_found_series_is_the_same_as_of_its_paths(tmp_path: Path) -> None:
    paths = write_series(tmp_path, ZEROS)
    paths[2].unlink()
    with pytest.raises(GeometryError, match="1 slice is missing"):
        open_series(find_series(tmp_path)[0])
