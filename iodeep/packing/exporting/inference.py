"""``configs/inference.json``: preprocessing, the network by ONNX Runtime, the window, and what is made of its output.

Expressions (``$...``) are made of words of ours and of numbers alone. What is text in a card stands in an entry of its own, which an
expression refers to (:mod:`iodeep.packing.exporting.plain`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any

from iodeep.card import FillHoles, Interpolation, LargestComponent, ModelCard, Patches, Resize, SegmentationOutput
from iodeep.packing.exporting.plain import tensor_name
from iodeep.packing.exporting.preprocessing import IMAGE, Said, Transform, beside, input_keys, preprocessing
from iodeep.packing.exporting.trainable import STATE, Trained

PRED = "pred"
MODELS = "models"


@dataclass(frozen=True)
class Inference:
    """The configuration, and a sentence for each thing that MONAI does otherwise than the card says."""

    document: dict[str, Any]
    unsaid: tuple[str, ...]


def inference_config(
    card: ModelCard, networks: Sequence[str], channels: int | None, trained: Trained | None = None
) -> Inference:
    """``networks``: the files in ``models``; ``channels``: of the segmentation's tensor, None where it does not tell.

    ``trained``: the same network as MONAI builds it itself, which is then taken.
    """
    before = list(preprocessing(card))
    after = list(_postprocessing(card, channels))
    unsaid = [each.unsaid for each in (*before, *_around(card), *after) if each.unsaid]
    document = {
        "imports": ["$import onnxruntime", "$from pathlib import Path"],
        "bundle_root": ".",
        "device": "$torch.device('cpu')",
        "dataset_dir": "./input",
        "output_dir": "./output",
        "series": _series(card),
        "preprocessing": _compose(before),
        "dataset": {"_target_": "Dataset", "data": "$@series", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        **(_trained_network(trained) if trained else _network(card, networks)),
        "inferer": _inferer(card),
        "postprocessing": _compose(after),
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            **({"val_handlers": "@handlers"} if trained else {}),
        },
        "initialize": ["$monai.utils.set_determinism(0)"],
        "run": ["$@evaluator.run()"],
    }
    return Inference(document, tuple(unsaid))


def _series(card: ModelCard) -> str | list[dict[str, str]]:
    """What is run on: each folder or file in ``dataset_dir``; of several inputs, the folders called as they are."""
    keys = input_keys(card)
    if len(keys) == 1:
        return f"$[{{'{IMAGE}': str(path)}} for path in sorted(Path(@dataset_dir).iterdir())]"
    return [{key: f"$@dataset_dir + '/{key}'" for key in keys}]


def _compose(said: Sequence[Said]) -> dict[str, Any]:
    return {"_target_": "Compose", "transforms": [each.transform for each in said if each.transform]}


def _network(card: ModelCard, networks: Sequence[str]) -> dict[str, Any]:
    """ONNX Runtime behind a function of a tensor; several networks and mirrorings are averaged after activation."""
    output = card.segmentation.tensor if card.segmentation else card.classifications[0].tensor
    paths = ", ".join(f"@bundle_root + '/{MODELS}/{name}'" for name in networks)
    one = "torch.from_numpy(session.run([@output_tensor], {@input_tensor: part.cpu().numpy()})[0])"
    if is_averaged(card):
        mirrorings = list(_mirrorings(card))
        said = "told(session, torch.flip(image, axes))"
        again = f"torch.flip({_activated(said, card) if _activates(card) == 'each' else said}, axes)"
        mean = f"torch.stack([{again} for session in @sessions for axes in {mirrorings}]).mean(0)"
        whole = f"$lambda image, told=(lambda session, part: {one}): {mean}"
    else:
        whole = f"$lambda image, told=(lambda session, part: {one}): told(@sessions[0], image)"
    return {
        "input_tensor": tensor_name(card.network.input_tensor),
        "output_tensor": tensor_name(output),
        "sessions": f"$[onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider']) for path in [{paths}]]",
        "network_def": whole,
        "network": "@network_def",
    }


def _trained_network(trained: Trained) -> dict[str, Any]:
    """MONAI's own class, with the weights of ``model.pt``."""
    load = {"load_path": f"$@bundle_root + '/{MODELS}/{STATE}'", "load_dict": {"model": "@network"}}
    return {
        "network_def": trained.component(),
        "network": "$@network_def.to(@device)",
        "handlers": [{"_target_": "CheckpointLoader", **load}],
    }


