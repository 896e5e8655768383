"""Cards, identities and series for the tests of results."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from iodeep.card import ModelCard, card_of_document
from iodeep.model_object.identity import ModelIdentity
from iodeep.prediction import Prediction, Segmentation
from iodeep.results import Results, build_results
from iodeep.volume import ImageSeries, open_series
from tests.synthetic import AXIAL, write_series

NOW = datetime(2026, 3, 4, 5, 6, 7)
IDENTITY = ModelIdentity(
    name="Organ finder",
    version="1.2.3",
    manufacturer="Example Institute",
    sop_instance_uid="2.25.1001",
    device_uid="2.25.1002",
    device_class_uid="2.25.1003",
    manifest_sha256="ab" * 32,
)
SPLEEN = {"value": "78961009", "scheme": "SCT", "meaning": "Spleen"}
LIVER = {"value": "10200004", "scheme": "SCT", "meaning": "Liver"}
ORGAN = {"value": "123037004", "scheme": "SCT", "meaning": "Anatomical Structure"}
COLOURS = ((250, 150, 60), (60, 160, 250), (90, 200, 90))
Labels = npt.NDArray[np.uint8]


def segment(number: int, **changes: object) -> dict[str, object]:
    """A segment of a card; ``changes`` override."""
    return {
        "number": number,
        "channel": number,
        "label": f"Organ {number}",
        "category": ORGAN,
        "type": LIVER if number % 2 else SPLEEN,
        "rgb": COLOURS[(number - 1) % 3],
        **changes,
    }


def make_card(segments: int | Sequence[dict[str, object]] = 2, **changes: object) -> ModelCard:
    """A valid card; ``segments`` how many, or each of them."""
    described = [segment(number) for number in range(1, segments + 1)] if isinstance(segments, int) else list(segments)
    document: dict[str, Any] = {
        "name": IDENTITY.name,
        "token": "ORGANS",
        "version": IDENTITY.version,
        "released": "2026-01-02",
        "summary": "Finds organs",
        "qualification": "RESEARCH",
        "developer": {"name": IDENTITY.manufacturer, "contact": "someone@example.org"},
        "licence": {"spdx": "MIT", "source": "made for tests"},
        "intended_use": {"purpose": "Tests.", "limits": ["Not for diagnosis."]},
        "target": {"regions": ["ABDOMEN"]},
        "inputs": [{"name": "image", "modality": "CT"}],
        "network": {
            "files": ["organs.onnx"],
            "input_tensor": "image",
            "dimensions": "3D",
            "inference": {"mode": "whole"},
        },
        "segmentation": {"decode": "labels", "segments": described},
        "training": {"description": "None."},
        **changes,
    }
    return card_of_document({key: value for key, value in document.items() if value is not None}, "test")


def make_series(
    folder: Path,
    shape: tuple[int, int, int] = (6, 24, 20),
    *,
    orientation: Sequence[float] = AXIAL,
    origin: Sequence[float] = (-30.0, 12.5, 100.0),
    spacing: Sequence[float] = (3.0, 0.9, 0.8),
    **options: Any,
) -> ImageSeries:
    """A CT series of ``shape`` (slices, rows, columns)."""
    voxels = (np.arange(np.prod(shape)).reshape(shape) % 900 + 1000).astype(np.int16)
    return open_series(write_series(folder, voxels, orientation=orientation, origin=origin, spacing=spacing, **options))


def box_labels(shape: tuple[int, int, int]) -> Labels:
    """Two bodies that no swap, flip or reversal of an axis maps onto itself: the first gets narrower with each slice."""
    labels = np.zeros(shape, np.uint8)
    slices, rows, columns = shape
    for k in range(max(1, slices // 2)):
        labels[k, 1 : rows // 3, 2 : columns // 2 - k] = 1
    labels[slices // 3 :, rows // 2 : rows - 2, columns // 2 + 1 : columns - 1] = 2
    return labels


def results_of(
    series: ImageSeries, segmentation: Segmentation, card: ModelCard | None = None, **options: Any
) -> Results:
    """Results with this module's identity and time."""
    made = {"now": NOW, **options}
    prediction = Prediction(segmentation, engine="test engine")
    return build_results(series, prediction, card or make_card(segmentation.segment_count), IDENTITY, **made)
