"""Each segment lies where the prediction has it, through readers that share nothing with the writer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from iodeep.errors import GeometryError
from iodeep.prediction import Segmentation
from iodeep.results import SegKind, check_geometry, write_results
from iodeep.volume import open_series
from tests.synthetic import AXIAL, CORONAL, SAGITTAL, affine_of, write_multiframe
from tests.unit.results.readers import dcmqi_centroids, segread_masks
from tests.unit.results.support import Labels, box_labels, make_series, results_of


def rotated(degrees_x: float, degrees_y: float, degrees_z: float) -> tuple[float, ...]:
    """Axial cosines turned about the patient's axes."""
    x, y, z = np.radians([degrees_x, degrees_y, degrees_z])
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    turned = about_z @ about_y @ about_x
    return (*map(float, turned[:, 0]), *map(float, turned[:, 1]))


ACQUISITIONS: dict[str, dict[str, Any]] = {
    "axial": {"orientation": AXIAL},
    "coronal": {"orientation": CORONAL},
    "sagittal": {"orientation": SAGITTAL},
    "oblique": {"orientation": rotated(20, -12, 7)},
    "double oblique, rows negated": {"orientation": rotated(160, 25, -40)},
    "negated row axis": {"orientation": (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)},
    "negated both axes": {"orientation": (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)},
    "anisotropic": {"spacing": (7.5, 0.4, 1.3)},
    "single slice": {"shape": (1, 24, 20)},
    "rows of no whole bytes": {"shape": (5, 11, 13)},
}


def expected_centroids(labels: Labels, affine: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, Any]:
    return {
        f"Organ {number}": (affine @ [*np.argwhere(labels == number).mean(axis=0), 1.0])[:3]
        for number in np.unique(labels[labels > 0])
    }


def written(tmp_path: Path, acquisition: dict[str, Any], **options: Any) -> tuple[Path, Labels, list[str]]:
    series = make_series(tmp_path / "source", **acquisition)
    labels = box_labels(series.geometry.shape)
    results = results_of(series, Segmentation(2, labels=labels), **options)
    return write_results(results, tmp_path / "out")[0], labels, [header.SOPInstanceUID for header in series.headers]


@pytest.mark.parametrize("name", ACQUISITIONS)
def test_dcmqi_finds_each_segment_within_half_a_millimetre(tmp_path: Path, name: str) -> None:
    acquisition = ACQUISITIONS[name]
    path, labels, _ = written(tmp_path, acquisition)
    defaults: dict[str, Any] = {"origin": (-30.0, 12.5, 100.0), "spacing": (3.0, 0.9, 0.8), "orientation": AXIAL}
    truth = affine_of(**{key: acquisition.get(key, value) for key, value in defaults.items()})
    found = dcmqi_centroids(path, tmp_path / "itk")
    expected = expected_centroids(labels, truth)
    assert found.keys() == expected.keys()
    for label, centroid in expected.items():
        assert np.linalg.norm(found[label] - centroid) < 0.5, label


@pytest.mark.parametrize("kind", SegKind)
@pytest.mark.parametrize("name", ACQUISITIONS)
def test_highdicom_reads_back_every_voxel(tmp_path: Path, name: str, kind: SegKind) -> None:
    series = make_series(tmp_path / "source", **ACQUISITIONS[name])
    labels = box_labels(series.geometry.shape)
    masks = np.stack([labels == 1, labels == 2])
    segmentation = Segmentation(2, labels=labels, probabilities=masks.astype(np.float32))
    path = write_results(results_of(series, segmentation, kind=kind), tmp_path / "out")[0]
    read = segread_masks(path, [header.SOPInstanceUID for header in series.headers], 2)
    np.testing.assert_array_equal(np.moveaxis(read, -1, 0), masks)


def test_frames_of_a_multi_frame_source_keep_their_own_slices(tmp_path: Path) -> None:
    shape, order = (5, 16, 12), [3, 0, 4, 1, 2]
    options: dict[str, Any] = {"orientation": CORONAL, "origin": (5.0, -8.0, 40.0), "spacing": (2.5, 0.7, 1.1)}
    voxels = np.arange(np.prod(shape)).reshape(shape).astype(np.int16)
    series = open_series([write_multiframe(tmp_path / "source", voxels, frame_order=order, **options)])
    labels = box_labels(shape)
    path = write_results(results_of(series, Segmentation(2, labels=labels)), tmp_path / "out")[0]
    found = dcmqi_centroids(path, tmp_path / "itk")
    for label, centroid in expected_centroids(labels, affine_of(**options)).items():
        assert np.linalg.norm(found[label] - centroid) < 0.5, label


