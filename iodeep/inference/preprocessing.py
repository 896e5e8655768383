"""The card's preprocessing steps, one function each, exactly as their docstrings in :mod:`iodeep.card.processing` say.

An image of float32 owns its voxels: intensity steps change them in place, spatial steps hand on a view where they can.
Integers stay what they are until a step needs floats, because a resampled image is often much smaller than its source. With
several inputs, intensities are taken channel by channel; a crop is the union of all channels' foreground.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from iodeep.errors import InputError
from iodeep.inference import intensity
from iodeep.inference.image import Floats, Image, Shape
from iodeep.inference.resampling import resized

if TYPE_CHECKING:
    from iodeep.card import CropForeground, Orient, PadToMultiple, Preprocessing, ResampleSpacing, Resize

MAX_VOXELS = 1 << 31
"""Of one channel; a grid beyond it comes from a wrong spacing, not from a scanner."""

_DIRECTIONS = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
"""Letter -> axis of LPS, and its sign."""


def preprocessed(image: Image, steps: Sequence[Preprocessing]) -> Image:
    """``image`` after every step of the card."""
    for step in steps:
        spatial = _SPATIAL.get(step.step)
        image = spatial(image, step) if spatial else replace(image, voxels=intensity.applied(_floats(image), step))
    return replace(image, voxels=_floats(image))


def _floats(image: Image) -> Floats:
    """The voxels as float32, the same where they are."""
    return image.voxels.astype(np.float32, copy=False)


def oriented(image: Image, step: Orient) -> Image:
    """Permute and flip; the axis taken for a direction is the one that is closest to it over all three."""
    wanted = [_DIRECTIONS[letter] for letter in step.axes]
    directions = image.affine[:3, :3] / image.spacing
    order = max(permutations(range(3)), key=lambda axes: _agreement(directions, axes, wanted))
    voxels = image.voxels.transpose(0, *(axis + 1 for axis in order))
    axes = [image.axes[axis] for axis in order]
    for index, (along, sign) in enumerate(wanted):
        if directions[along, order[index]] * sign < 0:
            voxels = np.flip(voxels, index + 1)
            axes[index] = axes[index].flipped(voxels.shape[index + 1])
    return image.moved(voxels, axes)


def _agreement(directions: Any, order: tuple[int, ...], wanted: list[tuple[int, int]]) -> float:
    return float(sum(abs(directions[along, axis]) for axis, (along, _) in zip(order, wanted, strict=True)))


def resampled(image: Image, step: ResampleSpacing) -> Image:
    """As nnU-Net does: the number of voxels that comes nearest to the spacing, corner to corner."""
    counts = [max(1, round(n * s / mm)) for n, s, mm in zip(image.shape, image.spacing, step.mm, strict=True)]
    return _on_shape(image, (counts[0], counts[1], counts[2]), step.interpolation)


def fitted(image: Image, step: Resize) -> Image:
    """The whole volume on a fixed number of voxels."""
    return _on_shape(image, (step.shape[0], step.shape[1], step.shape[2]), step.interpolation)


def _on_shape(image: Image, shape: Shape, interpolation: str) -> Image:
    if np.prod(shape, dtype=object) > MAX_VOXELS:
        raise InputError(
            "the preprocessed image would be too large",
            expected=f"at most {MAX_VOXELS} voxels",
            found=" x ".join(map(str, shape)),
            remedy="Check the spacing of the series and the preprocessing of the card.",
        )
    channels = [resized(channel, shape, interpolation) for channel in image.voxels]
    voxels = channels[0][None] if len(channels) == 1 else np.stack(channels)
    sizes = zip(image.axes, image.shape, shape, strict=True)
    return image.moved(voxels, [axis.resized(old, new) for axis, old, new in sizes])


def cropped(image: Image, step: CropForeground) -> Image:
    """The bounding box of what lies above ``above`` in any channel."""
    foreground = np.any(image.voxels > step.above, axis=0)
    box: list[slice] = []
    for axis in range(3):
        along = np.flatnonzero(foreground.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(along):
            raise InputError(
                "the image has no foreground to crop to",
                expected=f"voxels above {step.above:g}",
                found=f"values up to {image.voxels.max():g}",
                remedy="Check that the series shows what the model was made for.",
            )
        box.append(slice(max(0, int(along[0]) - step.margin), min(int(along[-1]) + 1 + step.margin, image.shape[axis])))
    axes = [axis.cropped(side.start, side.stop - side.start) for axis, side in zip(image.axes, box, strict=True)]
    return image.moved(image.voxels[(slice(None), *box)], axes)


def padded(image: Image, step: PadToMultiple) -> Image:
    """Pad each axis at its end."""
    ends = [-size % step.multiple for size in image.shape]
    if not any(ends):
        return image
    voxels = np.pad(_floats(image), [(0, 0), *((0, end) for end in ends)], constant_values=step.value)
    return replace(image, voxels=voxels)


_SPATIAL: Mapping[str, Callable[[Image, Any], Image]] = {
    "orient": oriented,
    "resample_spacing": resampled,
    "resize": fitted,
    "crop_foreground": cropped,
    "pad_to_multiple": padded,
}
