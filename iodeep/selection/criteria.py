"""The hard requirements: each looks at one model's input and one series, and says in a sentence whether it holds.

A requirement that cannot be checked yet (geometry, before images are read) stays open; one in doubt does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

from iodeep.anatomy import AnatomyAnswer
from iodeep.anatomy.answer import Side
from iodeep.card import ContrastPhase, Laterality, ModelCard, NetworkInput, Range, Sequence, SlicePlane, Target
from iodeep.selection.acquisition import phase_of, sequence_of
from iodeep.selection.facts import SeriesFacts
from iodeep.selection.kinds import Nature, nature_of
from iodeep.selection.region_fit import of_one_sex, region_fit, sex_excludes
from iodeep.selection.rules import SiteRules
from iodeep.selection.verdict import Outcome

_NO_SIDE = Outcome("side", passed=True, sentence="The model is not for one side only.")
_SEX_HOLDS = Outcome("sex", passed=True, sentence="Patient's Sex does not speak against it.")
_ENHANCED = frozenset({ContrastPhase.ARTERIAL, ContrastPhase.VENOUS, ContrastPhase.DELAYED})


def series_outcomes(
    card: ModelCard, wanted: NetworkInput, facts: SeriesFacts, answer: AnatomyAnswer, rules: SiteRules
) -> tuple[Outcome, ...]:
    """Every requirement that a model's input has of a series, in the order in which people ask."""
    return (
        _modality(wanted.modality, facts.modality),
        _region(card.target, facts, answer, rules),
        _laterality(card.target, answer),
        _sex(card.target, facts, answer),
        _nature(wanted, facts),
        *_image_type(wanted, facts),
        *_acquisition(wanted, facts),
        *_geometry(wanted, facts),
    )


@lru_cache(maxsize=1024)
def _modality(wanted: str, found: str) -> Outcome:
    sentence = f"The model needs {wanted} and the series' modality is {found or 'not given'}."
    return Outcome("modality", wanted == found, sentence)


def _region(target: Target, facts: SeriesFacts, answer: AnatomyAnswer, rules: SiteRules) -> Outcome:
    made_for = ", ".join(target.regions)
    if not answer.known:
        return Outcome("region", passed=False, sentence="Nothing in the series says what part of the body it shows.")
    shown = answer.regions[0] + (f" ({answer.organ})" if answer.organ and answer.organ != answer.regions[0] else "")
    fit = region_fit(answer, target, facts.modality)
    if not fit.closeness:
        return Outcome("region", passed=False, sentence=f"The model is for {made_for}; the series shows {shown}.")
    if not rules.sure_enough(answer):
        doubt = answer.contradictions[0] if answer.contradictions else f"only {answer.confidence:.0%} sure"
        return Outcome(
            "region", passed=False, sentence=f"It is not certain that the series shows {shown}: {doubt.rstrip('.')}."
        )
    return Outcome(
        "region",
        passed=True,
        sentence=f"The model is for {made_for}; the series shows {shown} ({answer.confidence:.0%} sure).",
    )


def _laterality(target: Target, answer: AnatomyAnswer) -> Outcome:
    if target.laterality in {None, Laterality.BOTH}:
        return _NO_SIDE
    assert target.laterality is not None
    side = {"L": "left", "R": "right"}[target.laterality.value]
    if answer.side is None:
        return Outcome(
            "side", passed=False, sentence=f"The model is for the {side} side; the series doesn't say its side."
        )
    holds = answer.side is Side.BOTH or answer.side.value == target.laterality.value
    shown = {Side.LEFT: "left", Side.RIGHT: "right", Side.BOTH: "both"}[answer.side]
    return Outcome("side", holds, f"The model is for the {side} side; the series shows {shown}.")


def _sex(target: Target, facts: SeriesFacts, answer: AnatomyAnswer) -> Outcome:
    region = region_fit(answer, target, facts.modality).region
    if sex_excludes(region, facts.patient_sex):
        return Outcome(
            "sex", passed=False, sentence=f"The model is for {region}; Patient's Sex is {facts.patient_sex}."
        )
    if facts.patient_sex not in {"F", "M"} and answer.organ != region and of_one_sex(region):
        return Outcome(
            "sex",
            passed=False,
            sentence=f"The model is for {region}; neither Patient's Sex nor a description says that there is one.",
        )
    return _SEX_HOLDS


