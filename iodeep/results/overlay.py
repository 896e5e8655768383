"""A picture of a result for people: slices with outlined segments, orientation letters, volumes and the model's name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from iodeep.card import ModelCard
from iodeep.prediction import Segmentation
from iodeep.volume import Volume


def overlay_png(
    volume: Volume,
    segmentation: Segmentation | None,
    card: ModelCard,
    path: Path,
    *,
    volumes_ml: Mapping[int, float] | None = None,
) -> Path:
    """Write a contact sheet of ``volume`` (axes slice, row, column) with its segments to ``path``."""
    raise NotImplementedError
