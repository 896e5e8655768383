"""The card's inputs and preprocessing in MONAI's transforms; what they would do otherwise than the card says is told beside them.

Transforms are named and have numbers, no code, wherever MONAI has one: then other software reads them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from iodeep.card import (
    CardPart,
    Clip,
    ClipPercentiles,
    CropForeground,
    CropNonzero,
    Interpolation,
    ModelCard,
    Orient,
    PadToMultiple,
    PadToSize,
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
        yield from _step(step)
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
    pixdim, mode = [-1.0 if mm is None else mm for mm in step.mm], _SPACING[step.interpolation]
    corners = step.grid == "corners"
    yield Said(called("Spacingd", pixdim=pixdim, mode=mode, padding_mode="border", scale_extent=corners))
    if corners:
        yield Said(
            unsaid=f"resample_spacing to {pixdim}: MONAI's voxels are exactly that far apart and the last may end beyond the "
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
    yield Said(called("NormalizeIntensityd", nonzero=foreground or step.mask is not None, channel_wise=True))
    if step.mask == "nonzero_filled":
        yield Said(
            unsaid="z_score of voxels that are not 0 in any input, or in a cavity of these: MONAI goes channel by channel, "
            "and takes no cavity."
        )
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
    method = "end" if step.sides == "end" else "symmetric"
    yield Said(called("DivisiblePadd", k=step.multiple, method=method, mode="constant", constant_values=step.value))


def _pad_to_size(step: PadToSize) -> Iterator[Said]:
    size = list(step.shape)
    yield Said(
        called("SpatialPadd", spatial_size=size, method="symmetric", mode="constant", constant_values=step.value)
    )


def _crop_nonzero(_: CropNonzero) -> Iterator[Said]:
    yield Said(called("CropForegroundd", source_key=IMAGE, select_fn="$lambda image: image != 0", allow_smaller=False))


@dataclass(frozen=True)
class _Saying:
    """How a step is said, and which of its fields are."""

    say: Callable[[Any], Iterator[Said]]
    fields: frozenset[str]


_STEPS: Mapping[str, _Saying] = {
    "orient": _Saying(_orient, frozenset({"axes"})),
    "resample_spacing": _Saying(_resample_spacing, frozenset({"mm", "interpolation", "grid"})),
    "resize": _Saying(_resize, frozenset({"shape", "interpolation"})),
    "window": _Saying(_window, frozenset({"center", "width"})),
    "clip": _Saying(_clip, frozenset({"low", "high"})),
    "clip_percentiles": _Saying(_clip_percentiles, frozenset({"lower", "upper", "foreground_above"})),
    "z_score": _Saying(_z_score, frozenset({"foreground_above", "mask"})),
    "scale_range": _Saying(_scale_range, frozenset({"low", "high"})),
    "scale_shift": _Saying(_scale_shift, frozenset({"scale", "shift"})),
    "crop_foreground": _Saying(_crop_foreground, frozenset({"above", "margin"})),
    "pad_to_multiple": _Saying(_pad_to_multiple, frozenset({"multiple", "value", "sides"})),
    "crop_nonzero": _Saying(_crop_nonzero, frozenset()),
    "pad_to_size": _Saying(_pad_to_size, frozenset({"shape", "value"})),
}


def _step(step: Any) -> Iterator[Said]:
    known = _STEPS.get(step.step)
    if known is None:
        yield Said(unsaid=f"{step.step}: MONAI has no such transform, and it is left out.")
        return
    yield from known.say(step)
    yield from beside(step, known.fields | {"step"}, step.step)


def beside(part: CardPart, said: frozenset[str], name: str) -> Iterator[Said]:
    """A sentence for each field of a part that is not said and that does not have its default."""
    for field, declared in type(part).model_fields.items():
        value = getattr(part, field)
        if field not in said and value != declared.default:
            yield Said(unsaid=f"{name}: MONAI is not told {field} = {value}.")


def _neighbours(card: ModelCard) -> Iterator[Said]:
    """2.5D: each slice with its neighbours as channels, the last repeated at the ends; MONAI has no transform for it."""
    axis, count = card.network.slice_axis, card.network.context_slices
    size = f"channel.shape[{axis}]"
    slices = f"channel.index_select({axis}, (torch.arange({size}) + step).clamp(0, {size} - 1))"
    steps = f"range({-count}, {count + 1})"
    yield Said(
        called("Lambdad", func=f"$lambda image: torch.stack([{slices} for channel in image for step in {steps}])")
    )
