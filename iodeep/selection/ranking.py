"""The ranking among models that meet every requirement: a list of points compared in order.

1. the disease: a model about a disease that nobody asked for comes after one about anatomy
2. the anatomy: the organ that the series names, then its region, then wider and narrower ones
3. the acquisition: a model made for this sequence or phase comes before one that takes any
4. what the site prefers
5. the newest release of a model comes before its older ones
6. validation: more cases in its test sets
Ties are broken by name, version and UID.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Several

from iodeep.anatomy import AnatomyAnswer
from iodeep.card import ContrastPhase, ModelCard, Sequence
from iodeep.selection.candidate import Candidate
from iodeep.selection.facts import SeriesFacts
from iodeep.selection.region_fit import region_fit
from iodeep.selection.rules import SiteRules
from iodeep.selection.verdict import Judged, Point

_CLOSENESS = {
    4: "the organ that the series names",
    3: "the very region",
    2: "a wider region",
    1: "a part of what the series shows",
    0: "another region",
}

_NO_DISEASE = Point("disease", 0.0, "It is about anatomy, not about one disease.")
_NEWEST = Point("release", 0.0, "It is the newest release of this model here.")
_OLDER = Point("release", -1.0, "A newer release of this model is here.")


def points_of(
    candidate: Candidate,
    answer: AnatomyAnswer,
    condition: str | None,
    newest: Mapping[str, int],
    rules: SiteRules,
    asked: Several[SeriesFacts],
) -> tuple[Point, ...]:
    """What speaks for a candidate, in the order of the module's text."""
    card = candidate.card
    return (
        _disease(card, condition),
        _anatomy(card, answer),
        _acquisition(card),
        rules.preference(card, candidate.uid, asked),
        _release(card, newest),
        _validation(card),
    )


def newest_releases(candidates: Iterable[Candidate]) -> dict[str, int]:
    """The highest version number of each model, by its token."""
    newest: dict[str, int] = {}
    for candidate in candidates:
        card = candidate.card
        newest[card.token] = max(newest.get(card.token, 0), card.version.number)
    return newest


def order_of(judged: Judged) -> tuple[object, ...]:
    """The key by which candidates are sorted: those that fit, then their points, then name, version and UID."""
    candidate = judged.candidate
    version = -candidate.card.version.number if isinstance(candidate, Candidate) else 0
    points = tuple(-point.value for point in judged.points)
    return (not judged.fits, points if judged.fits else (), candidate.name, version, candidate.uid)


def is_about(card: ModelCard, condition: str) -> bool:
    """Whether one of the model's diseases is the one asked for: by code value, meaning or the card's token."""
    asked = condition.strip().casefold()
    names = [name for term in card.target.conditions for name in (term.value, term.meaning)]
    return asked in {name.casefold() for name in [*names, card.target.condition_token or ""] if name}


def _disease(card: ModelCard, condition: str | None) -> Point:
    if condition:
        return Point("disease", 1.0, f"It is about {condition}, as asked for.")
    if card.target.conditions:
        named = ", ".join(term.meaning for term in card.target.conditions)
        return Point("disease", -1.0, f"It is about {named}, which was not asked for.")
    return _NO_DISEASE


def _anatomy(card: ModelCard, answer: AnatomyAnswer) -> Point:
    fit = region_fit(answer, card.target, card.inputs[0].modality)
    return Point("anatomy", float(fit.closeness), f"It is for {fit.region}: {_CLOSENESS[fit.closeness]}.")


def _acquisition(card: ModelCard) -> Point:
    special = [
        wanted.name
        for wanted in card.inputs
        if Sequence.ANY not in wanted.sequences or ContrastPhase.ANY not in wanted.phases
    ]
    share = len(special) / len(card.inputs)
    made = "It was made for this kind of acquisition." if special else "It takes any acquisition of its modality."
    return Point("acquisition", share, made)


def _release(card: ModelCard, newest: Mapping[str, int]) -> Point:
    if card.version.number == newest.get(card.token, 0):
        return _NEWEST
    return _OLDER


def _validation(card: ModelCard) -> Point:
    cases = sum(figure.cases for figure in card.performance)
    told = f"Its card reports {cases} test cases." if cases else "Its card reports no test."
    return Point("validation", round(math.log10(1 + cases), 3), told)
