"""Transforms after the network: how values become segments, and where: on the network's grid or on the source's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from iodeep.errors import InputError
from iodeep.packing.importing.monai_bundle.arguments import Arguments
from iodeep.packing.importing.monai_bundle.configuration import Component

NO_EFFECT = frozenset("EnsureTyped CastToTyped ToTensord ToDeviced SaveImaged SaveClassificationd".split())  # noqa: SIM905
_TIDYING = {"KeepLargestConnectedComponentd": "largest_component", "FillHolesd": "fill_holes"}
UNDERSTOOD = ("Activationsd", "AsDiscreted", "Invertd", *_TIDYING)


@dataclass
class Decoding:
    """What the transforms do, in the card's words."""

    activation: str = "none"
    decode: str | None = None
    threshold: float = 0.5
    restored: str | None = None
    """``values`` before they are activated, ``activated`` ones, ``labels``; None where no transform brings anything back."""
    tidying: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    """The card's step, and the channels that it is for; none: all."""

    def said(self) -> dict[str, Any]:
        """Of the card's segmentation."""
        said: dict[str, Any] = {"activation": self.activation, "decode": self.decode or "argmax"}
        if self.activation != "none":
            said["activate"] = "restored" if self.restored == "values" else "mean"
        if self.decode == "threshold":
            said["threshold"] = self.threshold
        said["restoration"] = {"interpolation": "linear"} if self.restored in ("values", "activated") else None
        return said


def decoding_of(transforms: Sequence[Component]) -> Decoding:
    """What ``transforms`` do, in order; InputError naming the one that a card cannot say."""
    found = Decoding()
    for transform in transforms:
        arguments = Arguments(transform)
        if found.decode is None and not transform.name.startswith("Save"):
            arguments.keeps_floats()
        if transform.name in NO_EFFECT:
            continue
        if transform.name not in UNDERSTOOD:
            raise InputError(
                f"the transform {transform.target} at {transform.where} is none that a card can say",
                expected=f"one of {', '.join(sorted((*UNDERSTOOD, *NO_EFFECT)))}",
                remedy="Leave it out of the configuration for inference if it changes no voxel, or pack the network as ONNX with a "
                "card of your own.",
            )
        arguments.about("pred")
        _take(found, transform, arguments)
        arguments.done()
    return found


def _take(found: Decoding, transform: Component, arguments: Arguments) -> None:
    if transform.name == "Activationsd":
        _activate(found, transform, arguments)
    elif transform.name == "AsDiscreted":
        _discrete(found, transform, arguments)
    elif transform.name == "Invertd":
        _invert(found, transform, arguments)
    else:
        _tidy(found, transform, arguments)


def _activate(found: Decoding, transform: Component, arguments: Arguments) -> None:
    arguments.only(other=None)
    kinds = [kind for kind in ("softmax", "sigmoid") if arguments.flag(kind)]
    if len(kinds) != 1 or found.activation != "none" or found.decode:
        raise _order(transform, "one activation, softmax or sigmoid, before AsDiscreted")
    found.activation = kinds[0]


def _discrete(found: Decoding, transform: Component, arguments: Arguments) -> None:
    arguments.take("to_onehot")  # another way to write the same voxels
    arguments.only(rounding=None, dim=0, keepdim=True)
    argmax, threshold = arguments.flag("argmax"), arguments.optional_number("threshold")
    if argmax and threshold is None and found.decode is None:
        found.decode = "argmax"
    elif threshold is not None and not argmax and found.decode is None and 0 <= threshold <= 1:
        found.decode, found.threshold = "threshold", threshold
    elif argmax or threshold is not None:
        raise _order(transform, "one AsDiscreted, with argmax or a threshold of 0 to 1")


def _invert(found: Decoding, transform: Component, arguments: Arguments) -> None:
    for name in ("transform", "orig_keys", "num_workers"):
        arguments.take(name)
    arguments.only(post_func=None)
    nearest = arguments.flag("nearest_interp", default=True)
    if found.restored or nearest is not (found.decode is not None):
        raise _order(transform, "one Invertd: nearest_interp false before AsDiscreted, or true after it")
    found.restored = "labels" if nearest else "activated" if found.activation != "none" else "values"


def _tidy(found: Decoding, transform: Component, arguments: Arguments) -> None:
    if found.decode is None:
        raise _order(transform, "AsDiscreted before it")
    labels = arguments.take("applied_labels", [])
    labels = [] if labels is None else labels if isinstance(labels, list) else [labels]
    arguments.only(independent=True, num_components=1, connectivity=None)
    arguments.take("is_onehot")
    found.tidying.append((_TIDYING[transform.name], tuple(int(each) for each in labels)))


def _order(transform: Component, expected: str) -> InputError:
    return InputError(
        f"{transform.name} at {transform.where} stands where a card cannot say what it does",
        expected=expected,
        remedy="Put the transforms in the usual order (Activationsd, Invertd, AsDiscreted), or pack the network as ONNX.",
    )
