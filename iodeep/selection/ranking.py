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
from functools import lru_cache

from iodeep.anatomy import AnatomyAnswer
from iodeep.selection.candidate import Candidate
from iodeep.selection.facts import SeriesFacts
from iodeep.selection.profile import InputNeed, Need, Profile
from iodeep.selection.region_fit import RegionFit, region_fit
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


def need_points(need: Need, answer: AnatomyAnswer, condition: str | None) -> tuple[Point, ...]:
    """The points that follow from what a model is for: disease, anatomy and acquisition."""
    return _disease(need, condition), _anatomy(need, answer), _acquisition(need.inputs)


def release_points(
    model: Profile, uid: str, newest: Mapping[str, int], rules: SiteRules, asked: Several[SeriesFacts]
) -> tuple[Point, ...]:
    """The points of this very release: the site's preference, its age, its validation."""
    return rules.preference(model, uid, asked), _release(model, newest), _validation(model.cases)


def newest_releases(candidates: Iterable[Candidate]) -> dict[str, int]:
    """The highest version number of each model, by its token."""
    newest: dict[str, int] = {}
    for candidate in candidates:
        model = candidate.profile
        newest[model.token] = max(newest.get(model.token, 0), model.number)
    return newest


def order_of(judged: Judged) -> tuple[object, ...]:
    """The key by which candidates are sorted: those that fit, then their points, then name, version and UID.

    Of models that bear the same name the higher version comes first, compared as numbers: 1.10.0 before 1.9.0.
    """
    candidate = judged.candidate
    name, version = candidate.name, 0
    if isinstance(candidate, Candidate):
        name, version = candidate.profile.name, -candidate.profile.number
    points = tuple([-point.value for point in judged.points]) if judged.fits else ()
    return (not judged.fits, points, name, version, candidate.uid)


def is_about(need: Need, condition: str) -> bool:
    """Whether one of the model's diseases is the one asked for: by code value, meaning or the card's token."""
    asked = condition.strip().casefold()
    names = [name for term in need.conditions for name in term]
    return asked in {name.casefold() for name in [*names, need.condition_token] if name}


def _disease(need: Need, condition: str | None) -> Point:
    if condition:
        return Point("disease", 1.0, f"It is about {condition}, as asked for.")
    if need.conditions:
        named = ", ".join(meaning for _, meaning in need.conditions)
        return Point("disease", -1.0, f"It is about {named}, which was not asked for.")
    return _NO_DISEASE


def _anatomy(need: Need, answer: AnatomyAnswer) -> Point:
    return _closeness(region_fit(answer, need.regions, need.inputs[0].modality))


@lru_cache(maxsize=1024)
def _closeness(fit: RegionFit) -> Point:
    return Point("anatomy", float(fit.closeness), f"It is for {fit.region}: {_CLOSENESS[fit.closeness]}.")


def _acquisition(inputs: tuple[InputNeed, ...]) -> Point:
    share = sum(wanted.special for wanted in inputs) / len(inputs)
    made = "It was made for this kind of acquisition." if share else "It takes any acquisition of its modality."
    return Point("acquisition", share, made)


def _release(model: Profile, newest: Mapping[str, int]) -> Point:
    return _NEWEST if model.number == newest.get(model.token, 0) else _OLDER


@lru_cache(maxsize=1024)
def _validation(cases: int) -> Point:
    told = f"Its card reports {cases} test cases." if cases else "Its card reports no test."
    return Point("validation", round(math.log10(1 + cases), 3), told)