def is_averaged(card: ModelCard) -> bool:
    """Whether several outputs become one: of networks, or of mirrorings."""
    return len(card.network.files) > 1 or bool(card.network.mirror_axes)


def _activates(card: ModelCard) -> str:
    """What is activated: each output of a network, their mean, or that mean once it is restored."""
    return card.segmentation.activate if card.segmentation else "each"


def _mirrorings(card: ModelCard) -> Iterator[list[int]]:
    """Axes of the tensor (N, channels, spatial) to flip: every combination."""
    flat = None if card.network.dimensions == "3D" else card.network.slice_axis
    spatial = [axis for axis in range(3) if axis != flat]
    axes = [spatial.index(axis) + 2 for axis in sorted(card.network.mirror_axes)]
    yield from map(list, chain.from_iterable(combinations(axes, count) for count in range(len(axes) + 1)))


def _activated(expression: str, card: ModelCard) -> str:
    activation = (card.segmentation or card.classifications[0]).activation
    return {
        "none": expression,
        "softmax": f"torch.softmax({expression}, 1)",
        "sigmoid": f"torch.sigmoid({expression})",
    }[activation]


def _inferer(card: ModelCard) -> dict[str, Any]:
    network = card.network
    flat = network.dimensions != "3D"
    if isinstance(network.inference, Patches):
        window = {
            "roi_size": list(network.inference.size),
            "sw_batch_size": network.batch_size,
            "overlap": network.inference.overlap,
            "mode": "constant" if network.inference.blending == "constant" else "gaussian",
            "sigma_scale": 0.125,
        }
        return {
            "_target_": "SliceInferer" if flat else "SlidingWindowInferer",
            **({"spatial_dim": network.slice_axis} if flat else {}),
            **window,
        }
    if flat:
        size = {"roi_size": [-1, -1], "sw_batch_size": network.batch_size, "overlap": 0.0}
        return {"_target_": "SliceInferer", "spatial_dim": network.slice_axis, **size}
    return {"_target_": "SimpleInferer"}


_WINDOW_FIELDS = frozenset({"mode", "size", "overlap", "blending", "least_weight"})
_OUTPUT_FIELDS = frozenset(
    {"tensor", "activation", "activate", "decode", "threshold", "restoration", "segments"},
)
_LEAST_WEIGHT = 1e-3
"""To which MONAI raises the weights of a Gaussian window."""


def _around(card: ModelCard) -> Iterator[Said]:
    """What the inferer does otherwise."""
    network, output = card.network, card.segmentation
    yield from beside(network.inference, _WINDOW_FIELDS, "patches")
    if output:
        yield from beside(output, _OUTPUT_FIELDS, "segmentation")
    if isinstance(network.inference, Patches):
        yield from _around_windows(card, network.inference)
    if output and output.decode == "nested":
        yield Said(unsaid="segments that include each other: MONAI gives each one by its own threshold.")
    if output and output.restoration and not _is_brought_back_so(card, output.restoration.interpolation):
        yield Said(
            unsaid="channels are brought back onto the first series as they went to the network's grid by MONAI, and by "
            f"{output.restoration.interpolation.value} interpolation by the card."
        )
    if card.classifications and (card.segmentation or len(card.classifications) > 1):
        told = ", ".join(head.name for head in card.classifications[0 if card.segmentation else 1 :])
        yield Said(unsaid=f"classifications beside the first output are left out: {told}.")


def _is_brought_back_so(card: ModelCard, interpolation: Interpolation) -> bool:
    """Whether every step to the network's grid interpolates so: MONAI goes back as it came."""
    modes = {
        step["mode"] for said in preprocessing(card) if (step := said.transform) and step["_target_"] in _RESAMPLING
    }
    return modes <= (
        {"bilinear", "trilinear"} if interpolation is Interpolation.LINEAR else {"nearest", "nearest-exact"}
    )


def _around_windows(card: ModelCard, windows: Patches) -> Iterator[Said]:
    output = card.segmentation
    if windows.blending == "gaussian_on_voxel":
        yield Said(unsaid="patches: MONAI's Gaussian peaks in the middle of a window, not on a voxel.")
    if windows.blending != "constant" and windows.least_weight != _LEAST_WEIGHT:
        yield Said(unsaid=f"patches: MONAI raises the weights at the edges of a window to {_LEAST_WEIGHT}.")
    activated = output is not None and output.activation != "none" and not is_averaged(card)
    if output and activated and windows.overlap > 0 and output.activate == "each":
        yield Said(
            unsaid=f"patches that overlap are averaged before {output.activation} by MONAI, and after it by the card."
        )


