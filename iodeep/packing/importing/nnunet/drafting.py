"""What plans, labels and mirroring mean in a card's words; each as nnU-Net 2 does it, given in the card's axes.

The card's axes are those after ``transpose_forward``: the one step ``orient`` does both, the way in which the training images were
stored and the plans' transposition.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iodeep.packing.importing.imported import Question
from iodeep.packing.importing.nnunet.documents import number
from iodeep.packing.importing.nnunet.model import Model
from iodeep.packing.importing.nnunet.plans import READERS
from iodeep.packing.importing.onnx_export import INPUT, OUTPUT

LEAST_WEIGHT = 2.0**-24 / 10
"""nnU-Net keeps its Gaussian, of peak 10, in float16: what would be 0 there becomes its smallest number."""
OVERLAP = 0.5
"""``tile_step_size`` of nnUNetv2_predict."""
SMALLEST_DEVIATION = 1e-8
STORED = ("LPS", "RAS", "LAS")
"""Usual orientations of NIfTI files: first, second and third axis grow to these sides."""


def axes_of(stored: str, transpose: tuple[int, int, int]) -> str:
    """The card's ``orient`` for training images stored so: arrays have the file's last axis first, then are transposed."""
    array = stored[::-1]
    return "".join(array[axis] for axis in transpose)


def preprocessing(model: Model) -> list[dict[str, Any]]:
    """Orient, crop, normalise, resample: nnU-Net's order."""
    plan = model.plan
    orient: dict[str, Any] = {"step": "orient"}
    if array := READERS[plan.reader]:
        orient["axes"] = axes_of(array[::-1], plan.transpose)
    steps = [orient, {"step": "crop_nonzero"}, *_normalisation(model)]
    if plan.data:
        step = {
            "step": "resample_spacing",
            "mm": [*([None] if plan.flat else []), *plan.spacing],
            "interpolation": plan.data.interpolation,
            "anisotropic": plan.data.anisotropic,
            "bounded": plan.data.interpolation == "cubic",
        }
        steps.append(step)
    return steps


def orientation_question(model: Model) -> Question | None:
    """Of a reader that takes images as they were stored, nobody but who trained it knows how that was."""
    if READERS[model.plan.reader]:
        return None
    ways = ", ".join(f"{axes_of(stored, model.plan.transpose)} for images stored as {stored}" for stored in STORED)
    return Question(
        "preprocessing.0.axes",
        f"How were the training images stored (of NIfTI files: nibabel.aff2axcodes)? {ways}; other orientations likewise.",
    )


def _normalisation(model: Model) -> list[dict[str, Any]]:
    """Masked z-scores first: their mask is of what is not 0 yet in any channel."""
    schemes = model.plan.normalisations(len(model.inputs))
    masked = [channel for channel, (scheme, mask, _) in enumerate(schemes) if scheme == "ZScoreNormalization" and mask]
    plain = [
        channel for channel, (scheme, mask, _) in enumerate(schemes) if scheme == "ZScoreNormalization" and not mask
    ]
    ranged = [channel for channel, (scheme, _, _) in enumerate(schemes) if scheme == "RescaleTo01Normalization"]
    steps: list[dict[str, Any]] = []
    for channels, step in (
        (masked, {"step": "z_score", "mask": "nonzero_filled"}),
        (plain, {"step": "z_score"}),
        (ranged, {"step": "scale_range", "low": 0.0, "high": 1.0}),
    ):
        if channels:
            steps.append(_for(channels, len(schemes), step))
    for channel, (scheme, _, known) in enumerate(schemes):
        steps.extend(_for([channel], len(schemes), step) for step in _fixed(scheme, known, channel))
    return steps


def _fixed(scheme: str, known: Mapping[str, Any], channel: int) -> list[dict[str, Any]]:
    """The steps of a scheme whose numbers are the training set's, or none."""
    if scheme == "RGBTo01Normalization":
        return [{"step": "scale_shift", "scale": 1 / 255}]
    if scheme != "CTNormalization":
        return []
    where = f"plans.json: foreground intensities of channel {channel}"
    low, high, mean, deviation = (
        number(known, name, where) for name in ("percentile_00_5", "percentile_99_5", "mean", "std")
    )
    scale = 1 / max(deviation, SMALLEST_DEVIATION)
    return [{"step": "clip", "low": low, "high": high}, {"step": "scale_shift", "scale": scale, "shift": -mean * scale}]


def _for(channels: list[int], count: int, step: dict[str, Any]) -> dict[str, Any]:
    return step if len(channels) == count else {**step, "channels": channels}


def network(model: Model, files: list[str], trainable: list[str]) -> dict[str, Any]:
    """The folds as an ensemble, with nnUNetPredictor's windows and mirroring."""
    return {
        "files": files,
        "trainable": trainable,
        "dimensions": "2D" if model.plan.flat else "3D",
        **({"slice_axis": 0} if model.plan.flat else {}),
        "input_tensor": INPUT,
        "inference": {
            "mode": "patches",
            "size": list(model.plan.patch),
            "overlap": OVERLAP,
            "placement": "even",
            "blending": "gaussian_on_voxel",
            "least_weight": LEAST_WEIGHT,
        },
        "mirror_axes": list(model.mirror_axes),
    }


def segmentation(model: Model) -> dict[str, Any]:
    """Logits, averaged and brought back before they are decoded; regions write their labels one over the other."""
    labels, values = model.labels, model.plan.values
    restoration = (
        {"interpolation": values.interpolation, "anisotropic": values.anisotropic}
        if values
        else {"interpolation": "linear"}
    )
    return {
        "tensor": OUTPUT,
        "activation": "sigmoid" if labels.painted else "softmax",
        "activate": "restored",
        "decode": "nested" if labels.painted else "argmax",
        "threshold": 0.5,
        "restoration": restoration,
        "segments": [_segment(model, place) for place in range(len(labels.names))],
    }


def _segment(model: Model, place: int) -> dict[str, Any]:
    labels = model.labels
    said: dict[str, Any] = {"number": place + 1, "channel": place if labels.painted else place + 1}
    if 0 < len(labels.names[place]) <= 64:
        said["label"] = labels.names[place]
    if labels.painted and (inside := labels.includes(place)):
        said["includes"] = [other + 1 for other in inside]
    return said
