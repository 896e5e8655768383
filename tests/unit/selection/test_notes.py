"""What somebody who trusts a choice should know besides: another series, or another release, might have been meant."""

from __future__ import annotations

from dataclasses import replace

from iodeep.selection import SeriesFacts, UnusableModel, decide
from tests.unit.selection.support import models, mr


def _head(uid: str, slices: int) -> SeriesFacts:
    return replace(
        mr(uid, "T1 axial"), slice_count=slices, slice_spacing_mm=5.0, pixel_spacing_mm=1.0, coverage_mm=150.0
    )


def test_a_choice_between_equal_series_is_told() -> None:
    first = _head("1.1", 20)
    second = _head("1.2", 30)

    decision = decide([first, second], models())

    assert decision.inputs == {"image": "1.2"}
    assert any("1 other series would fit as well" in note for note in decision.notes)
    assert not decide([first], models()).notes


def test_a_release_that_cannot_be_used_is_told_beside_the_one_that_was_chosen() -> None:
    damaged = UnusableModel("Brain extraction 2.0.0", "1.9", "MAIN", "a digest does not hold")

    decision = decide([_head("1.1", 20)], [*models(), damaged])

    assert decision.chosen is not None
    assert any("Brain extraction 2.0.0 in MAIN cannot be used: a digest" in note for note in decision.notes)
