"""Values between voxels, one axis at a time; the memory's own order of axes is kept, because that is what is fast.

Grids are laid corner to corner (half-pixel centres), as in ``torch.nn.functional.interpolate(align_corners=False)``
and ``skimage.transform.resize``. There is no smoothing before shrinking.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from iodeep.inference.image import Floats, Shape, SourceAxis

Positions = npt.NDArray[np.float64]


SAME_SPACING = 1e-6
"""Share by which two spacings may differ and be the same: that of float32, in which most files keep them."""


def axis_alone(spacing: Sequence[float] | Positions, wanted: Sequence[float], times: float | None) -> int | None:
    """The axis to be resampled on its own: the only one whose spacing is the largest, and that over ``times`` the smallest.

    Looked for in the image's spacing, then in the wanted one, as nnU-Net does (``determine_do_sep_z_and_axis``).
    """
    for each in (np.asarray(spacing), np.asarray(wanted)):
        if times is not None and each.max() > times * each.min():
            largest = np.flatnonzero(np.isclose(each, each.max(), rtol=SAME_SPACING, atol=0))
            return int(largest[0]) if len(largest) == 1 else None
    return None


def resized(
    volume: npt.NDArray[Any], shape: Shape, interpolation: str, alone: int | None = None, *, bounded: bool = False
) -> npt.NDArray[Any]:
    """``volume`` (three axes, of floats or integers) with ``shape`` voxels; ``interpolation`` is nearest, linear or cubic.

    ``alone``: an axis that is resampled last, by nearest; the others before it, slice by slice. ``bounded``: cubic values
    are clipped to the range of those before.
    """
    if volume.shape == shape:
        return volume
    if interpolation == "cubic" and (bounded or alone is not None):
        return _nearest_along(_splines(volume, shape, alone, bounded=bounded), shape, alone)
    if alone is not None:
        beside = [size if axis != alone else volume.shape[alone] for axis, size in enumerate(shape)]
        return _nearest_along(resized(volume, (beside[0], beside[1], beside[2]), interpolation), shape, alone)
    resize: Callable[[npt.NDArray[Any], Shape], npt.NDArray[Any]] = {
        "nearest": _nearest,
        "linear": _linear,
        "cubic": _cubic,
    }[interpolation]
    order = np.argsort([-abs(stride) for stride in volume.strides], kind="stable")
    first, second, third = (shape[axis] for axis in order)
    return resize(volume.transpose(order), (first, second, third)).transpose(np.argsort(order))


def centres(old: int, new: int) -> Positions:
    """Where the centres of ``new`` voxels lie among ``old`` ones, corner to corner."""
    return np.asarray((np.arange(new) + 0.5) * (old / new) - 0.5, np.float64)


def spaced(volume: npt.NDArray[Any], shape: Shape, ratios: Sequence[float], interpolation: str) -> npt.NDArray[Any]:
    """``volume`` read at ``shape`` places ``ratios`` voxels apart from its first on, linearly or nearest (halves to even).

    As ``monai.transforms.Spacing`` with its padding mode ``border``: beyond the last voxel its value goes on.
    """
    places = {axis: np.asarray(np.arange(size) * ratios[axis], np.float64) for axis, size in enumerate(shape)}
    order = [int(axis) for axis in np.argsort([-abs(stride) for stride in volume.strides], kind="stable")]
    if interpolation == "nearest":
        for axis, along in places.items():
            volume = volume.take(np.clip(np.rint(along), 0, volume.shape[axis] - 1).astype(np.intp), axis)
        return volume
    moved = {place: places[axis] for place, axis in enumerate(order)}
    shrinking = sorted(moved, key=lambda place: shape[order[place]] / volume.shape[order[place]])
    return interpolated_along(volume.transpose(order), moved, shrinking).transpose(np.argsort(order))


@dataclass(frozen=True)
class _Reading:
    """How an axis is read at positions between its voxels: the two around each, and the share of the upper one."""

    lower: npt.NDArray[np.intp]
    upper: npt.NDArray[np.intp]
    weight: Floats

    @classmethod
    def at(cls, positions: Positions, length: int) -> _Reading:
        """Beyond the ends the last value goes on."""
        inside = np.clip(positions, 0, length - 1)
        lower = np.floor(inside).astype(np.intp)
        return cls(lower, np.minimum(lower + 1, length - 1), (inside - lower).astype(np.float32))

    def of_plane(self, plane: Floats, axis: int) -> Floats:
        """A plane read along its axis 0 or 1."""
        low, out = plane.take(self.lower, axis), plane.take(self.upper, axis)
        np.subtract(out, low, out=out)
        np.multiply(out, self.weight if axis == 1 else self.weight[:, None], out=out)
        return np.add(out, low, out=out)


def interpolated(volume: npt.NDArray[Any], axis: int, positions: Positions) -> Floats:
    """``volume`` read at ``positions`` along ``axis``, linearly; beyond the ends the last value goes on."""
    return interpolated_along(volume, {axis: positions}, [axis])


def interpolated_along(volume: npt.NDArray[Any], positions: Mapping[int, Positions], order: Sequence[int]) -> Floats:
    """``volume`` read along the axes in ``order``, plane by plane: each is finished while it is in the cache.

    Only what is returned takes memory of the volume's size, and integers become floats here.
    """
    readings = {axis: _Reading.at(positions[axis], volume.shape[axis]) for axis in order}
    place = order.index(0) if 0 in order else len(order)
    source = _Planes(volume, [(axis - 1, readings[axis]) for axis in order[:place]])
    later = [(axis - 1, readings[axis]) for axis in order[place + 1 :]]
    sizes = [len(positions.get(axis, range(volume.shape[axis]))) for axis in range(3)]
    out = np.empty(sizes, np.float32)
    for index, target in enumerate(out):
        plane = source.blended(readings[0], index) if 0 in readings else source.plane(index)
        for axis, reading in later:
            plane = reading.of_plane(plane, axis)
        target[...] = plane
    return out


class _Planes:
    """The planes of a volume as floats, read along axes within the plane; the last two are kept."""

    def __init__(self, volume: npt.NDArray[Any], readings: Sequence[tuple[int, _Reading]]) -> None:
        self._volume = volume
        self._readings = readings
        self._kept: dict[int, Floats] = {}
        self._converted = np.empty(volume.shape[1:], np.float32) if readings else None

    def _floats(self, index: int) -> Floats:
        """A plane of the volume, in one piece of memory for all of them where nothing of it is kept."""
        if self._converted is None or self._volume.dtype == np.float32:
            return np.asarray(self._volume[index], np.float32)
        np.copyto(self._converted, self._volume[index])
        return self._converted

    def plane(self, index: int) -> Floats:
        """One plane; not to be written to."""
        if index not in self._kept:
            plane = self._floats(index)
            for axis, reading in self._readings:
                plane = reading.of_plane(plane, axis)
            self._kept = {**dict(list(self._kept.items())[-1:]), index: plane}
        return self._kept[index]

    def blended(self, reading: _Reading, index: int) -> Floats:
        """Between the two planes around a position."""
        low, high = self.plane(int(reading.lower[index])), self.plane(int(reading.upper[index]))
        out = np.subtract(high, low)
        np.multiply(out, reading.weight[index], out=out)
        return np.add(out, low, out=out)


def _nearest(volume: npt.NDArray[Any], shape: Shape) -> npt.NDArray[Any]:
    """The voxel whose centre is nearest: ``nearest-exact`` of torch."""
    for axis in _shrinking_first(volume.shape, shape):
        wanted = (
            SourceAxis.whole(axis, volume.shape[axis]).resized(shape[axis], volume.shape[axis]).nearest(shape[axis])
        )
        if volume.shape[axis] != shape[axis]:
            volume = volume.take(wanted, axis)
    return volume


def _linear(volume: npt.NDArray[Any], shape: Shape) -> Floats:
    order = [axis for axis in _shrinking_first(volume.shape, shape) if volume.shape[axis] != shape[axis]]
    return interpolated_along(volume, {axis: centres(volume.shape[axis], shape[axis]) for axis in order}, order)


def _cubic(volume: npt.NDArray[Any], shape: Shape) -> Floats:
    """Cubic B-splines, as nnU-Net resamples images (``skimage.transform.resize`` of order 3)."""
    from scipy import ndimage  # a third of a second that most runs don't need

    factors = [new / old for new, old in zip(shape, volume.shape, strict=True)]
    out = np.empty(shape, np.float32)
    ndimage.zoom(volume, factors, output=out, order=3, mode="nearest", grid_mode=True)
    return out


def _splines(volume: npt.NDArray[Any], shape: Shape, alone: int | None, *, bounded: bool) -> Floats:
    """Cubic B-splines of the whole, or of each slice along ``alone``."""
    from scipy import ndimage  # a third of a second that most runs don't need

    blocks = volume[None] if alone is None else np.moveaxis(volume, alone, 0)
    sizes = [size for axis, size in enumerate(shape) if axis != alone]
    out = np.empty((len(blocks), *sizes), np.float32)
    factors = [new / old for new, old in zip(sizes, blocks.shape[1:], strict=True)]
    for block, target in zip(blocks, out, strict=True):
        ndimage.zoom(block, factors, output=target, order=3, mode="nearest", grid_mode=True)
        if bounded:
            np.clip(target, block.min(), block.max(), out=target)
    return out[0] if alone is None else np.moveaxis(out, 0, alone)


def _nearest_along(volume: npt.NDArray[Any], shape: Shape, axis: int | None) -> npt.NDArray[Any]:
    """The voxel whose centre is nearest, of two the upper one, as ``scipy.ndimage`` of order 0 takes it."""
    if axis is None or volume.shape[axis] == shape[axis]:
        return volume
    wanted = np.floor(centres(volume.shape[axis], shape[axis]) + 0.5).astype(np.intp)
    return volume.take(np.clip(wanted, 0, volume.shape[axis] - 1), axis)


def _shrinking_first(old: tuple[int, ...], new: Shape) -> list[int]:
    return sorted(range(3), key=lambda axis: new[axis] / old[axis])
