"""An import counts only if it gives what its source gives: Dice of every segment that is found at least 0.999, on a real image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from iodeep.card import ModelCard
from iodeep.errors import InputError, IntegrityError
from iodeep.packing.importing.reference import ReferencePrediction
from iodeep.prediction import Prediction

LEAST_DICE = 0.999
MOST_PROBABILITY_DIFFERENCE = 1e-3


@dataclass(frozen=True)
class Agreement:
    """How far our result and the source's are apart: Dice by segment's label, largest difference by head's name.

    ``empty``: labels of segments that neither of the two finds, so that nothing was compared for them.
    ``unseen``: sentences on what the comparison cannot show.
    """

    dice: Mapping[str, float]
    differences: Mapping[str, float]
    empty: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()

    def __str__(self) -> str:
        said = [f"{label} Dice {value:.5f}" for label, value in self.dice.items()]
        said += [f"{name} within {value:.1e}" for name, value in self.differences.items()]
        said += [f"{label} NOT COMPARED: neither finds it" for label in self.empty]
        return "; ".join([", ".join(said), *self.unseen])

    def short(self, most: int = 4000) -> str:
        """The same in at most ``most`` characters, for a record: of many segments, the count and the worst."""
        if len(str(self)) <= most:
            return str(self)
        worst = min(self.dice, key=self.dice.__getitem__)
        said = [f"{len(self.dice)} segments, {worst} the worst: Dice {self.dice[worst]:.5f}"] if self.dice else []
        said += (
            [f"{len(self.differences)} heads within {max(self.differences.values()):.1e}"] if self.differences else []
        )
        said += [f"{len(self.empty)} NOT COMPARED: neither finds them"] if self.empty else []
        return "; ".join([", ".join(said), *self.unseen])

    def document(self) -> dict[str, Any]:
        """For scripts, which shall not take a figure out of a sentence."""
        return {
            "dice": dict(self.dice),
            "differences": dict(self.differences),
            "not_compared": list(self.empty),
            "unseen": list(self.unseen),
        }


def compared(card: ModelCard, ours: Prediction, theirs: ReferencePrediction, unseen: tuple[str, ...] = ()) -> Agreement:
    """The agreement; IntegrityError with the figure of each segment where one is below 0.999, or says nothing.

    Two empty masks agree without showing anything: such a segment has no figure and is named among those not compared.
    An InputError where no segment is found at all, or the reference lacks what the card names.
    """
    _refuse_incomplete(card, theirs)
    dice = _dice(card, ours, theirs)
    found = {label: value for label, value in dice.items() if value is not None}
    empty = tuple(label for label, value in dice.items() if value is None)
    agreement = Agreement(found, _differences(card, ours, theirs), empty, unseen)
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


def _refuse_incomplete(card: ModelCard, theirs: ReferencePrediction) -> None:
    segments = card.segmentation.segments if card.segmentation else ()
    missing = [segment.label for segment in segments if segment.channel not in theirs.masks]
    for head in card.classifications:
        count = max(declared.channel for declared in head.classes) + 1
        if len(theirs.heads.get(head.tensor, ())) < count:
            missing.append(head.name)
    if missing:
        raise InputError(
            "the source's own prediction lacks what the card says that the network finds",
            found=", ".join(missing),
            remedy="Leave out of the card what the source does not give, or pack the network as ONNX with a card of your own.",
        )


def _dice(card: ModelCard, ours: Prediction, theirs: ReferencePrediction) -> dict[str, float | None]:
    """By segment's label, with its number where another has the same; None where neither finds anything."""
    if card.segmentation is None:
        return {}
    assert ours.segmentation is not None
    found: dict[str, float | None] = {}
    labels = [segment.label for segment in card.segmentation.segments]
    for segment in card.segmentation.segments:
        mine, other = ours.segmentation.mask(segment.number), theirs.masks[segment.channel]
        together = int(np.count_nonzero(mine)) + int(np.count_nonzero(other))
        name = segment.label if labels.count(segment.label) == 1 else f"{segment.label} ({segment.number})"
        found[name] = 2 * int(np.count_nonzero(mine & other)) / together if together else None
    if not any(mask.any() for mask in theirs.masks.values()):
        raise InputError(
            "the source's own prediction finds nothing on the reference image, so nothing can be compared",
            remedy="Give a series that shows what the network was made for: --reference-series FOLDER.",
        )
    return found


def _differences(card: ModelCard, ours: Prediction, theirs: ReferencePrediction) -> dict[str, float]:
    """What is no number anywhere makes the whole no number: it agrees with nothing."""
    found = {}
    for head, said in zip(card.classifications, ours.classifications, strict=True):
        values = theirs.heads[head.tensor]
        pairs = zip(head.classes, said.classes, strict=True)
        found[head.name] = float(np.max([abs(values[declared.channel] - each.probability) for declared, each in pairs]))
    return found