def _nature(wanted: NetworkInput, facts: SeriesFacts) -> Outcome:
    told = nature_of(facts)
    allowed = told.nature is Nature.ACQUIRED or (told.nature is Nature.DERIVED and wanted.eligibility.derived)
    if told.nature is Nature.DERIVED and Sequence.ADC in wanted.sequences:
        allowed = allowed or sequence_of(facts).sequence is Sequence.ADC
    need = "" if allowed else "; the model needs acquired images"
    return Outcome("kind of series", allowed, f"The series holds {told.nature.value} ({told.because}){need}.")


def _image_type(wanted: NetworkInput, facts: SeriesFacts) -> Iterator[Outcome]:
    if not wanted.eligibility.image_type_required and not wanted.eligibility.image_type_forbidden:
        return
    values = {value for image_type in facts.image_types for value in image_type}
    shown = "\\".join(facts.image_type) or "not given"
    missing = [value for value in wanted.eligibility.image_type_required if value.upper() not in values]
    forbidden = [value for value in wanted.eligibility.image_type_forbidden if value.upper() in values]
    if wanted.eligibility.image_type_required:
        asked = ", ".join(wanted.eligibility.image_type_required)
        yield Outcome("image type", not missing, f"The model asks for Image Type {asked}; it is {shown}.")
    if forbidden:
        yield Outcome(
            "image type",
            passed=False,
            sentence=f"The model does not take Image Type {', '.join(forbidden)}; it is {shown}.",
        )


def _acquisition(wanted: NetworkInput, facts: SeriesFacts) -> Iterator[Outcome]:
    if Sequence.ANY not in wanted.sequences:
        told = sequence_of(facts)
        asked = " or ".join(wanted.sequences)
        found = told.sequence.value if told.sequence else "not recognised"
        sentence = f"The model needs {asked}; the series is {found} ({told.because})."
        yield Outcome("sequence", told.sequence in wanted.sequences, sentence)
    if ContrastPhase.ANY not in wanted.phases:
        phase = phase_of(facts)
        asked = " or ".join(wanted.phases)
        found = phase.phase.value if phase.phase else "not recognised"
        holds = phase.phase in wanted.phases or (ContrastPhase.ENHANCED in wanted.phases and phase.phase in _ENHANCED)
        yield Outcome("contrast phase", holds, f"The model needs {asked}; the series is {found} ({phase.because}).")


_MEASURES: tuple[tuple[str, str, str, Callable[[NetworkInput], Range], Callable[[SeriesFacts], float | None]], ...] = (
    ("slices", "slices", "", lambda i: i.eligibility.slice_count, lambda f: f.slice_count),
    ("slice spacing", "slices", " mm apart", lambda i: i.eligibility.slice_spacing_mm, lambda f: f.slice_spacing_mm),
    ("pixel size", "pixels of", " mm", lambda i: i.eligibility.pixel_spacing_mm, lambda f: f.pixel_spacing_mm),
    ("coverage", "a stack of", " mm", lambda i: i.eligibility.coverage_mm, lambda f: f.coverage_mm),
)


def _geometry(wanted: NetworkInput, facts: SeriesFacts) -> Iterator[Outcome]:
    if facts.geometry_problem:
        yield Outcome(
            "geometry", passed=False, sentence=f"The images do not make a volume: {facts.geometry_problem.rstrip('.')}."
        )
        return
    for criterion, what, unit, asked_of, found_in in _MEASURES:
        asked, found = asked_of(wanted), found_in(facts)
        if asked.min is not None or asked.max is not None:
            yield _measured(criterion, f"The model needs {_phrase(asked, what, unit)}", asked, found, unit)
    planes = wanted.eligibility.planes
    if len(set(planes)) != len(SlicePlane):
        yield _plane(planes, facts.plane)


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
