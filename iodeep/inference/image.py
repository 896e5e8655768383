"""The volume on its way to the network, and where each of its voxels lies in the source: exact, never estimated.

Every spatial step keeps the axes parallel to those of the source, so the way back is one line an axis. It is kept in
fractions: a rounding error of 1e-16 would decide between two neighbours wherever a centre falls between them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Affine = npt.NDArray[np.float64]
Shape = tuple[int, int, int]
HALF = Fraction(1, 2)


@dataclass(frozen=True)
class Scan:
    """Voxels (slice, row, column) as they came, and the affine that maps their indices to LPS in mm."""

    voxels: npt.NDArray[Any]
    affine: Affine


@dataclass(frozen=True)
class SourceAxis:
    """How an array axis runs along an axis of the source: source index = ``step`` x index + ``start``.

    ``low`` to ``high``: the source indices that lie on it; beyond them padding may stand where there was an image.
    """

    source: int
    low: Fraction
    high: Fraction
    step: Fraction = Fraction(1)
    start: Fraction = Fraction(0)

    @classmethod
    def whole(cls, source: int, length: int) -> SourceAxis:
        """A source's own axis."""
        return cls(source, -HALF, length - HALF)

    def cropped(self, first: int, count: int) -> SourceAxis:
        """The axis with the ``count`` voxels from index ``first`` only."""
        ends = sorted((self.step * (first - HALF) + self.start, self.step * (first + count - HALF) + self.start))
        low, high = max(self.low, ends[0]), min(self.high, ends[1])
        return replace(self, low=low, high=high, start=self.start + self.step * first)

    def holds(self, count: int) -> npt.NDArray[np.bool_]:
        """For each of ``count`` source positions whether its centre lies on this axis."""
        return np.array([self.low < position < self.high for position in range(count)], np.bool_)

    def flipped(self, length: int) -> SourceAxis:
        """The axis run through from its other end."""
        return replace(self, step=-self.step, start=self.start + self.step * (length - 1))

    def resized(self, old: int, new: int) -> SourceAxis:
        """The axis with ``new`` voxels for ``old``, corner to corner."""
        ratio = Fraction(old, new)
        return replace(self, step=self.step * ratio, start=self.start + self.step * (ratio - 1) / 2)

    def spaced(self, ratio: Fraction) -> SourceAxis:
        """The axis with its voxels ``ratio`` times as far apart, the first one's centre where it was."""
        return replace(self, step=self.step * ratio)

    def nearest(self, count: int) -> npt.NDArray[np.int64]:
        """For each of ``count`` source positions the index whose centre is nearest (of two, the upper one)."""
        slope, offset = 1 / self.step, HALF - self.start / self.step
        common = lcm(slope.denominator, offset.denominator)
        rise, shift = int(slope * common), int(offset * common)
        return np.array([(rise * position + shift) // common for position in range(count)], np.int64)

    def positions(self, count: int) -> npt.NDArray[np.float64]:
        """For each of ``count`` source positions the (fractional) index."""
        return np.array([float((position - self.start) / self.step) for position in range(count)])


@dataclass(frozen=True)
class Image:
    """What the network will see: float32 (channel, axis 0, axis 1, axis 2), often a view with other strides.

    On the way there it may still hold the integers of its source (:mod:`iodeep.inference.preprocessing`).

    ``axes``: of the three array axes; ``source_shape`` and ``source_affine``: of the first input's series.
    """

    voxels: Floats
    axes: tuple[SourceAxis, SourceAxis, SourceAxis]
    source_shape: Shape
    source_affine: Affine

    @property
    def shape(self) -> Shape:
        """Voxels along the three array axes."""
        first, second, third = self.voxels.shape[1:]
        return first, second, third

    @property
    def affine(self) -> Affine:
        """Maps an index of this grid to LPS in mm."""
        to_source = np.zeros((4, 4))
        to_source[3, 3] = 1
        for index, axis in enumerate(self.axes):
            to_source[axis.source, index] = float(axis.step)
            to_source[axis.source, 3] = float(axis.start)
        product: Affine = self.source_affine @ to_source
        return product

    @property
    def spacing(self) -> npt.NDArray[np.float64]:
        """Distance between voxel centres along each array axis, in mm."""
        lengths: npt.NDArray[np.float64] = np.linalg.norm(self.affine[:3, :3], axis=0)
        return lengths

    def moved(self, voxels: Floats, axes: list[SourceAxis]) -> Image:
        """The image with other voxels and the axes that go with them."""
        first, second, third = axes
        return replace(self, voxels=voxels, axes=(first, second, third))
