"""Transforms before the network: those that a card can say, each as steps of the card; every other is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from iodeep.errors import InputError
from iodeep.packing.importing.monai_bundle.arguments import Arguments
from iodeep.packing.importing.monai_bundle.configuration import Component

Steps = list[dict[str, Any]]
NO_EFFECT = frozenset(
    "LoadImaged EnsureChannelFirstd EnsureTyped CastToTyped ToTensord ToDeviced AddChanneld AsChannelFirstd".split()  # noqa: SIM905
)
"""They load an image and choose its type and place: the packed network gets float32 with channels first anyway."""


def steps_of(transforms: Sequence[Component], channels: int) -> Steps:
    """The card's steps; InputError naming the transform that has none."""
    found: Steps = []
    for transform in transforms:
        arguments = Arguments(transform)
        arguments.keeps_floats()
        if transform.name in NO_EFFECT:
            continue
        mapped = _STEPS.get(transform.name)
        if mapped is None:
            raise InputError(
                f"the transform {transform.target} at {transform.where} is none that a card can say",
                expected=f"one of {', '.join(sorted({*_STEPS, *NO_EFFECT}))}",
                remedy="Leave it out of the configuration for inference if it changes nothing there, put it into the network, or "
                "pack the network as ONNX with a card of your own.",
            )
        arguments.about("image")
        found += mapped(arguments, channels)
        arguments.done()
    if not any(step["step"] == "orient" for step in found):
        raise InputError(
            "the bundle does not say in which orientation its network sees an image",
            expected="a transform Orientationd before the network",
            remedy="Add the one that it was trained with to the preprocessing of configs/inference.json: files differ in it.",
        )
    return found


def _orient(arguments: Arguments, _: int) -> Steps:
    arguments.only(as_closest_canonical=False)
    labels = arguments.take("labels")
    if labels is not None and [list(each) for each in labels] != [["L", "R"], ["P", "A"], ["I", "S"]]:
        raise arguments.refused("labels", labels, "the usual ones")
    axes = arguments.take("axcodes")
    if not isinstance(axes, str) or len(axes) != 3:
        raise arguments.refused("axcodes", axes, "three letters such as RAS")
    return [{"step": "orient", "axes": axes}]


def _spacing(arguments: Arguments, _: int) -> Steps:
    arguments.only(diagonal=False, scale_extent=False, recompute_affine=False, min_pixdim=None, max_pixdim=None,
                   ensure_same_shape=True, padding_mode="border")  # fmt: skip
    arguments.take("align_corners")  # of no consequence: places are given in mm, and the border's value goes on
    mode = arguments.one_of("mode", ("bilinear", "nearest"), "bilinear")
    mm = [size if size > 0 else None for size in arguments.numbers("pixdim", 3)]
    interpolation = "linear" if mode == "bilinear" else "nearest"
    return [{"step": "resample_spacing", "mm": mm, "interpolation": interpolation, "grid": "centres"}]


def _resize(arguments: Arguments, _: int) -> Steps:
    arguments.only(size_mode="all", anti_aliasing=False, align_corners=False)
    mode = arguments.one_of("mode", ("trilinear", "nearest-exact"), "area")
    shape = [int(size) for size in arguments.numbers("spatial_size", 3)]
    return [{"step": "resize", "shape": shape, "interpolation": "linear" if mode == "trilinear" else "nearest"}]


def _scaled(low: float, high: float, to_low: float, to_high: float) -> dict[str, Any]:
    scale = (to_high - to_low) / (high - low)
    return {"step": "scale_shift", "scale": scale, "shift": to_low - low * scale}


