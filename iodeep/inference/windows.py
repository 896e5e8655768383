"""Where the sliding window stands, and how much each of its voxels counts.

The window's weights are a product of one curve an axis, and so is their sum over all places. Divided by that sum they
add up to one at every voxel, and nothing has to be divided, or kept to divide by, afterwards.

The Gaussian is the whole one unless the card names a least weight, as MONAI (1e-3) and nnU-Net have one. Weights raised to
it are a product no more: then windows carry their plain curves, and their sum is kept and divided by as layers are finished.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from iodeep.inference.image import Floats, Shape

if TYPE_CHECKING:
    from iodeep.card import Network

Curve = npt.NDArray[np.float64]
GAUSSIAN_SIGMA = 1 / 8
"""Standard deviation as a share of the window."""


@dataclass(frozen=True)
class AxisWindows:
    """The places along one axis: ``starts`` ascend; one of them is negative where the window is larger than the axis."""

    length: int
    size: int
    starts: tuple[int, ...]
    weights: tuple[Floats, ...]
    """A window's share of each of its voxels, by place, which add up to one; where there is a least weight, its curve."""

    @property
    def covered_once(self) -> bool:
        """Whether no voxel is seen twice."""
        return all(left + self.size <= right for left, right in zip(self.starts, self.starts[1:], strict=False))


@dataclass(frozen=True)
class Window:
    """One place: where it starts, and its weights an axis."""

    start: Shape
    weights: tuple[Floats, Floats, Floats]


@dataclass(frozen=True)
class Windows:
    """All places over a volume; they run along axis ``lead`` first, which keeps what is unfinished smallest.

    ``flat``: the axis along which single slices are taken (it leads), None in 3D.
    """

    axes: tuple[AxisWindows, AxisWindows, AxisWindows]
    lead: int
    flat: int | None = None
    least_weight: float = 0.0

    @property
    def size(self) -> Shape:
        """Voxels of a window an axis."""
        return self.axes[0].size, self.axes[1].size, self.axes[2].size

    @property
    def shape(self) -> Shape:
        """Voxels of the volume an axis."""
        return self.axes[0].length, self.axes[1].length, self.axes[2].length

    @property
    def count(self) -> int:
        """Number of places."""
        return len(self.axes[0].starts) * len(self.axes[1].starts) * len(self.axes[2].starts)

    @property
    def covered_once(self) -> bool:
        """Whether no voxel is seen twice."""
        return all(axis.covered_once for axis in self.axes)

    @property
    def one_a_layer(self) -> bool:
        """Whether every voxel is seen once and each window spans the axes beside ``lead``: then nothing is blended."""
        beside = [axis for index, axis in enumerate(self.axes) if index != self.lead]
        return self.axes[self.lead].covered_once and all(len(axis.starts) == 1 for axis in beside)

    def __iter__(self) -> Iterator[Window]:
        order = [self.lead, *(axis for axis in range(3) if axis != self.lead)]
        for places in product(*(range(len(self.axes[axis].starts)) for axis in order)):
            place = dict(zip(order, places, strict=True))
            first, second, third = ((axis, place[index]) for index, axis in enumerate(self.axes))
            yield Window(
                (first[0].starts[first[1]], second[0].starts[second[1]], third[0].starts[third[1]]),
                (first[0].weights[first[1]], second[0].weights[second[1]], third[0].weights[third[1]]),
            )


def windows_of(network: Network, shape: Shape) -> Windows:
    """The places that the card's network has to see of a volume of ``shape``."""
    flat = None if network.dimensions == "3D" else network.slice_axis
    if network.inference.mode == "whole":
        sizes, overlap, even, blending, least = list(shape), 0.0, False, "constant", 0.0
    else:
        patches = network.inference
        sizes, overlap, even = list(patches.size), patches.overlap, patches.placement == "even"
        blending, least = patches.blending, patches.least_weight if patches.blending != "constant" else 0.0
        if flat is not None:
            sizes.insert(flat, 1)
    if flat is not None:
        sizes[flat] = 1
    first, second, third = (
        axis_windows(length, size, overlap, blending=blending, even=even, shares=not least)
        for length, size in zip(shape, sizes, strict=True)
    )
    return Windows((first, second, third), _lead(shape, sizes) if flat is None else flat, flat, least)


def axis_windows(
    length: int, size: int, overlap: float, *, blending: str, even: bool = False, shares: bool = True
) -> AxisWindows:
    """Places along one axis; in the middle of a window that is larger than it. ``shares``: weights add up to one."""
    if size >= length:
        starts: tuple[int, ...] = (-((size - length) // 2),)
    else:
        starts = _even_starts(length, size, overlap) if even else _stride_starts(length, size, overlap)
    curve = _curve(size, blending)
    total = np.zeros(length) if shares else np.ones(length)
    for start in starts if shares else ():
        inside = slice(max(start, 0), min(start + size, length))
        total[inside] += curve[inside.start - start : inside.stop - start]
    return AxisWindows(length, size, starts, tuple(_share(curve, start, total) for start in starts))


def _stride_starts(length: int, size: int, overlap: float) -> tuple[int, ...]:
    """``size * (1 - overlap)`` apart, the last one moved back to end with the axis (MONAI's rule)."""
    stride = max(1, int(size * (1 - overlap)))
    count = ceil((length - size) / stride) + 1
    return tuple(min(place * stride, length - size) for place in range(count))


def _even_starts(length: int, size: int, overlap: float) -> tuple[int, ...]:
    """At most ``size * (1 - overlap)`` apart, all alike but for rounding (nnU-Net's ``compute_steps_for_sliding_window``)."""
    count = ceil((length - size) / (size * (1 - overlap))) + 1
    apart = (length - size) / (count - 1)
    return tuple(round(apart * place) for place in range(count))


def _curve(size: int, blending: str) -> Curve:
    if blending == "constant":
        return np.ones(size)
    peak = size // 2 if blending == "gaussian_on_voxel" else (size - 1) / 2
    away = (np.arange(size) - peak) / (size * GAUSSIAN_SIGMA)
    return np.asarray(np.exp(-0.5 * away**2), np.float64)


def _share(curve: Curve, start: int, total: Curve) -> Floats:
    """The part of ``curve`` that lies on the axis, divided by what all windows together weigh there (or by one)."""
    inside = slice(max(start, 0), min(start + len(curve), len(total)))
    return (curve[inside.start - start : inside.stop - start] / total[inside]).astype(np.float32)


def _lead(shape: Shape, sizes: list[int]) -> int:
    """The axis whose layers of one window's thickness are smallest; never the last, whose neighbours lie side by side."""
    return min(range(2), key=lambda axis: min(sizes[axis], shape[axis]) / shape[axis])
