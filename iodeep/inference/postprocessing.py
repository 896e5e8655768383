"""The card's postprocessing, on the source's voxels: what is reported and written is what keeps its promises.

Done on the network's grid instead, a component could fall apart, and a volume change, on the way back.
Neighbours are 26 in 3D for components; a cavity is closed by 6. Filling never takes a voxel from another segment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from iodeep.card import Postprocessing

Mask = npt.NDArray[np.bool_]
Box = tuple[slice, slice, slice]
Numbers = npt.NDArray[Any]


def tidied_labels(labels: Numbers, segments: int, steps: Sequence[Postprocessing], voxel_ml: float) -> None:
    """Apply ``steps`` in place to segments that exclude each other."""
    for step in steps:
        box = box_of(labels)
        if box is None:
            return
        chosen = tuple(step.segments) or tuple(range(1, segments + 1))
        if step.step == "fill_holes":
            for number in chosen:
                _fill_label(labels, number)
        else:
            _keep_components(labels[box], chosen, _rule(step, voxel_ml))


def tidied_masks(masks: Mask, steps: Sequence[Postprocessing], voxel_ml: float) -> None:
    """Apply ``steps`` in place to masks (segment and three axes) that may overlap."""
    for step in steps:
        for number in tuple(step.segments) or tuple(range(1, len(masks) + 1)):
            mask = masks[number - 1]
            box = box_of(mask)
            if box is None:
                continue
            if step.step == "fill_holes":
                region = mask[grown(box, mask.shape)]
                region |= cavities(region)
            else:
                _keep_components(mask[box].view(np.uint8), (1,), _rule(step, voxel_ml))


def box_of(mask: Mask | Numbers) -> Box | None:
    """The bounding box of what is set, or not 0; None where nothing is. The largest is found faster than any."""
    planes = np.flatnonzero(mask.max(axis=(1, 2)))
    if not len(planes):
        return None
    first = slice(int(planes[0]), int(planes[-1]) + 1)
    flat = mask[first].max(axis=0)
    rows, columns = np.flatnonzero(flat.any(axis=1)), np.flatnonzero(flat.any(axis=0))
    return first, slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def grown(box: Box, shape: tuple[int, ...]) -> Box:
    """The box with one voxel more on each side, where the volume has it."""
    sides = [slice(max(side.start - 1, 0), min(side.stop + 1, size)) for side, size in zip(box, shape, strict=True)]
    return sides[0], sides[1], sides[2]


def cavities(mask: Mask, open_ends: Sequence[int] | None = None) -> Mask:
    """Background that does not reach the border; in a single slice, the slice's own border counts.

    ``open_ends``: the axes whose ends are border; left out, those of more than one voxel.
    """
    ends_of = [axis for axis, size in enumerate(mask.shape) if size > 1] if open_ends is None else open_ends
    import cc3d  # most cards fill no holes

    components = cc3d.connected_components(~mask, connectivity=6)
    open_ones = {0}
    for axis in ends_of:
        ends = components.take((0, mask.shape[axis] - 1), axis)
        open_ones.update(np.unique(ends).tolist())
    enclosed = np.ones(int(components.max()) + 1, np.bool_)
    enclosed[list(open_ones)] = False
    holes: Mask = enclosed[components]
    return holes


def _fill_label(labels: Numbers, number: int) -> None:
    mask = labels == number
    box = box_of(mask)
    if box is None:
        return
    region = grown(box, labels.shape)
    inside = labels[region]
    inside[cavities(mask[region]) & (inside == 0)] = number


Keep = Callable[[npt.NDArray[np.int64], Numbers], Mask]
"""Voxels and label of each component (0: background) -> which to keep."""


def _rule(step: Any, voxel_ml: float) -> Keep:
    if step.step == "largest_component":
        return _largest
    least = float(step.ml) / voxel_ml

    def large_enough(sizes: npt.NDArray[np.int64], labels: Numbers) -> Mask:  # noqa: ARG001 - each on its own
        return np.asarray(sizes >= least * (1 - 1e-9), np.bool_)

    return large_enough


def _largest(sizes: npt.NDArray[np.int64], labels: Numbers) -> Mask:
    """The largest of each label; of two that are equal, the one that comes first."""
    keep = np.zeros(len(sizes), np.bool_)
    for label in np.unique(labels[1:]):
        of_label = np.flatnonzero(labels == label)
        of_label = of_label[of_label > 0]
        keep[of_label[np.argmax(sizes[of_label])]] = True
    return keep


def _keep_components(labels: Numbers, chosen: tuple[int, ...], rule: Keep) -> None:
    """Clear, in place, the components of the ``chosen`` labels that ``rule`` doesn't keep."""
    import cc3d  # a tenth of a second that a card without postprocessing doesn't need

    wanted = np.zeros(max(int(labels.max()), *chosen) + 1, labels.dtype)
    wanted[list(chosen)] = 1
    considered = labels if wanted[1:].all() else labels * wanted[labels]
    components, count = cc3d.connected_components(considered, connectivity=26, return_N=True)
    sizes, label_of = _measured(components, considered, count)
    keep = rule(sizes, label_of)
    keep[0] = True
    if keep.all():
        return
    np.multiply(labels, keep.astype(labels.dtype)[components], out=labels)


def _measured(components: Numbers, labels: Numbers, count: int) -> tuple[npt.NDArray[np.int64], Numbers]:
    """Voxels and label of each component; in blocks, because numpy counts in a copy of eight bytes a voxel."""
    if count == 1:
        size = np.count_nonzero(components)
        return np.array([components.size - size, size]), np.array([0, labels.max()], labels.dtype)
    sizes = np.zeros(count + 1, np.int64)
    label_of = np.zeros(count + 1, labels.dtype)
    thickness = max(1, len(components) // 8)
    for first in range(0, len(components), thickness):
        block = components[first : first + thickness].ravel()
        sizes += np.bincount(block, minlength=count + 1)
        label_of[block] = labels[first : first + thickness].ravel()
    return sizes, label_of
