"""The card's preprocessing steps, one function each, exactly as their docstrings in :mod:`iodeep.card.processing` say.

An image of float32 owns its voxels: intensity steps change them in place, spatial steps hand on a view where they can.
Integers stay what they are until a step needs floats, because a resampled image is often much smaller than its source. With
several inputs, intensities are taken channel by channel; a crop is the union of all channels' foreground.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from iodeep.errors import InputError
from iodeep.inference import intensity
from iodeep.inference.image import Floats, Image, Shape
from iodeep.inference.resampling import axis_alone, resized, spaced

if TYPE_CHECKING:
    from iodeep.card import (
        CropForeground,
        CropNonzero,
        Orient,
        PadToMultiple,
        PadToSize,
        Preprocessing,
        ResampleSpacing,
        Resize,
    )

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
    """On either of the two grids that the step knows."""
    wanted = [float(s) if mm is None else mm for s, mm in zip(image.spacing, step.mm, strict=True)]
    if step.grid == "centres":
        return _on_centres(image, wanted, step.interpolation)
    counts = [max(1, round(n * s / mm)) for n, s, mm in zip(image.shape, image.spacing, wanted, strict=True)]
    alone = axis_alone(image.spacing, wanted, step.anisotropic)
    way = partial(resized, interpolation=step.interpolation, alone=alone, bounded=step.bounded)
    return _on_shape(image, (counts[0], counts[1], counts[2]), way)


def _on_centres(image: Image, wanted: Sequence[float], interpolation: str) -> Image:
    """As MONAI does: exactly the spacing, from the first voxel's centre on; as many voxels as come nearest to the last one's."""
    spacing = [float(each) for each in image.spacing]
    ratios = [mm / each for mm, each in zip(wanted, spacing, strict=True)]
    counts = [round((size - 1) / ratio) + 1 for size, ratio in zip(image.shape, ratios, strict=True)]
    shape = (counts[0], counts[1], counts[2])
    _refuse_huge(shape)
    voxels = np.stack([spaced(channel, shape, ratios, interpolation) for channel in image.voxels])
    exact = [Fraction(mm) / Fraction(each) for mm, each in zip(wanted, spacing, strict=True)]
    return image.moved(voxels, [axis.spaced(ratio) for axis, ratio in zip(image.axes, exact, strict=True)])


def _refuse_huge(shape: Shape) -> None:
    if np.prod(shape, dtype=object) > MAX_VOXELS:
        raise InputError(
            "the preprocessed image would be too large",
            expected=f"at most {MAX_VOXELS} voxels",
            found=" x ".join(map(str, shape)),
            remedy="Check the spacing of the series and the preprocessing of the card.",
        )


def fitted(image: Image, step: Resize) -> Image:
    """The whole volume on a fixed number of voxels."""
    shape = (step.shape[0], step.shape[1], step.shape[2])
    return _on_shape(image, shape, partial(resized, interpolation=step.interpolation))


def _on_shape(image: Image, shape: Shape, way: Callable[[npt.NDArray[Any], Shape], npt.NDArray[Any]]) -> Image:
    _refuse_huge(shape)
    channels = [way(channel, shape) for channel in image.voxels]
    voxels = channels[0][None] if len(channels) == 1 else np.stack(channels)
    sizes = zip(image.axes, image.shape, shape, strict=True)
    return image.moved(voxels, [axis.resized(old, new) for axis, old, new in sizes])


def cropped(image: Image, step: CropForeground) -> Image:
    """The bounding box of what lies above ``above`` in any channel."""
    return _cropped_to(image, np.any(image.voxels > step.above, axis=0), f"voxels above {step.above:g}", step.margin)


def cropped_to_nonzero(image: Image, _step: CropNonzero) -> Image:
    """The bounding box of what is not 0 in any channel; cavities lie within it anyway."""
    return _cropped_to(image, np.any(image.voxels != 0, axis=0), "voxels that are not 0", 0)


def _cropped_to(image: Image, foreground: npt.NDArray[np.bool_], what: str, margin: int) -> Image:
    box: list[slice] = []
    for axis in range(3):
        along = np.flatnonzero(foreground.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(along):
            raise InputError(
                "the image has no foreground to crop to",
                expected=what,
                found=f"values up to {image.voxels.max():g}",
                remedy="Check that the series shows what the model was made for.",
            )
        box.append(slice(max(0, int(along[0]) - margin), min(int(along[-1]) + 1 + margin, image.shape[axis])))
    axes = [axis.cropped(side.start, side.stop - side.start) for axis, side in zip(image.axes, box, strict=True)]
    return image.moved(image.voxels[(slice(None), *box)], axes)


def padded(image: Image, step: PadToMultiple) -> Image:
    """Pad each axis to a multiple."""
    missing = [-size % step.multiple for size in image.shape]
    return _padded(image, [each // 2 if step.sides == "both" else 0 for each in missing], missing, step.value)


def padded_to_size(image: Image, step: PadToSize) -> Image:
    """Pad each axis that is shorter."""
    missing = [max(wanted - size, 0) for size, wanted in zip(image.shape, step.shape, strict=True)]
    return _padded(image, [each // 2 for each in missing], missing, step.value)


def _padded(image: Image, before: Sequence[int], missing: Sequence[int], value: float) -> Image:
    """``missing`` voxels more an axis, ``before`` of them at its start."""
    if not any(missing):
        return image
    sides = [(first, count - first) for first, count in zip(before, missing, strict=True)]
    voxels = np.pad(_floats(image), [(0, 0), *sides], constant_values=value)
    sizes = zip(image.axes, before, voxels.shape[1:], strict=True)
    return image.moved(voxels, [axis.cropped(-first, size) for axis, first, size in sizes])


_SPATIAL: Mapping[str, Callable[[Image, Any], Image]] = {
    "orient": oriented,
    "resample_spacing": resampled,
    "resize": fitted,
    "crop_foreground": cropped,
    "crop_nonzero": cropped_to_nonzero,
    "pad_to_multiple": padded,
    "pad_to_size": padded_to_size,
}
