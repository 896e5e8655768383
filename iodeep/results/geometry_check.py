"""The last look at a segmentation before it leaves, by a reader that shares nothing with its writer.

The encoded data set is read element by element: each frame's position, orientation and spacing, its segment, its bits. Its
corners must lie where the series' affine has those of one slice, and its voxels must be the prediction's on that slice.
Centroids alone would not do: a segment that is symmetric has the same centroid upside down.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from iodeep.errors import GeometryError
from iodeep.prediction import Segmentation
from iodeep.results.segmentation import SMALLEST_PROBABILITY
from iodeep.results.voxel_counts import voxel_counts
from iodeep.volume import ImageSeries

TOLERANCE_MM = 0.5
_REMEDY = "Nothing was stored. This is a defect in IODeep or an unusual source series; please report it."
_Vector = npt.NDArray[np.float64]
_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Frame:
    """One frame of the data set: its matrix from (row, column, 1) to the patient (PS3.3 C.7.6.2.1.1), and its values."""

    index: int
    affine: _Vector
    values: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def check_geometry(
    segmentation: Dataset,
    series: ImageSeries,
    predicted: Segmentation,
    expected_counts: Mapping[int, int] | None = None,
) -> None:
    """Compare each frame of the encoded SEG with the prediction: place to 0.5 mm, and every voxel.

    ``expected_counts``: :func:`voxel_counts` of ``predicted`` where they are known already.
    Errors: :class:`iodeep.errors.GeometryError` naming the segment and what differs.
    """
    fractional = str(segmentation.SegmentationType) == "FRACTIONAL"
    wanted = _fraction_counts(predicted) if fractional else expected_counts or voxel_counts(predicted)
    found = dict.fromkeys(wanted, 0)
    for frame in _frames(segmentation):
        for number, mask in _segments_of(segmentation, frame):
            k = _slice_of(frame, number, series)
            if not np.array_equal(mask, _predicted_mask(predicted, number, k, fractional)):
                raise _differs(number, f"the prediction's voxels on slice {k + 1}", "others")
            found[number] += int(np.count_nonzero(mask))
    for number, count in wanted.items():
        if found[number] != count:
            raise _differs(number, f"{count} voxels", str(found[number]))


def _differs(number: int, expected: str, found: str) -> GeometryError:
    return GeometryError(
        f"segment {number} of the result is not the prediction's", expected=expected, found=found, remedy=_REMEDY
    )


def _slice_of(frame: _Frame, number: int, series: ImageSeries) -> int:
    """The slice that the frame lies on; an error where its corners are off, or it lies on none."""
    geometry = series.geometry
    slices, rows, columns = geometry.shape
    k = round(float(np.linalg.solve(geometry.affine, [*frame.affine[:, 2], 1.0])[0]))
    last_row, last_column = rows - 1, columns - 1
    corners = np.array([[0, 0, last_row, last_row], [0, last_column, 0, last_column], [1, 1, 1, 1]], dtype=np.float64)
    there = geometry.affine[:3] @ np.vstack([np.full(4, float(k)), corners])
    off = float(np.linalg.norm(frame.affine @ corners - there, axis=0).max())
    if not 0 <= k < slices or not off <= TOLERANCE_MM:
        raise GeometryError(
            f"segment {number} of the result lies {off:.2f} mm from the slice that it belongs to",
            expected=f"within {TOLERANCE_MM} mm",
            found=f"frame {frame.index + 1} at {_place(frame.affine[:, 2])}, slice {k + 1} at {_place(there[:, 0])}",
            remedy=_REMEDY,
        )
    return k


def _place(point: _Vector) -> str:
    return "(" + ", ".join(f"{value:.2f}" for value in point) + ") mm"


def _predicted_mask(predicted: Segmentation, number: int, k: int, fractional: bool) -> _Mask:
    if fractional:
        assert predicted.probabilities is not None
        return np.asarray(predicted.probabilities[number - 1, k] >= SMALLEST_PROBABILITY)
    if predicted.masks is not None:
        return np.asarray(predicted.masks[number - 1, k])
    assert predicted.labels is not None
    return np.asarray(predicted.labels[k] == number)


def _fraction_counts(predicted: Segmentation) -> dict[int, int]:
    assert predicted.probabilities is not None
    return {
        number: int(np.count_nonzero(fractions >= SMALLEST_PROBABILITY))
        for number, fractions in enumerate(predicted.probabilities, start=1)
    }


def _segments_of(dataset: Dataset, frame: _Frame) -> Iterator[tuple[int, _Mask]]:
    """Segment Number and its voxels: the frame's own segment, or each label of a LABELMAP (PS3.3 C.8.20.2.3)."""
    if str(dataset.SegmentationType) == "LABELMAP":
        for number in np.flatnonzero(np.bincount(frame.values.reshape(-1))[1:]) + 1:
            yield int(number), frame.values == number
        return
    groups = dataset.PerFrameFunctionalGroupsSequence[frame.index]
    holder = groups if "SegmentIdentificationSequence" in groups else dataset.SharedFunctionalGroupsSequence[0]
    yield int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber), frame.values.astype(np.bool_)


def _frames(dataset: Dataset) -> Iterator[_Frame]:
    rows, columns, bits = int(dataset.Rows), int(dataset.Columns), int(dataset.BitsAllocated)
    in_plane = _in_plane(dataset.SharedFunctionalGroupsSequence[0])
    stored = np.frombuffer(dataset.PixelData, dtype=np.uint8)
    for index, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        position = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, dtype=np.float64)
        values = _values(stored, index, rows * columns, bits).reshape(rows, columns)
        yield _Frame(index, np.column_stack([*in_plane, position]), values)


def _in_plane(shared: Dataset) -> tuple[_Vector, _Vector]:
    """The step from row to row and from column to column, in mm: Pixel Spacing names rows first, the cosines last."""
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=np.float64)
    between_rows, between_columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    return cosines[3:] * between_rows, cosines[:3] * between_columns


def _values(
    stored: npt.NDArray[np.uint8], index: int, size: int, bits: int
) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """The ``index``-th frame's values; one-bit frames follow each other unpadded, lowest bit first (PS3.5 8.1.1)."""
    if bits == 1:
        first = index * size
        unpacked = np.unpackbits(stored[first // 8 : -(-(first + size) // 8)], bitorder="little")
        return unpacked[first % 8 : first % 8 + size]
    if bits == 8:
        return stored[index * size : (index + 1) * size]
    return stored[2 * index * size : 2 * (index + 1) * size].view("<u2")
