"""The hard requirements: each looks at one model's input and one series, and says in a sentence whether it holds.

A requirement that cannot be checked yet (geometry, before images are read) stays open; one in doubt does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

from iodeep.anatomy.answer import Side
from iodeep.card import ContrastPhase, Laterality, Range, Sequence, SlicePlane
from iodeep.selection.facts import SeriesFacts
from iodeep.selection.kinds import Nature
from iodeep.selection.profile import InputNeed, Need
from iodeep.selection.region_fit import RegionFit, of_one_sex, region_fit, sex_excludes
from iodeep.selection.rules import SiteRules
from iodeep.selection.verdict import Outcome
from iodeep.selection.view import SeriesView

_NO_SIDE = Outcome("side", passed=True, sentence="The model is not for one side only.")
_SEX_HOLDS = Outcome("sex", passed=True, sentence="Patient's Sex does not speak against it.")
_UNKNOWN = Outcome("region", passed=False, sentence="Nothing in the series says what part of the body it shows.")
_ENHANCED = frozenset({ContrastPhase.ARTERIAL, ContrastPhase.VENOUS, ContrastPhase.DELAYED})
_MANY = 4096
"""Distinct outcomes of one requirement that are kept: they depend on few words of a model and of a series."""


def need_outcomes(need: Need, series: SeriesView, rules: SiteRules) -> tuple[Outcome, ...]:
    """What a model requires of a series whichever of its inputs it is tried for: region, side and sex."""
    facts, answer = series.facts, series.answer
    fit = region_fit(answer, need.regions, facts.modality)
    return (
        _region(need, fit, series, rules),
        _laterality(need.laterality, answer.side),
        _sex(fit.region, facts.patient_sex, answer.organ),
    )


def series_outcomes(wanted: InputNeed, series: SeriesView, of_need: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
    """Every requirement that a model's input has of a series, in the order in which people ask."""
    facts = series.facts
    outcomes = [_modality(wanted.modality, facts.modality), *of_need, _nature(wanted, series)]
    if wanted.image_type_required or wanted.image_type_forbidden:
        outcomes += _image_type(wanted, facts)
    if wanted.special:
        outcomes += _acquisition(wanted, series)
    outcomes += _open_geometry(wanted) if series.unmeasured else _geometry(wanted, facts)
    return tuple(outcomes)


@lru_cache(maxsize=1024)
def _modality(wanted: str, found: str) -> Outcome:
    sentence = f"The model needs {wanted} and the series' modality is {found or 'not given'}."
    return Outcome("modality", wanted == found, sentence)


def _region(need: Need, fit: RegionFit, series: SeriesView, rules: SiteRules) -> Outcome:
    answer = series.answer
    if not answer.known:
        return _UNKNOWN
    if not fit.closeness:
        return _other_region(need.made_for, series.shown)
    if not rules.sure_enough(answer):
        doubt = answer.contradictions[0] if answer.contradictions else f"only {answer.confidence:.0%} sure"
        sentence = f"It is not certain that the series shows {series.shown}: {doubt.rstrip('.')}."
        return Outcome("region", passed=False, sentence=sentence)
    return Outcome(
        "region",
        passed=True,
        sentence=f"The model is for {need.made_for}; the series shows {series.shown} ({answer.confidence:.0%} sure).",
    )


@lru_cache(maxsize=_MANY)
def _other_region(made_for: str, shown: str) -> Outcome:
    return Outcome("region", passed=False, sentence=f"The model is for {made_for}; the series shows {shown}.")


@lru_cache(maxsize=_MANY)
def _laterality(wanted: Laterality | None, found: Side | None) -> Outcome:
    if wanted in {None, Laterality.BOTH}:
        return _NO_SIDE
    assert wanted is not None
    side = {"L": "left", "R": "right"}[wanted.value]
    if found is None:
        return Outcome(
            "side", passed=False, sentence=f"The model is for the {side} side; the series doesn't say its side."
        )
    holds = found is Side.BOTH or found.value == wanted.value
    shown = {Side.LEFT: "left", Side.RIGHT: "right", Side.BOTH: "both"}[found]
    return Outcome("side", holds, f"The model is for the {side} side; the series shows {shown}.")


@lru_cache(maxsize=_MANY)
def _sex(region: str, sex: str, organ: str | None) -> Outcome:
    """``region``: the model's region that is closest; ``organ``: what the series names."""
    if sex_excludes(region, sex):
        return Outcome("sex", passed=False, sentence=f"The model is for {region}; Patient's Sex is {sex}.")
    if sex not in {"F", "M"} and organ != region and of_one_sex(region):
        return Outcome(
            "sex",
            passed=False,
            sentence=f"The model is for {region}; neither Patient's Sex nor a description says that there is one.",
        )
    return _SEX_HOLDS


