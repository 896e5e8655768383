"""Values between voxels, one axis at a time; the memory's own order of axes is kept, because that is what is fast.

Grids are laid corner to corner (half-pixel centres), as in ``torch.nn.functional.interpolate(align_corners=False)``
and ``skimage.transform.resize``. There is no smoothing before shrinking.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from iodeep.inference.image import Floats, Shape, SourceAxis

Positions = npt.NDArray[np.float64]


def resized(volume: Floats, shape: Shape, interpolation: str) -> Floats:
    """``volume`` (three axes) with ``shape`` voxels; ``interpolation`` is nearest, linear or cubic."""
    if volume.shape == shape:
        return volume
    resize: Callable[[Floats, Shape], Floats] = {"nearest": _nearest, "linear": _linear, "cubic": _cubic}[interpolation]
    order = np.argsort([-abs(stride) for stride in volume.strides], kind="stable")
    first, second, third = (shape[axis] for axis in order)
    return resize(volume.transpose(order), (first, second, third)).transpose(np.argsort(order))


def centres(old: int, new: int) -> Positions:
    """Where the centres of ``new`` voxels lie among ``old`` ones, corner to corner."""
    return np.asarray((np.arange(new) + 0.5) * (old / new) - 0.5, np.float64)


def interpolated(volume: Floats, axis: int, positions: Positions) -> Floats:
    """``volume`` read at ``positions`` along ``axis``, linearly; beyond the ends the last value goes on."""
    last = volume.shape[axis] - 1
    inside = np.clip(positions, 0, last)
    lower = np.floor(inside).astype(np.intp)
    upper = np.minimum(lower + 1, last)
    weight = (inside - lower).astype(np.float32)
    if axis == 0:
        return _blended_planes(volume, lower, upper, weight)
    out = np.empty((*volume.shape[:axis], len(positions), *volume.shape[axis + 1 :]), np.float32)
    shaped = weight if axis == 2 else weight[:, None]
    for source, target in zip(volume, out, strict=True):
        low = source.take(lower, axis - 1)
        np.subtract(source.take(upper, axis - 1), low, out=target)
        np.multiply(target, shaped, out=target)
        np.add(target, low, out=target)
    return out


def _blended_planes(volume: Floats, lower: npt.NDArray[np.intp], upper: npt.NDArray[np.intp], weight: Floats) -> Floats:
    out = np.empty((len(weight), *volume.shape[1:]), np.float32)
    for target, low, high, share in zip(out, lower, upper, weight, strict=True):
        np.subtract(volume[high], volume[low], out=target)
        np.multiply(target, share, out=target)
        np.add(target, volume[low], out=target)
    return out


def _nearest(volume: Floats, shape: Shape) -> Floats:
    """The voxel whose centre is nearest: ``nearest-exact`` of torch."""
    for axis in _shrinking_first(volume.shape, shape):
        wanted = (
            SourceAxis.whole(axis, volume.shape[axis]).resized(shape[axis], volume.shape[axis]).nearest(shape[axis])
        )
        if volume.shape[axis] != shape[axis]:
            volume = volume.take(wanted, axis)
    return volume


def _linear(volume: Floats, shape: Shape) -> Floats:
    for axis in _shrinking_first(volume.shape, shape):
        if volume.shape[axis] != shape[axis]:
            volume = interpolated(volume, axis, centres(volume.shape[axis], shape[axis]))
    return volume


def _cubic(volume: Floats, shape: Shape) -> Floats:
    """Cubic B-splines, as nnU-Net resamples images (``skimage.transform.resize`` of order 3)."""
    from scipy import ndimage  # a third of a second that most runs don't need

    factors = [new / old for new, old in zip(shape, volume.shape, strict=True)]
    out = np.empty(shape, np.float32)
    ndimage.zoom(volume, factors, output=out, order=3, mode="nearest", grid_mode=True)
    return out


def _shrinking_first(old: tuple[int, ...], new: Shape) -> list[int]:
    return sorted(range(3), key=lambda axis: new[axis] / old[axis])