@pytest.mark.slow
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(
    turns=st.tuples(*[st.integers(-180, 180)] * 3),
    shape=st.tuples(st.integers(1, 6), st.integers(5, 20), st.integers(5, 20)),
    spacing=st.tuples(st.integers(5, 80), st.integers(3, 20), st.integers(3, 20)),
    origin=st.tuples(*[st.integers(-400, 400)] * 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_acquisition_reads_back_in_place(
    tmp_path_factory: pytest.TempPathFactory,
    turns: tuple[int, int, int],
    shape: tuple[int, int, int],
    spacing: tuple[int, int, int],
    origin: tuple[int, int, int],
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    spacing_mm = tuple(tenths / 10 for tenths in spacing)
    options: dict[str, Any] = {"orientation": rotated(*turns), "spacing": spacing_mm, "origin": origin}
    series = make_series(folder / "source", shape, **options)
    labels = np.random.default_rng(seed).choice(3, shape, p=[0.9, 0.07, 0.03]).astype(np.uint8)
    labels[0, 0, 1] = 1
    path = write_results(results_of(series, Segmentation(2, labels=labels)), folder / "out")[0]
    found = dcmqi_centroids(path, folder / "itk")
    expected = expected_centroids(labels, affine_of(**options))
    assert found.keys() == expected.keys()
    for label, centroid in expected.items():
        assert np.linalg.norm(found[label] - centroid) < 0.5, label


def _shift(dataset: Dataset) -> None:
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        position = groups.PlanePositionSequence[0]
        position.ImagePositionPatient = [float(value) + 0.6 for value in position.ImagePositionPatient]


def _swap_axes(dataset: Dataset) -> None:
    orientation = dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    cosines = list(orientation.ImageOrientationPatient)
    orientation.ImageOrientationPatient = [*cosines[3:], *cosines[:3]]


def _swap_spacing(dataset: Dataset) -> None:
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.PixelSpacing = [float(value) * 2 for value in measures.PixelSpacing]


def _swap_segments(dataset: Dataset) -> None:
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        identified = groups.SegmentIdentificationSequence[0]
        identified.ReferencedSegmentNumber = 3 - identified.ReferencedSegmentNumber


def _reverse_frames(dataset: Dataset) -> None:
    groups = list(dataset.PerFrameFunctionalGroupsSequence)
    positions = [
        item.PlanePositionSequence for item in groups if item.SegmentIdentificationSequence[0][0x62000B].value == 1
    ]
    for item, position in zip(groups, reversed(positions), strict=False):
        item.PlanePositionSequence = position


def _mirror_bits(dataset: Dataset) -> None:
    bits = np.unpackbits(np.frombuffer(dataset.PixelData, np.uint8), bitorder="little")
    size = dataset.Rows * dataset.Columns
    frames = bits[: dataset.NumberOfFrames * size].reshape(-1, dataset.Rows, dataset.Columns)[:, :, ::-1]
    dataset.PixelData = np.packbits(frames.reshape(-1), bitorder="little").tobytes()


def _lose_a_voxel(dataset: Dataset) -> None:
    stored = np.frombuffer(dataset.PixelData, np.uint8).copy()
    first = int(np.flatnonzero(stored)[0])
    stored[first] &= stored[first] - 1
    dataset.PixelData = stored.tobytes()


@pytest.mark.parametrize(
    "damage", [_shift, _swap_axes, _swap_spacing, _swap_segments, _reverse_frames, _mirror_bits, _lose_a_voxel]
)
def test_a_segmentation_that_is_out_of_place_is_refused(tmp_path: Path, damage: Callable[[Dataset], None]) -> None:
    series = make_series(tmp_path)
    labels = box_labels(series.geometry.shape)
    segmentation = Segmentation(2, labels=labels)
    encoded = results_of(series, segmentation).segmentation
    assert encoded is not None
    check_geometry(encoded, series, segmentation)
    damage(encoded)
    with pytest.raises(GeometryError, match=r"segment [12] of the result"):
        check_geometry(encoded, series, segmentation)
