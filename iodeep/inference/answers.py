"""From what the network said to a :class:`iodeep.prediction.Prediction`; nothing that the process says is taken on trust."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from iodeep.errors import InferenceError
from iodeep.prediction import Classification, ClassProbability, Prediction, Segmentation

if TYPE_CHECKING:
    from iodeep.card import ClassificationOutput, ModelCard

DEFAULT_THRESHOLD = 0.5


def prediction_of(
    card: ModelCard,
    arrays: dict[str, np.ndarray[Any, Any]],
    heads: Sequence[Sequence[float]],
    seconds: dict[str, float],
    engine: str,
) -> Prediction:
    """``arrays``: ``labels`` or ``masks``, and ``probabilities`` where asked for, all on the source's grid."""
    segmentation = None
    if card.segmentation:
        count = len(card.segmentation.segments)
        _check(arrays, count)
        segmentation = Segmentation(count, arrays.get("labels"), arrays.get("masks"), arrays.get("probabilities"))
    if len(heads) != len(card.classifications):
        raise InferenceError("the inference process answered for other classifications than the card has")
    findings = tuple(classified(head, values) for head, values in zip(card.classifications, heads, strict=True))
    return Prediction(segmentation, findings, seconds, engine)


def classified(head: ClassificationOutput, values: Sequence[float]) -> Classification:
    """The card's decision: the largest class for softmax, at or above its threshold for a class that is on its own."""
    least = max(found.channel for found in head.classes) + 1
    if len(values) < least or not all(-1e-3 <= value <= 1 + 1e-3 for value in values):
        raise InferenceError(
            f"the classification {head.name!r} holds no probabilities",
            expected=f"at least {least} values of 0 to 1",
            found=", ".join(f"{value:g}" for value in values[:8]),
            remedy="Set the head's activation in the card to softmax or sigmoid.",
        )
    exclusive = head.activation == "softmax" or (
        head.activation == "none" and all(found.threshold is None for found in head.classes)
    )
    winner = int(np.argmax(values))
    classes = []
    for found in head.classes:
        probability = min(max(float(values[found.channel]), 0.0), 1.0)
        threshold = DEFAULT_THRESHOLD if found.threshold is None else found.threshold
        present = found.channel == winner if exclusive else probability >= threshold
        classes.append(ClassProbability(found.code.code, probability, present))
    return Classification(head.name, head.finding.code, tuple(classes))


def _check(arrays: dict[str, np.ndarray[Any, Any]], segments: int) -> None:
    labels, probabilities = arrays.get("labels"), arrays.get("probabilities")
    if labels is not None and labels.size and int(labels.max()) > segments:
        raise InferenceError("the inference process gave labels that the card doesn't have", found=f"{labels.max()}")
    if probabilities is not None and not (probabilities.min() >= 0 and probabilities.max() <= 1):
        raise InferenceError("the inference process gave probabilities outside of 0 to 1")