def _postprocessing(card: ModelCard, channels: int | None) -> Iterator[Said]:
    """From the network's output to labels, or masks that may overlap, on the voxels of the first series."""
    output = card.segmentation
    activation = (output or card.classifications[0]).activation
    activated = [] if activation == "none" else [_said("Activationsd", **{activation: True})]
    inside = _activates(card) == "each" and is_averaged(card)
    if output is None or not output.restoration:
        yield from activated if not inside else []
    if output is None:
        return
    if output.restoration:
        if output.activate != "restored" and not inside:
            yield from activated
        yield from _back(card, labels=False)
        yield from activated if output.activate == "restored" else []
    yield from _decoded(output, channels)
    if not output.restoration:
        yield from _back(card, labels=True)
    for step in card.postprocessing:
        yield from _tidied(step, output)
    yield _said("SaveImaged", output_dir="@output_dir", output_postfix="seg", resample=False, separate_folder=True)


def _decoded(output: SegmentationOutput, channels: int | None) -> Iterator[Said]:
    if output.decode == "argmax":
        yield _said("AsDiscreted", argmax=True)
    elif output.decode == "labels":
        yield _said("EnsureTyped")  # with a place in space: Invertd leaves what has none as it is
    else:
        yield _said("AsDiscreted", threshold=output.threshold)
        yield from _chosen_channels(output, channels)
        return
    yield from _numbered(output, channels)


def _said(name: str, **arguments: Any) -> Said:
    return Said({"_target_": name, "keys": PRED, **arguments})


def _chosen_channels(output: SegmentationOutput, channels: int | None) -> Iterator[Said]:
    wanted = [segment.channel for segment in output.segments]
    if wanted != list(range(channels or 0)):
        yield _said("Lambdad", func=f"$lambda masks: masks[{wanted}]")


def _numbered(output: SegmentationOutput, channels: int | None) -> Iterator[Said]:
    """From channels or label values to the numbers of segments; 0 for those of no segment."""
    number_of = {segment.channel: segment.number for segment in output.segments}
    known = range(channels if channels and output.decode == "argmax" else max(number_of) + 1)
    table = {value: number_of.get(value, 0) for value in known}
    if any(value != number for value, number in table.items()):
        yield _said("MapLabelValued", orig_labels=list(table), target_labels=list(table.values()))
    if output.decode == "argmax" and channels is None:
        yield Said(
            unsaid="The network does not tell how many channels it gives: one beyond the segments keeps its number."
        )


_RESAMPLING = ("Resized", "Spacingd")


def _back(card: ModelCard, *, labels: bool) -> Iterator[Said]:
    """Onto the first series, by the nearest voxel: as MONAI went there where that was by the nearest too."""
    modes = {
        step["mode"] for said in preprocessing(card) if (step := said.transform) and step["_target_"] in _RESAMPLING
    }
    exact = modes == {"nearest-exact"} or not labels
    if not exact and any(isinstance(step, Resize) for step in card.preprocessing):
        yield Said(
            unsaid="after resize, MONAI brings labels back by a nearest voxel that is up to half a voxel beside ours."
        )
    yield _said(
        "Invertd",
        transform="@preprocessing",
        orig_keys=IMAGE,
        nearest_interp=not exact,
    )


def _tidied(step: Any, output: SegmentationOutput) -> Iterator[Said]:
    labels = list(step.segments) or [segment.number for segment in output.segments]
    if output.decode in ("threshold", "nested"):
        labels = [number - 1 for number in labels]
    if isinstance(step, LargestComponent):
        yield _said(
            "KeepLargestConnectedComponentd", applied_labels=labels, is_onehot=output.decode in ("threshold", "nested")
        )
    elif isinstance(step, FillHoles):
        yield _said("FillHolesd", applied_labels=list(step.segments) or None, connectivity=1)
    else:
        yield _said("RemoveSmallObjectsd", min_size=step.ml * 1000, by_measure=True, connectivity=3)
        if len(output.segments) > 1:
            yield Said(
                unsaid="minimum_volume of several segments: MONAI removes a segment that is small as a whole, not its parts."
            )


def transforms_of(document: dict[str, Any], section: str) -> list[Transform]:
    """The transforms of a section, in order."""
    found: list[Transform] = document[section]["transforms"]
    return found
