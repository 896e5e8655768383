"""Every voxel lies where an independent reader (SimpleITK, on GDCM) puts it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from iodeep.card import SlicePlane
from iodeep.volume import ImageSeries, open_series
from tests.synthetic import AXIAL, CORONAL, SAGITTAL, affine_of, write_multiframe, write_series

sitk: Any = SimpleITK  # it ships types for a part only


@dataclass(frozen=True)
class Acquisition:
    orientation: tuple[float, ...]
    origin: tuple[float, float, float]
    spacing: tuple[float, float, float]
    shape: tuple[int, int, int]
    file_order: tuple[int, ...]
    instance_numbers: tuple[int, ...]
    modality: str


def _flipped(orientation: tuple[float, ...], flip_row: bool, flip_column: bool) -> tuple[float, ...]:
    signs = [-1 if flip_row else 1] * 3 + [-1 if flip_column else 1] * 3
    return tuple(sign * value for sign, value in zip(signs, orientation, strict=True))


def _rotated(angles: tuple[float, float, float]) -> tuple[float, ...]:
    matrix = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    return (*matrix[:, 0], *matrix[:, 1])


_ANGLE = st.floats(-180, 180)
_ORIENTATIONS = st.one_of(
    st.builds(_flipped, st.sampled_from([AXIAL, CORONAL, SAGITTAL]), st.booleans(), st.booleans()),
    st.builds(_rotated, st.tuples(_ANGLE, _ANGLE, _ANGLE)),
)


@st.composite
def acquisitions(draw: st.DrawFn) -> Acquisition:
    slices = draw(st.integers(1, 6))
    step = st.floats(0.2, 12)
    offset = st.floats(-400, 400)
    return Acquisition(
        orientation=draw(_ORIENTATIONS),
        origin=draw(st.tuples(offset, offset, offset)),
        spacing=draw(st.tuples(step, step, step)),
        shape=(slices, draw(st.integers(2, 7)), draw(st.integers(2, 7))),
        file_order=tuple(draw(st.permutations(range(slices)))),
        instance_numbers=tuple(draw(st.permutations(range(1, slices + 1)))),
        modality=draw(st.sampled_from(["CT", "MR"])),
    )


def _numbered(shape: tuple[int, int, int]) -> npt.NDArray[np.int16]:
    """Each voxel its own value."""
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


def _write(folder: Path, what: Acquisition, voxels: npt.NDArray[np.int16]) -> list[Path]:
    return write_series(
        folder,
        voxels,
        orientation=what.orientation,
        origin=what.origin,
        spacing=what.spacing,
        modality=what.modality,
        per_slice=lambda k: {"InstanceNumber": what.instance_numbers[k]},
        file_order=what.file_order,
    )


def _sitk_series(folder: Path) -> Any:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def _worst_distance(series: ImageSeries, image: Any) -> float:
    """The largest distance in mm between the places that both readers give to the same value."""
    volume = series.read_volume()
    ours = {int(value): index for index, value in np.ndenumerate(volume.voxels)}
    theirs = {int(value): index for index, value in np.ndenumerate(sitk.GetArrayFromImage(image))}
    assert ours.keys() == theirs.keys()
    distances = [
        np.linalg.norm(
            (volume.affine @ [*ours[value], 1])[:3]
            - image.TransformContinuousIndexToPhysicalPoint([float(i) for i in theirs[value][::-1]])
        )
        for value in ours
    ]
    return float(max(distances))


@settings(max_examples=60, deadline=None)
@given(acquisitions())
@example(Acquisition(AXIAL, (0, 0, 0), (1, 1, 1), (1, 2, 2), (0,), (1,), "CT"))
@example(Acquisition(SAGITTAL, (9, -8, 7), (5, 0.3, 0.9), (4, 3, 5), (3, 2, 1, 0), (4, 3, 2, 1), "MR"))
def test_every_voxel_of_a_stack_lies_where_simpleitk_puts_it(what: Acquisition) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = _write(Path(folder), what, _numbered(what.shape))
        assert _worst_distance(open_series(paths), _sitk_series(Path(folder))) < 0.01


@settings(max_examples=30, deadline=None)
@given(acquisitions())
def test_every_voxel_of_an_enhanced_image_lies_where_simpleitk_puts_it(what: Acquisition) -> None:
    """SimpleITK reads frames in file order only, so that it is given the ordered copy of the shuffled frames."""
    arguments = {"orientation": what.orientation, "origin": what.origin, "spacing": what.spacing}
    voxels = _numbered(what.shape)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ordered = write_multiframe(folder / "ordered", voxels, modality=what.modality, **arguments)  # type: ignore[arg-type]
        shuffled = write_multiframe(
            folder / "shuffled",
            voxels,
            modality=what.modality,
            frame_order=what.file_order,
            **arguments,  # type: ignore[arg-type]
        )
        series = open_series([shuffled])
        assert _worst_distance(series, sitk.ReadImage(str(ordered))) < 0.01
        expected = [what.file_order.index(k) + 1 for k in range(what.shape[0])]
        assert [source.frame_number for source in series.geometry.slices] == expected


@settings(max_examples=25, deadline=None)
@given(acquisitions(), st.tuples(st.floats(0.1, 0.6), st.floats(0.1, 0.6), st.floats(0.1, 0.6)))
def test_the_centroid_of_an_asymmetric_marker_is_simpleitks(
    what: Acquisition, corner: tuple[float, float, float]
) -> None:
    shape = (what.shape[0], 16, 12)
    marker = np.zeros(shape, np.int16)
    k, r, c = (int(part * size) for part, size in zip(corner, shape, strict=True))
    marker[k : k + 2, r : r + 5, c : c + 2] = 1
    marker[k, r : r + 2, c : c + 4] = 1
    with tempfile.TemporaryDirectory() as folder:
        paths = _write(Path(folder), what, marker)
        volume = open_series(paths).read_volume()
        image = _sitk_series(Path(folder))
    indices = np.argwhere(volume.voxels == volume.voxels.max())
    ours = (np.c_[indices, np.ones(len(indices))] @ volume.affine.T)[:, :3].mean(axis=0)
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(sitk.Cast(image == float(volume.voxels.max()), sitk.sitkUInt8))
    assert np.linalg.norm(ours - statistics.GetCentroid(1)) < 0.5


@settings(max_examples=30, deadline=None)
@given(acquisitions())
def test_the_affine_is_the_one_that_was_written_and_slices_name_their_images(what: Acquisition) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = _write(Path(folder), what, _numbered(what.shape))
        series = open_series(sorted(paths))
        volume = series.read_volume()
    assert np.allclose(series.geometry.affine, affine_of(what.orientation, what.origin, what.spacing), atol=1e-6)
    assert series.paths == tuple(paths)
    assert [source.sop_instance_uid for source in series.geometry.slices] == [h.SOPInstanceUID for h in series.headers]
    assert np.array_equal(volume.voxels - volume.voxels.min(), _numbered(what.shape))


def test_the_plane_is_told_by_the_normal(tmp_path: Path) -> None:
    def plane(orientation: tuple[float, ...], name: str) -> SlicePlane:
        voxels = np.zeros((2, 3, 4), np.int16)
        return open_series(write_series(tmp_path / name, voxels, orientation=orientation)).plane

    assert plane(AXIAL, "axial") is SlicePlane.AXIAL
    assert plane(CORONAL, "coronal") is SlicePlane.CORONAL
    assert plane(SAGITTAL, "sagittal") is SlicePlane.SAGITTAL
    assert plane(_rotated((24, 0, 0)), "tilted") is SlicePlane.AXIAL
    assert plane(_rotated((26, 0, 0)), "oblique") is SlicePlane.OBLIQUE
    assert plane(_rotated((0, 0, 179)), "turned") is SlicePlane.AXIAL


def test_coverage_counts_each_slice_once(tmp_path: Path) -> None:
    series = open_series(write_series(tmp_path, np.zeros((5, 3, 4), np.int16), spacing=(2.5, 0.5, 0.75)))
    assert series.geometry.coverage_mm == 12.5
    assert series.geometry.spacing == (2.5, 0.5, 0.75)
    assert series.frame_count == series.geometry.slice_count == 5
