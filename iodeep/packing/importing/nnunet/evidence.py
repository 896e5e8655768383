"""What a training's own validation measured: Dice of every case that its fold had not seen, from ``validation/summary.json``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from iodeep.packing.importing.nnunet.documents import read_json
from iodeep.packing.importing.nnunet.folder import Fold
from iodeep.packing.importing.nnunet.model import Model


def performance(model: Model) -> list[dict[str, Any]]:
    """One figure a segment: the mean over all cases of all folds in which it, or the network's finding of it, is."""
    measured: dict[frozenset[int], list[float]] = {}
    for fold in model.folds:
        for members, value in _measured(fold):
            measured.setdefault(members, []).append(value)
    return [
        _figure(model, name, measured[members])
        for name, members in zip(model.labels.names, model.labels.members, strict=True)
        if members in measured
    ]


def _measured(fold: Fold) -> Iterator[tuple[frozenset[int], float]]:
    """Labels that make up what was measured, and its Dice; NaN, where there was nothing to find, is left out."""
    if not fold.summary.is_file():
        return
    cases = read_json(fold.summary).get("metric_per_case")
    for case in cases if isinstance(cases, list) else []:
        metrics = case.get("metrics") if isinstance(case, dict) else None
        for key, metric in metrics.items() if isinstance(metrics, dict) else []:
            value = metric.get("Dice") if isinstance(metric, dict) else None
            if isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= 1:
                yield frozenset(int(label) for label in re.findall(r"\d{1,5}", str(key)[:200])), float(value)


def _figure(model: Model, name: str, values: list[float]) -> dict[str, Any]:
    folds = ", ".join(fold.name for fold in model.folds)
    seen = "the cases that it was trained on" if folds == "all" else "cases that the fold was not trained on"
    return {
        "metric": f"mean Dice of {name[:64]}",
        "value": round(sum(values) / len(values), 4),
        "test_set": f"{model.plan.dataset[:100] or 'training set'}, fold {folds}: each fold's network alone, on {seen}",
        "cases": len(values),
        "source": "validation/summary.json of nnU-Net's training",
    }