def _nature(wanted: InputNeed, series: SeriesView) -> Outcome:
    told = series.nature
    allowed = told.nature is Nature.ACQUIRED or (told.nature is Nature.DERIVED and wanted.derived)
    if told.nature is Nature.DERIVED and Sequence.ADC in wanted.sequences:
        allowed = allowed or series.sequence.sequence is Sequence.ADC
    return _kind(told.nature, told.because, allowed)


@lru_cache(maxsize=_MANY)
def _kind(nature: Nature, because: str, allowed: bool) -> Outcome:
    need = "" if allowed else "; the model needs acquired images"
    return Outcome("kind of series", allowed, f"The series holds {nature.value} ({because}){need}.")


def _image_type(wanted: InputNeed, facts: SeriesFacts) -> Iterator[Outcome]:
    values = {value for image_type in facts.image_types for value in image_type}
    shown = "\\".join(facts.image_type) or "not given"
    missing = [value for value in wanted.image_type_required if value.upper() not in values]
    forbidden = [value for value in wanted.image_type_forbidden if value.upper() in values]
    if wanted.image_type_required:
        asked = ", ".join(wanted.image_type_required)
        yield Outcome("image type", not missing, f"The model asks for Image Type {asked}; it is {shown}.")
    if forbidden:
        yield Outcome(
            "image type",
            passed=False,
            sentence=f"The model does not take Image Type {', '.join(forbidden)}; it is {shown}.",
        )


def _acquisition(wanted: InputNeed, series: SeriesView) -> Iterator[Outcome]:
    if Sequence.ANY not in wanted.sequences:
        told = series.sequence
        yield _sequence(wanted.sequences, told.sequence, told.because)
    if ContrastPhase.ANY not in wanted.phases:
        phase = series.phase
        yield _phase(wanted.phases, phase.phase, phase.because)


@lru_cache(maxsize=_MANY)
def _sequence(asked: tuple[Sequence, ...], found: Sequence | None, because: str) -> Outcome:
    shown = found.value if found else "not recognised"
    sentence = f"The model needs {' or '.join(asked)}; the series is {shown} ({because})."
    return Outcome("sequence", found in asked, sentence)


@lru_cache(maxsize=_MANY)
def _phase(asked: tuple[ContrastPhase, ...], found: ContrastPhase | None, because: str) -> Outcome:
    shown = found.value if found else "not recognised"
    holds = found in asked or (ContrastPhase.ENHANCED in asked and found in _ENHANCED)
    return Outcome("contrast phase", holds, f"The model needs {' or '.join(asked)}; the series is {shown} ({because}).")


_MEASURES: tuple[tuple[str, str, str, Callable[[InputNeed], Range], Callable[[SeriesFacts], float | None]], ...] = (
    ("slices", "slices", "", lambda i: i.slice_count, lambda f: f.slice_count),
    ("slice spacing", "slices", " mm apart", lambda i: i.slice_spacing_mm, lambda f: f.slice_spacing_mm),
    ("pixel size", "pixels of", " mm", lambda i: i.pixel_spacing_mm, lambda f: f.pixel_spacing_mm),
    ("coverage", "a stack of", " mm", lambda i: i.coverage_mm, lambda f: f.coverage_mm),
)


@lru_cache(maxsize=_MANY)
def _open_geometry(wanted: InputNeed) -> tuple[Outcome, ...]:
    """What is asked of the geometry of a series whose images have not been read."""
    return tuple(_geometry(wanted, SeriesFacts()))


def _geometry(wanted: InputNeed, facts: SeriesFacts) -> Iterator[Outcome]:
    if facts.geometry_problem:
        yield Outcome(
            "geometry", passed=False, sentence=f"The images do not make a volume: {facts.geometry_problem.rstrip('.')}."
        )
        return
    for criterion, what, unit, asked_of, found_in in _MEASURES:
        asked, found = asked_of(wanted), found_in(facts)
        if asked.min is not None or asked.max is not None:
            yield _measured(criterion, f"The model needs {_phrase(asked, what, unit)}", asked, found, unit)
    if len(set(wanted.planes)) != len(SlicePlane):
        yield _plane(wanted.planes, facts.plane)


def _measured(criterion: str, need: str, asked: Range, found: float | None, unit: str) -> Outcome:
    if found is None:
        return Outcome(criterion, passed=True, open=True, sentence=f"{need}; this is checked when the images are read.")
    return Outcome(criterion, asked.holds(found), f"{need}; the series has {found:.4g}{unit}.")


def _phrase(asked: Range, what: str, unit: str) -> str:
    return f"{asked} {what}" if what == "slices" and not unit else f"{what} {asked}{unit}"


def _plane(planes: tuple[SlicePlane, ...], found: SlicePlane | None) -> Outcome:
    need = f"The model needs {' or '.join(plane.value.lower() for plane in planes)} slices"
    if found is None:
        return Outcome("plane", passed=True, open=True, sentence=f"{need}; this is checked when the images are read.")
    return Outcome("plane", found in planes, f"{need}; the series is {found.value.lower()}.")