def _scale_range(arguments: Arguments, _: int) -> Steps:
    low, high = arguments.number("a_min"), arguments.number("a_max")
    to_low, to_high = arguments.optional_number("b_min"), arguments.optional_number("b_max")
    clip = arguments.flag("clip")
    if high <= low:
        raise arguments.refused("a_max", high, f"more than a_min, {low:g}")
    if clip and None in (to_low, to_high):
        raise arguments.refused("clip", clip, "b_min and b_max with it")
    bottom, top = (0.0, 1.0) if to_low is None or to_high is None else (to_low, to_high)
    if clip and (bottom, top) == (0.0, 1.0):
        return [{"step": "window", "center": (low + high) / 2, "width": high - low}]
    steps = [_scaled(low, high, bottom, top)]
    return [*steps, {"step": "clip", "low": min(bottom, top), "high": max(bottom, top)}] if clip else steps


def _scale_percentiles(arguments: Arguments, channels: int) -> Steps:
    lower, upper = arguments.number("lower"), arguments.number("upper")
    low, high = arguments.number("b_min"), arguments.number("b_max")
    arguments.only(relative=False)
    if not arguments.flag("clip"):
        raise arguments.refused("clip", False, "true")
    _each_channel(arguments, channels)
    return [
        {"step": "clip_percentiles", "lower": lower, "upper": upper},
        {"step": "scale_range", "low": low, "high": high},
    ]


def _scale(arguments: Arguments, channels: int) -> Steps:
    low, high = arguments.number("minv", 0.0), arguments.number("maxv", 1.0)
    arguments.only(factor=None)
    _each_channel(arguments, channels)
    return [{"step": "scale_range", "low": low, "high": high}]


def _normalize(arguments: Arguments, channels: int) -> Steps:
    nonzero = arguments.flag("nonzero")
    _each_channel(arguments, channels)
    if arguments.take("subtrahend") is not None or arguments.take("divisor") is not None:
        raise arguments.refused("subtrahend", "...", "neither that nor divisor: ScaleIntensityRanged says the same")
    return [{"step": "z_score", "mask": "nonzero"} if nonzero else {"step": "z_score"}]


def _each_channel(arguments: Arguments, channels: int) -> None:
    """A card measures each channel on its own; with one channel that is the same."""
    if not arguments.flag("channel_wise") and channels > 1:
        raise arguments.refused("channel_wise", False, f"true, because there are {channels} channels")


def _crop(arguments: Arguments, _: int) -> Steps:
    arguments.only(select_fn=None, channel_indices=None, k_divisible=1, mode="constant", start_coord_key="foreground_start_coord",
                   end_coord_key="foreground_end_coord")  # fmt: skip
    arguments.take("source_key")
    margin = arguments.number("margin", 0)
    if margin and not arguments.flag("allow_smaller"):
        raise arguments.refused("margin", margin, "0, or allow_smaller: true with it")
    arguments.take("allow_smaller")
    return [{"step": "crop_foreground", "above": 0.0, "margin": int(margin)}]


def _pad(arguments: Arguments, _: int) -> Steps:
    arguments.only(method="symmetric", mode="constant")
    value = arguments.number("value", arguments.number("constant_values", 0.0))
    shape = [int(size) for size in arguments.numbers("spatial_size", 3)]
    return [{"step": "pad_to_size", "shape": shape, "value": value}]


def _pad_divisible(arguments: Arguments, _: int) -> Steps:
    arguments.only(mode="constant")
    sides = {"symmetric": "both", "end": "end"}[arguments.one_of("method", ("symmetric", "end"), "symmetric")]
    value = arguments.number("value", arguments.number("constant_values", 0.0))
    each = arguments.numbers("k", 3)
    if len(set(each)) > 1:
        raise arguments.refused("k", each, "one number for all axes")
    return [{"step": "pad_to_multiple", "multiple": int(each[0]), "value": value, "sides": sides}]


_STEPS: Mapping[str, Callable[[Arguments, int], Steps]] = {
    "Orientationd": _orient,
    "Spacingd": _spacing,
    "Resized": _resize,
    "ScaleIntensityRanged": _scale_range,
    "ScaleIntensityRangePercentilesd": _scale_percentiles,
    "ScaleIntensityd": _scale,
    "NormalizeIntensityd": _normalize,
    "CropForegroundd": _crop,
    "SpatialPadd": _pad,
    "DivisiblePadd": _pad_divisible,
}
