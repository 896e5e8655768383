"""What TorchScript and state dicts have in common: a network, of which the card says everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iodeep.packing.importing.imported import ImportedNetwork, Question
from iodeep.packing.importing.onnx_export import INPUT, OUTPUT, export_onnx
from iodeep.packing.importing.sources import SourceKind

NETWORK = "network.onnx"
_EXAMPLE = 64
QUESTIONS = (
    Question("inputs", "Which series does the network need: name, modality, and what else docs/card.md has?"),
    Question("preprocessing", "What happens to an image before the network: steps of docs/card.md, in order?"),
    Question("network.inference", "Is the network given the whole volume, or patches of which size and overlap?"),
    Question("segmentation", "What do the output's channels mean: activation, decode and segments?"),
)


def suggested(trainable: Sequence[str] = (), **further: Any) -> dict[str, Any]:
    """Names that the export gives."""
    named = {"files": [NETWORK], "input_tensor": INPUT, **further}
    return {
        "qualification": "RESEARCH",
        "network": {**named, **({"trainable": list(trainable)} if trainable else {})},
        "segmentation": {"tensor": OUTPUT},
    }


def exported(network: Any, card: Mapping[str, Any], out: Path) -> dict[str, Path]:
    """``network`` as ONNX for what the card gives it."""
    told = card["network"]
    channels = len(card["inputs"]) * (2 * told["context_slices"] + 1)
    axes = 3 if told["dimensions"] == "3D" else 2
    patches = told["inference"]["mode"] == "patches"
    size = told["inference"]["size"] if patches else _whole(card, axes)
    export_onnx(network, out / NETWORK, channels, size or [_EXAMPLE] * axes, free=not patches and size is None)
    return {NETWORK: out / NETWORK}


def _whole(card: Mapping[str, Any], axes: int) -> list[int] | None:
    """The size that a last ``resize`` gives the whole volume; None where it depends on the series."""
    last = [step for step in card["preprocessing"] if step["step"] in ("resize", "orient", "resample_spacing", "crop_foreground",
            "crop_nonzero", "pad_to_multiple", "pad_to_size")][-1:]  # fmt: skip
    if not last or last[0]["step"] != "resize":
        return None
    shape = list(last[0]["shape"])
    if axes == 2:
        del shape[card["network"]["slice_axis"]]
    return shape


def imported(kind: SourceKind, files: Mapping[str, Path], names: dict[str, Any], *, asked: bool) -> ImportedNetwork:
    """What there is to say; ``asked``: with the questions, for a draft."""
    import torch

    return ImportedNetwork(kind, {}, files, f"torch {torch.__version__}", QUESTIONS if asked else (), names)
