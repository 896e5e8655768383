"""What was not compared has no figure, and what cannot be seen by comparing is said; nothing counts as agreement by being absent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from iodeep.card import ModelCard
from iodeep.errors import InputError, IntegrityError
from iodeep.packing.importing import ReferencePrediction, compared
from iodeep.prediction import Classification, ClassProbability, Prediction, Segmentation
from iodeep.terms import Code
from tests.unit.inference import helpers

FOUND = np.zeros((2, 3, 4), np.uint8)
FOUND[0] = 1

SCT_FINDING = Code("404684003", "SCT", "Finding")


def card(*labels: str) -> ModelCard:
    segments = [helpers.segment(number, number, label) for number, label in enumerate(labels, 1)]
    return helpers.card(segmentation={"segments": segments})


def ours(labels: Any = FOUND, count: int = 2) -> Prediction:
    return Prediction(Segmentation(count, labels))


def theirs(labels: Any = FOUND, count: int = 2) -> ReferencePrediction:
    return ReferencePrediction({number: labels == number for number in range(1, count + 1)})


def test_a_segment_that_neither_finds_was_not_compared() -> None:
    agreement = compared(card("liver", "spleen"), ours(), theirs())
    assert agreement.dice == {"liver": 1.0}
    assert agreement.empty == ("spleen",)
    assert agreement.document()["not_compared"] == ["spleen"]
    for said in (str(agreement), agreement.short(), agreement.short(10)):
        assert "NOT COMPARED" in said
        assert "spleen Dice" not in said


def test_what_the_comparison_cannot_show_stays_beside_the_figures() -> None:
    agreement = compared(card("liver", "spleen"), ours(), theirs(), ("the export alone",))
    assert agreement.document()["unseen"] == ["the export alone"]
    assert all(said.endswith("; the export alone") for said in (str(agreement), agreement.short(10)))


def test_a_segment_that_only_one_finds_agrees_in_nothing() -> None:
    both = FOUND.copy()
    both[1, 0, 0] = 2
    for mine, other in ((FOUND, both), (both, FOUND)):
        with pytest.raises(IntegrityError, match=r"spleen Dice 0\.00000"):
            compared(card("liver", "spleen"), ours(mine), theirs(other))


def test_two_segments_of_one_name_have_a_figure_each() -> None:
    mine = FOUND.copy()
    mine[1] = 2
    other = mine.copy()
    other[0, 0, 0] = 0
    with pytest.raises(IntegrityError, match=r"kidney \(1\) Dice 0\.95652, kidney \(2\) Dice 1\.0"):
        compared(card("kidney", "kidney"), ours(mine), theirs(other))


def test_a_reference_that_lacks_a_segment_is_refused() -> None:
    with pytest.raises(InputError, match=r"lacks what the card says.*spleen"):
        compared(card("liver", "spleen"), ours(), theirs(count=1))


def test_many_segments_are_recorded_by_the_worst() -> None:
    labels = [f"vertebra {number} of a patient with very many of them" for number in range(1, 201)]
    found = np.arange(1, 201, dtype=np.uint8).reshape(200, 1, 1)
    agreement = compared(card(*labels), ours(found, 200), theirs(found, 200))
    assert agreement.short().startswith("200 segments, vertebra 1 of")


@pytest.mark.parametrize("values", [(0.25, float("nan")), (float("nan"), 0.25), (0.25,), ()])
def test_a_head_without_a_number_for_each_class_agrees_in_nothing(values: tuple[float, ...]) -> None:
    of = helpers.card(heads=(helpers.head("softmax"),), segmented=False)
    told = of.classifications[0]
    classes = tuple(ClassProbability(SCT_FINDING, 0.25, present=False) for _ in told.classes)
    mine = Prediction(None, (Classification(told.name, SCT_FINDING, classes),))
    with pytest.raises((InputError, IntegrityError)):
        compared(of, mine, ReferencePrediction({}, {told.tensor: values}))
