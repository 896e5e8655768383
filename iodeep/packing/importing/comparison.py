"""An import counts only if it gives what its source gives: Dice of every segment at least 0.999, on a real image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from iodeep.card import ModelCard
from iodeep.errors import InputError, IntegrityError
from iodeep.packing.importing.reference import ReferencePrediction
from iodeep.prediction import Prediction

LEAST_DICE = 0.999
MOST_PROBABILITY_DIFFERENCE = 1e-3


@dataclass(frozen=True)
class Agreement:
    """How far our result and the source's are apart: Dice by segment's label, largest difference by head's name."""

    dice: Mapping[str, float]
    differences: Mapping[str, float]

    def __str__(self) -> str:
        dice = [f"{label} Dice {value:.5f}" for label, value in self.dice.items()]
        return ", ".join(dice + [f"{name} within {value:.1e}" for name, value in self.differences.items()])


def compared(card: ModelCard, ours: Prediction, theirs: ReferencePrediction) -> Agreement:
    """The agreement; IntegrityError with the figure of each segment where one is below 0.999, or says nothing.

    Two empty masks agree without showing anything, so a segment of which the reference finds nothing anywhere is an
    InputError where no segment is found at all.
    """
    agreement = Agreement(_dice(card, ours, theirs), _differences(card, ours, theirs))
    low = [label for label, value in agreement.dice.items() if not value >= LEAST_DICE]
    far = [name for name, value in agreement.differences.items() if not value <= MOST_PROBABILITY_DIFFERENCE]
    if low or far:
        raise IntegrityError(
            "the packed network does not give what its source gives on the reference image",
            expected=f"Dice of at least {LEAST_DICE} for every segment",
            found=f"{agreement}",
            remedy="Nothing was written. Compare the card's pre- and postprocessing with the source's.",
        )
    return agreement


def _dice(card: ModelCard, ours: Prediction, theirs: ReferencePrediction) -> dict[str, float]:
    if card.segmentation is None:
        return {}
    assert ours.segmentation is not None
    if not any(mask.any() for mask in theirs.masks.values()):
        raise InputError(
            "the source's own prediction finds nothing on the reference image, so nothing can be compared",
            remedy="Give a series that shows what the network was made for: --reference-series FOLDER.",
        )
    found = {}
    for segment in card.segmentation.segments:
        mine, other = ours.segmentation.mask(segment.number), theirs.masks[segment.channel]
        together = int(np.count_nonzero(mine)) + int(np.count_nonzero(other))
        found[segment.label] = 2 * int(np.count_nonzero(mine & other)) / together if together else 1.0
    return found


def _differences(card: ModelCard, ours: Prediction, theirs: ReferencePrediction) -> dict[str, float]:
    found = {}
    for head, said in zip(card.classifications, ours.classifications, strict=True):
        values = theirs.heads[head.tensor]
        pairs = zip(head.classes, said.classes, strict=True)
        found[head.name] = max(abs(values[declared.channel] - each.probability) for declared, each in pairs)
    return found
