"""From the network's grid back onto the source's voxels: labels by the nearest centre, probabilities linearly.

Nearest, because it is what the authors of networks do and what a direct script gives; linear, because a probability
map is shown as one. A source voxel that the network's grid doesn't hold (cropped away) is background. A card may say that
values come back before they are decoded (:mod:`iodeep.inference.restoring`): these take a :class:`Way`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from iodeep.inference.image import Floats, Image, Shape
from iodeep.inference.resampling import interpolated, interpolated_along

_TILE = 16


def labels_on_source(labels: npt.NDArray[Any], image: Image) -> npt.NDArray[Any]:
    """``labels`` on ``image``'s grid, read at the centres of the source's voxels."""
    values = transposed(labels, _source_order(image))
    where: list[slice] = [slice(0)] * 3
    wanted: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)] * 3
    for index, axis in enumerate(image.axes):
        nearest = axis.nearest(image.source_shape[axis.source])
        held = axis.holds(len(nearest))
        inside = np.flatnonzero(held & (nearest >= 0) & (nearest < labels.shape[index]))
        if not len(inside):
            return np.zeros(image.source_shape, labels.dtype)
        where[axis.source] = slice(int(inside[0]), int(inside[-1]) + 1)
        wanted[axis.source] = nearest[inside]
    growth = [len(places) / size for places, size in zip(wanted, values.shape, strict=True)]
    for number in sorted(range(3), key=lambda number: (growth[number], -number)):  # what shrinks first
        values = _selected(values, number, wanted[number])
    if values.shape == image.source_shape:
        return np.ascontiguousarray(values)
    out = np.zeros(image.source_shape, labels.dtype)
    out[tuple(where)] = values
    return out


class Way:
    """From the network's grid to the source's voxels, for values: those of the ``box`` that ``image``'s grid holds.

    ``interpolation``: nearest, linear or cubic (clipped to the range of what it is made from); ``alone``: an axis of
    ``image`` that is read by nearest whatever the others are.
    """

    def __init__(self, image: Image, interpolation: str, alone: int | None) -> None:
        self._interpolation = interpolation
        self._alone = alone
        self._order = _source_order(image)
        self.source_shape = image.source_shape
        self._positions: list[npt.NDArray[np.float64]] = []
        self._nearest: list[npt.NDArray[np.int64]] = []
        inside: list[slice] = []
        for size, axis in zip(image.shape, image.axes, strict=True):
            count = image.source_shape[axis.source]
            held = np.flatnonzero(axis.holds(count))
            inside.append(slice(int(held[0]), int(held[-1]) + 1))
            self._positions.append(axis.positions(count)[inside[-1]])
            self._nearest.append(np.clip(axis.nearest(count)[inside[-1]], 0, size - 1))
        self.box = inside[self._order[0]], inside[self._order[1]], inside[self._order[2]]

    @property
    def shape(self) -> Shape:
        """Voxels of the box, in the source's order of axes."""
        first, second, third = (side.stop - side.start for side in self.box)
        return first, second, third

    def of(self, values: Floats) -> Floats:
        """``values`` (the three axes of the network's grid) within the box; a new array."""
        between = [axis for axis in range(3) if not self._read_at_voxels(axis)]
        if self._interpolation == "cubic" and between:
            values = self._cubic(values, between)
        elif between:
            values = interpolated_along(values, {axis: self._positions[axis] for axis in between}, between)
        for axis in range(3):
            if axis not in between:
                values = _selected(values, axis, self._nearest[axis])
        return np.array(values.transpose(self._order), order="C")

    def placed(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values of the box within the whole source, zeros around it."""
        if values.shape == self.source_shape:
            return values
        out = np.zeros(self.source_shape, values.dtype)
        out[self.box] = values
        return out

    def _read_at_voxels(self, axis: int) -> bool:
        """By nearest, or at places that are voxels of the grid anyway."""
        chosen = self._interpolation == "nearest" or axis == self._alone
        return chosen or bool(np.array_equal(self._positions[axis], self._nearest[axis]))

    def _cubic(self, values: Floats, axes: list[int]) -> Floats:
        """Cubic B-splines along ``axes``, slice by slice where one axis stands alone."""
        from scipy import ndimage  # a third of a second that most runs don't need

        alone = self._alone
        blocks = values[None] if alone is None else np.moveaxis(values, alone, 0)
        kept = [axis for axis in range(3) if axis != alone]
        places = [
            self._positions[axis] if axis in axes else np.arange(values.shape[axis], dtype=float) for axis in kept
        ]
        steps = [float(place[-1] - place[0]) / max(len(place) - 1, 1) for place in places]
        out = np.empty((len(blocks), *(len(place) for place in places)), np.float32)
        for block, target in zip(blocks, out, strict=True):
            starts = [float(place[0]) for place in places]
            ndimage.affine_transform(block, steps, starts, target.shape, target, order=3, mode="nearest")
            np.clip(target, block.min(), block.max(), out=target)
        return out[0] if alone is None else np.moveaxis(out, 0, alone)


def transposed(values: npt.NDArray[Any], order: tuple[int, ...]) -> npt.NDArray[Any]:
    """``values`` with its axes in another order, in memory too; in tiles that fit the cache, four times as fast."""
    view = values.transpose(order)
    if order[2] == 2:
        return view
    out = np.empty(view.shape, view.dtype)
    for first in range(0, view.shape[0], _TILE):
        for last in range(0, view.shape[2], _TILE):
            tile = (slice(first, first + _TILE), slice(None), slice(last, last + _TILE))
            out[tile] = view[tile]
    return out


def probabilities_on_source(probabilities: Floats, image: Image) -> Floats:
    """``probabilities`` on ``image``'s grid, interpolated at the centres of the source's voxels."""
    values = probabilities
    outside: list[npt.NDArray[np.bool_]] = [np.empty(0, np.bool_)] * 3
    for index, axis in enumerate(image.axes):
        positions = axis.positions(image.source_shape[axis.source])
        outside[axis.source] = ~axis.holds(len(positions))
        values = interpolated(values, index, positions)
    out = np.ascontiguousarray(values.transpose(_source_order(image)))
    out[outside[0]] = 0
    out[:, outside[1]] = 0
    out[:, :, outside[2]] = 0
    return out


def _source_order(image: Image) -> tuple[int, ...]:
    return tuple(int(index) for index in np.argsort([axis.source for axis in image.axes]))


def _selected(values: npt.NDArray[Any], index: int, wanted: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """``values`` at ``wanted`` along an axis; a view where the places follow one another."""
    step = int(wanted[1] - wanted[0]) if len(wanted) > 1 else 1
    if step in (1, -1) and bool((np.diff(wanted) == step).all()):
        stop = int(wanted[-1]) + step
        selector: list[slice] = [slice(None)] * 3
        selector[index] = slice(int(wanted[0]), stop if stop >= 0 else None, step)
        return values[tuple(selector)]
    return values.take(wanted, index)
