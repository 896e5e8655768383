"""A self-test that could not fail, or that is another model's, is refused when the model is packed."""

from __future__ import annotations

import numpy as np

from iodeep.card import ModelCard
from iodeep.errors import InputError
from iodeep.model_object.self_test import SelfTest


def check_can_fail(test: SelfTest, card: ModelCard) -> None:
    """InputError where the self-test doesn't fit the card, or where every output would pass it."""
    problem = _misfit(test, card) or _cannot_fail(test, card)
    if problem:
        raise InputError(
            f"the self-test cannot be packed: {problem}", remedy="Record it on an input that shows the target."
        )


def _misfit(test: SelfTest, card: ModelCard) -> str | None:
    names = [network_input.name for network_input in card.inputs]
    if sorted(test.inputs) != sorted(names):
        return f"its inputs are {', '.join(test.inputs)}, the card's are {', '.join(names)}"
    segments = len(card.segmentation.segments) if card.segmentation else 0
    largest = int(test.labels.max()) if test.labels is not None else len(test.masks) if test.masks is not None else 0
    if largest > segments:
        return f"it expects segment {largest}, the card has {segments}"
    if test.masks is not None and len(test.masks) != segments:
        return f"it has {len(test.masks)} masks, the card has {segments} segments"
    heads = {(head.name, finding.code.code) for head in card.classifications for finding in head.classes}
    strange = [expected for expected in test.classes if (expected.head, expected.code) not in heads]
    return f"the card has no class {strange[0].code} in a head {strange[0].head!r}" if strange else None


def _cannot_fail(test: SelfTest, card: ModelCard) -> str | None:
    if test.classes:
        return None if card.self_test.maximum_probability_difference < 1 else "the card tolerates any probability"
    expected = test.labels if test.labels is not None else test.masks
    if expected is None or not np.any(expected):
        return "the expected segmentation is empty and there are no classes, so it says nothing"
    return None if card.self_test.minimum_dice > 0 else "the card's minimum_dice of 0 tolerates any segmentation"
