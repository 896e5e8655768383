"""The last look at a segmentation before it leaves, by a reader that shares nothing with its writer.

The encoded data set is read element by element: each frame's position, orientation and spacing, its segment, its bits. The
centroid that follows must be the one that the prediction has on the series' affine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from iodeep.errors import GeometryError
from iodeep.prediction import Segmentation
from iodeep.results.moments import Moments, fraction_moments, segment_moments
from iodeep.volume import ImageSeries

TOLERANCE_MM = 0.5
_Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Frame:
    """One frame of the data set: where it lies and its values (row, column)."""

    index: int
    position: _Vector
    values: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def check_geometry(
    segmentation: Dataset, series: ImageSeries, predicted: Segmentation, moments: dict[int, Moments] | None = None
) -> None:
    """Compare each segment's voxel count and physical centroid in the encoded SEG with the prediction's, to 0.5 mm.

    ``moments``: those of ``predicted`` where they are known already.
    Errors: :class:`iodeep.errors.GeometryError` naming the segment and both places.
    """
    expected = fraction_moments(predicted) if _fractional(segmentation) else moments or segment_moments(predicted)
    found = _encoded_moments(segmentation)
    for number, wanted in expected.items():
        count, centroid = found.get(number, (0, np.zeros(3)))
        if count != wanted.count:
            raise GeometryError(
                f"segment {number} of the result has not the voxels of the prediction",
                expected=f"{wanted.count} voxels",
                found=f"{count}",
                remedy=_REMEDY,
            )
        if wanted.count:
            _compare(number, wanted.centroid(series.geometry.affine), centroid)


_REMEDY = "Nothing was stored. This is a defect in IODeep or an unusual source series; please report it."


def _compare(number: int, wanted: _Vector, found: _Vector) -> None:
    distance = float(np.linalg.norm(wanted - found))
    if not distance <= TOLERANCE_MM:
        raise GeometryError(
            f"segment {number} of the result lies {distance:.2f} mm from where the prediction has it",
            expected=f"its centroid at {_place(wanted)}",
            found=_place(found),
            remedy=_REMEDY,
        )


def _place(point: _Vector) -> str:
    return "(" + ", ".join(f"{value:.2f}" for value in point) + ") mm"


def _fractional(dataset: Dataset) -> bool:
    return str(dataset.SegmentationType) == "FRACTIONAL"


def _encoded_moments(dataset: Dataset) -> dict[int, tuple[int, _Vector]]:
    """Voxel count and physical centroid of each segment, from the data set alone (PS3.3 C.7.6.2.1.1)."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=np.float64)
    between_rows, between_columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    per_row, per_column = cosines[3:] * between_rows, cosines[:3] * between_columns
    counts: dict[int, int] = {}
    sums: dict[int, _Vector] = {}
    for frame in _frames(dataset):
        for number, mask in _segments_of(dataset, shared, frame):
            rows, columns = np.count_nonzero(mask, axis=1), np.count_nonzero(mask, axis=0)
            count = int(rows.sum())
            along_rows = float(rows @ np.arange(len(rows)))
            along_columns = float(columns @ np.arange(len(columns)))
            place = count * frame.position + along_rows * per_row + along_columns * per_column
            counts[number] = counts.get(number, 0) + count
            sums[number] = sums.get(number, np.zeros(3)) + place
    return {number: (count, sums[number] / max(count, 1)) for number, count in counts.items()}


def _segments_of(dataset: Dataset, shared: Dataset, frame: _Frame) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
    """Segment Number and its voxels: the frame's own segment, or each label of a LABELMAP (PS3.3 C.8.20.2.3)."""
    if str(dataset.SegmentationType) == "LABELMAP":
        for number in np.unique(frame.values[frame.values > 0]):
            yield int(number), frame.values == number
        return
    groups = dataset.PerFrameFunctionalGroupsSequence[frame.index]
    holder = groups if "SegmentIdentificationSequence" in groups else shared
    yield int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber), frame.values > 0


def _frames(dataset: Dataset) -> Iterator[_Frame]:
    rows, columns, bits = int(dataset.Rows), int(dataset.Columns), int(dataset.BitsAllocated)
    stored = np.frombuffer(dataset.PixelData, dtype=np.uint8)
    for index, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        position = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, dtype=np.float64)
        yield _Frame(index, position, _values(stored, index, rows * columns, bits).reshape(rows, columns))


def _values(
    stored: npt.NDArray[np.uint8], index: int, size: int, bits: int
) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """The ``index``-th frame's values; one-bit frames follow each other without padding, lowest bit first (PS3.5 8.1.1)."""
    if bits == 1:
        first = index * size
        unpacked = np.unpackbits(stored[first // 8 : -(-(first + size) // 8)], bitorder="little")
        return unpacked[first % 8 : first % 8 + size]
    if bits == 8:
        return stored[index * size : (index + 1) * size]
    return stored[2 * index * size : 2 * (index + 1) * size].view("<u2")
