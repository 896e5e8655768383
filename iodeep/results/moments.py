"""How many voxels each segment has and where they are on average, on the prediction's own grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from iodeep.prediction import Segmentation
from iodeep.results.segmentation import SMALLEST_PROBABILITY


@dataclass(frozen=True)
class Moments:
    """``count`` voxels whose slice, row and column indices sum to ``index_sums``."""

    count: int
    index_sums: tuple[float, float, float]

    def centroid(self, affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The mean place in patient coordinates, in mm; only where there are voxels."""
        k, r, c = (value / self.count for value in self.index_sums)
        place: npt.NDArray[np.float64] = (affine @ np.array([k, r, c, 1.0]))[:3]
        return place


def segment_moments(predicted: Segmentation) -> dict[int, Moments]:
    """Segment Number -> moments of its labels or mask."""
    if predicted.labels is not None:
        return _label_moments(predicted.labels, predicted.segment_count)
    assert predicted.masks is not None
    return {number: _label_moments(mask.view(np.uint8), 1)[1] for number, mask in enumerate(predicted.masks, start=1)}


def fraction_moments(predicted: Segmentation) -> dict[int, Moments]:
    """Segment Number -> moments of the voxels that a FRACTIONAL segmentation stores as more than 0."""
    assert predicted.probabilities is not None
    return {
        number: _label_moments((fractions >= SMALLEST_PROBABILITY).view(np.uint8), 1)[1]
        for number, fractions in enumerate(predicted.probabilities, start=1)
    }


def _label_moments(labels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], segment_count: int) -> dict[int, Moments]:
    sums = np.zeros((4, segment_count + 1))
    for k, values, rows, columns in _filled(labels):
        counts = np.bincount(values, minlength=segment_count + 1)
        sums[0] += counts
        sums[1] += counts * float(k)
        sums[2] += np.bincount(values, weights=rows, minlength=segment_count + 1)
        sums[3] += np.bincount(values, weights=columns, minlength=segment_count + 1)
    return {
        number: Moments(int(sums[0, number]), (sums[1, number], sums[2, number], sums[3, number]))
        for number in range(1, segment_count + 1)
    }


def _filled(
    labels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
) -> Iterator[tuple[int, npt.NDArray[np.generic], npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Of each slice: its index, and value, row and column of each voxel that isn't background."""
    for k, plane in enumerate(labels):
        flat = plane.reshape(-1)
        places = np.flatnonzero(flat)
        if len(places):
            rows, columns = np.divmod(places, plane.shape[1])
            yield k, flat[places], rows, columns
