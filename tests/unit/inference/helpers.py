"""Cards and volumes for inference tests: everything that a test doesn't say is the simplest that is valid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from iodeep.card import ModelCard, card_of_document, read_card
from iodeep.volume import Volume

_TEMPLATE = Path(__file__).resolve().parents[3] / "sample_data" / "others" / "ct-liver.yaml"
NETWORK = "net.onnx"


def segment(number: int, channel: int, label: str = "Part") -> dict[str, Any]:
    term = {"value": "123037004", "scheme": "SCT", "meaning": "Anatomical Structure"}
    return {"number": number, "channel": channel, "label": label, "category": term, "type": term}


def card(
    *,
    steps: tuple[dict[str, Any], ...] = (),
    post: tuple[dict[str, Any], ...] = (),
    network: dict[str, Any] | None = None,
    inputs: tuple[str, ...] = ("image",),
    segmentation: dict[str, Any] | None = None,
    heads: tuple[dict[str, Any], ...] = (),
    segmented: bool = True,
) -> ModelCard:
    document = read_card(_TEMPLATE).model_dump(mode="json")
    document["version"] = "1.0.0"
    document["inputs"] = [{"name": name, "modality": "CT"} for name in inputs]
    document["preprocessing"] = list(steps)
    document["postprocessing"] = list(post)
    document["network"] = {"files": [NETWORK], "dimensions": "3D", "inference": {"mode": "whole"}, **(network or {})}
    chosen = {"tensor": "output", "decode": "argmax", "segments": [segment(1, 1)], **(segmentation or {})}
    document["segmentation"] = chosen if segmented else None
    document["classifications"] = list(heads)
    return card_of_document(document, "test")


def head(activation: str, thresholds: tuple[float | None, ...] = (None, None)) -> dict[str, Any]:
    term = {"value": "404684003", "scheme": "SCT", "meaning": "Finding"}
    classes = [{"channel": n, "code": {**term, "value": f"{n}"}, "threshold": t} for n, t in enumerate(thresholds)]
    return {"tensor": "scores", "name": "Finding", "finding": term, "activation": activation, "classes": classes}


def volume(voxels: npt.NDArray[Any], spacing: tuple[float, float, float] = (2.0, 1.0, 1.0)) -> Volume:
    """Axial: slices grow to S, rows to P, columns to L."""
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = spacing
    affine[3, 3] = 1
    return Volume(voxels, affine)


def noise(shape: tuple[int, int, int], seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).random(shape, np.float32)
