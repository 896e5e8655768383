"""How many voxels each segment has."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from iodeep.prediction import Segmentation

_FEW = 8


def voxel_counts(predicted: Segmentation) -> dict[int, int]:
    """Segment Number -> voxels, for every segment, found or not."""
    if predicted.masks is not None:
        return {number: int(np.count_nonzero(mask)) for number, mask in enumerate(predicted.masks, start=1)}
    assert predicted.labels is not None
    return _label_counts(predicted.labels, predicted.segment_count)


def _label_counts(labels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], segment_count: int) -> dict[int, int]:
    """Slice by slice, each in cache: a comparison for each of a few segments, else all at once without the background."""
    counts = np.zeros(segment_count + 1, dtype=np.int64)
    for plane in labels:
        if segment_count <= _FEW:
            counts[1:] += [np.count_nonzero(plane == number) for number in range(1, segment_count + 1)]
        else:
            counts += np.bincount(plane[plane > 0], minlength=segment_count + 1)
    return {number: int(counts[number]) for number in range(1, segment_count + 1)}
