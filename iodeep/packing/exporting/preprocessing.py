"""The card's inputs and preprocessing in MONAI's transforms; what they would do otherwise than the card says is told beside them.

Transforms are named and have numbers, no code, wherever MONAI has one: then other software reads them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from iodeep.card import (
    Clip,
    ClipPercentiles,
    CropForeground,
    Interpolation,
    ModelCard,
    Orient,
    PadToMultiple,
    ResampleSpacing,
    Resize,
    ScaleRange,
    ScaleShift,
    SlicePlane,
    Window,
    ZScore,
)

IMAGE = "image"
"""The key of what the network is given."""
Transform = dict[str, Any]


@dataclass(frozen=True)
class Said:
    """A transform, or what MONAI does not say as the card does: a sentence for people."""

    transform: Transform | None = None
    unsaid: str = ""


def preprocessing(card: ModelCard) -> Iterator[Said]:
    """Loading, the channels of several inputs, and every step of the card."""
    yield from _loading(card)
    if not any(isinstance(step, Orient) for step in card.preprocessing):
        yield from _stored_orientation(card)
    for step in card.preprocessing:
        yield from _STEPS[step.step](step)
    if card.network.context_slices:
        yield from _neighbours(card)


def input_keys(card: ModelCard) -> list[str]:
    """The names by which the series are given: the only one is ``image``."""
    return [IMAGE] if len(card.inputs) == 1 else [each.name for each in card.inputs]


def called(name: str, **arguments: Any) -> Transform:
    """A transform of monai.transforms for the image."""
    return {"_target_": name, "keys": IMAGE, **arguments}


def _loading(card: ModelCard) -> Iterator[Said]:
    keys = input_keys(card)
    yield Said({"_target_": "LoadImaged", "keys": keys, "image_only": True, "ensure_channel_first": True})
    yield Said({"_target_": "EnsureTyped", "keys": keys, "dtype": "$torch.float32"})
    if len(keys) > 1:
        first, *others = keys
        yield Said(
            {
                "_target_": "ResampleToMatchd",
                "keys": others,
                "key_dst": first,
                "mode": "bilinear",
                "padding_mode": "border",
            }
        )
        yield Said({"_target_": "ConcatItemsd", "keys": keys, "name": IMAGE})
        yield Said(
            unsaid=f"{', '.join(others)} on the grid of {first}: where a series does not reach, the network is given its "
            "smallest value here, and the value at its border by MONAI; MONAI does not refuse series that hardly overlap."
        )


_ALONG = {SlicePlane.AXIAL: "SPL", SlicePlane.CORONAL: "PIL", SlicePlane.SAGITTAL: "RIP"}
"""Slices, rows, columns of a plane, each named by where it grows to; slices along the normal (PS3.3 C.7.6.2.1.1)."""


def _stored_orientation(card: ModelCard) -> Iterator[Said]:
    planes = card.inputs[0].eligibility.planes
    plane = planes[0] if len(planes) == 1 and planes[0] in _ALONG else SlicePlane.AXIAL
    yield Said(called("Orientationd", axcodes=_ALONG[plane]))
    if (plane,) != planes:
        yield Said(
            unsaid="The card orients nothing, so that the network is given slices, rows and columns as they were stored; "
            f"MONAI is told to give {plane.value.lower()} slices ({_ALONG[plane]}), whatever was stored."
        )


def _orient(step: Orient) -> Iterator[Said]:
    yield Said(called("Orientationd", axcodes=step.axes))


_RESIZING = {
    Interpolation.NEAREST: "nearest-exact",
    Interpolation.LINEAR: "trilinear",
    Interpolation.CUBIC: "trilinear",
}
_SPACING: Mapping[Interpolation, str | int] = {
    Interpolation.NEAREST: "nearest",
    Interpolation.LINEAR: "bilinear",
    Interpolation.CUBIC: 3,
}


def _resample_spacing(step: ResampleSpacing) -> Iterator[Said]:
    pixdim, mode = list(step.mm), _SPACING[step.interpolation]
    yield Said(called("Spacingd", pixdim=pixdim, mode=mode, padding_mode="border", scale_extent=True))
    yield Said(
        unsaid=f"resample_spacing to {step.mm}: MONAI's voxels are exactly that far apart and the last may end beyond the "
        "image; the card's are stretched so that the corners coincide, by less than half a voxel in all."
    )


def _resize(step: Resize) -> Iterator[Said]:
    mode = _RESIZING[step.interpolation]
    arguments = {} if mode == "nearest-exact" else {"align_corners": False}
    yield Said(called("Resized", spatial_size=list(step.shape), mode=mode, **arguments))
    if step.interpolation is Interpolation.CUBIC:
        yield Said(unsaid="resize with cubic interpolation: MONAI resizes volumes linearly.")


def _window(step: Window) -> Iterator[Said]:
    low, high = step.center - step.width / 2, step.center + step.width / 2
    yield Said(called("ScaleIntensityRanged", a_min=low, a_max=high, b_min=0.0, b_max=1.0, clip=True))


def _clip(step: Clip) -> Iterator[Said]:
    yield Said(called("ThresholdIntensityd", threshold=step.low, above=True, cval=step.low))
    yield Said(called("ThresholdIntensityd", threshold=step.high, above=False, cval=step.high))


def _clip_percentiles(step: ClipPercentiles) -> Iterator[Said]:
    yield Said(called("ClipIntensityPercentilesd", lower=step.lower, upper=step.upper, channel_wise=True))
    if step.foreground_above is not None:
        yield Said(
            unsaid=f"clip_percentiles of the voxels above {step.foreground_above:g}: MONAI takes those of all voxels."
        )


def _z_score(step: ZScore) -> Iterator[Said]:
    foreground = step.foreground_above is not None
    yield Said(called("NormalizeIntensityd", nonzero=foreground, channel_wise=True))
    if foreground:
        yield Said(
            unsaid=f"z_score by the voxels above {step.foreground_above:g}: MONAI takes those that are not 0, and leaves "
            "the others as they are."
        )


def _scale_range(step: ScaleRange) -> Iterator[Said]:
    yield Said(called("ScaleIntensityd", minv=step.low, maxv=step.high, channel_wise=True))


def _scale_shift(step: ScaleShift) -> Iterator[Said]:
    if step.scale != 1:
        yield Said(called("ScaleIntensityd", minv=None, maxv=None, factor=step.scale - 1))
    if step.shift != 0:
        yield Said(called("ShiftIntensityd", offset=step.shift))


def _crop_foreground(step: CropForeground) -> Iterator[Said]:
    chosen = {"select_fn": f"$lambda image: image > {step.above!r}"} if step.above else {}
    yield Said(called("CropForegroundd", source_key=IMAGE, margin=step.margin, allow_smaller=False, **chosen))


def _pad_to_multiple(step: PadToMultiple) -> Iterator[Said]:
    yield Said(
        called("DivisiblePadd", k=step.multiple, method="end", mode="constant", constant_values=step.value),
    )


_STEPS: Mapping[str, Callable[[Any], Iterator[Said]]] = {
    "orient": _orient,
    "resample_spacing": _resample_spacing,
    "resize": _resize,
    "window": _window,
    "clip": _clip,
    "clip_percentiles": _clip_percentiles,
    "z_score": _z_score,
    "scale_range": _scale_range,
    "scale_shift": _scale_shift,
    "crop_foreground": _crop_foreground,
    "pad_to_multiple": _pad_to_multiple,
}


def _neighbours(card: ModelCard) -> Iterator[Said]:
    """2.5D: each slice with its neighbours as channels, the last repeated at the ends; MONAI has no transform for it."""
    axis, count = card.network.slice_axis, card.network.context_slices
    size = f"channel.shape[{axis}]"
    slices = f"channel.index_select({axis}, (torch.arange({size}) + step).clamp(0, {size} - 1))"
    steps = f"range({-count}, {count + 1})"
    yield Said(
        called("Lambdad", func=f"$lambda image: torch.stack([{slices} for channel in image for step in {steps}])")
    )
