"""A refusal in one sentence that a radiographer understands: the nearest candidate's reason, or what is missing.

Its cause is one word for tables and charts: ``series`` (a localizer, a screen capture), ``region unknown``,
``region uncertain``, ``model asked for``, ``no model``, or the criterion at which the nearest candidate failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from iodeep.anatomy import AnatomyAnswer
from iodeep.selection.candidate import Candidate
from iodeep.selection.judging import Case
from iodeep.selection.kinds import Nature
from iodeep.selection.verdict import Judged

_ELSEWHERE = frozenset({"modality", "region"})
"""Requirements that a model for other images fails."""


@dataclass(frozen=True)
class WhyNot:
    """Why no model was chosen."""

    cause: str
    sentence: str


def why_not(case: Case, answer: AnatomyAnswer, judged: Sequence[Judged]) -> WhyNot:
    """Why no model was chosen, the most telling reason first."""
    if not case.asked:
        return WhyNot("series", "No series was given.")
    if case.wanted_model:
        return WhyNot("model asked for", _of_wanted(case.wanted_model, judged))
    if len(case.asked) == 1 and (whatever := _whatever_the_model(case, answer)):
        return whatever
    usable = [entry for entry in judged if isinstance(entry.candidate, Candidate)]
    if not usable:
        any_at_all = "usable " if judged else ""
        sentence = f"No {any_at_all}model in the archive is for the {_called(case)} ({_shown(answer)})."
        return WhyNot("no model", sentence)
    return _nearest(case, answer, usable)


def _whatever_the_model(case: Case, answer: AnatomyAnswer) -> WhyNot | None:
    """Reasons in the series itself, for which no model at all would do."""
    facts, told = case.asked[0].facts, case.asked[0].nature
    if told.nature in {Nature.LOCALIZER, Nature.CAPTURE, Nature.REPORT, Nature.NO_IMAGES}:
        sentence = f"The {facts.label} is {told.nature.value} ({told.because}): no model is run on it."
        return WhyNot("series", sentence)
    if not answer.known:
        return WhyNot(
            "region unknown",
            f"The {facts.label} doesn't say what part of the body it shows: Body Part Examined, descriptions, protocol "
            "and procedure name none. Fill in Body Part Examined, or add the site's words to its vocabulary.",
        )
    if not case.rules.sure_enough(answer):
        why = answer.contradictions[0].rstrip(".") if answer.contradictions else f"only {answer.confidence:.0%} sure"
        regions = " or ".join(answer.regions[:3])
        return WhyNot("region uncertain", f"It is not certain what the {facts.label} shows ({regions}): {why}.")
    return None


def _of_wanted(wanted: str, judged: Sequence[Judged]) -> str:
    named = [entry for entry in judged if _is_named(entry, wanted)]
    if not named:
        return f"The model asked for, {wanted}, was not found in the archive."
    return f"{named[0].candidate.name} was asked for, but must not be used here: {' '.join(named[0].reasons_against)}"


def _is_named(entry: Judged, wanted: str) -> bool:
    if not isinstance(entry.candidate, Candidate):
        return wanted.casefold() in {entry.candidate.uid.casefold(), entry.candidate.name.casefold()}
    return any(outcome.criterion == "model asked for" and outcome.passed for outcome in entry.outcomes)


def _nearest(case: Case, answer: AnatomyAnswer, usable: Sequence[Judged]) -> WhyNot:
    nearest = min(usable, key=_distance)
    reasons = " ".join(nearest.reasons_against)
    cause = next(outcome.criterion for outcome in nearest.outcomes if not outcome.passed)
    none = f"None of {len(usable)} models fits the {_called(case)} ({_shown(answer)})."
    return WhyNot(cause, f"{none} Nearest is {nearest.candidate.name}: {reasons}")


def _distance(entry: Judged) -> tuple[int, int, str, str]:
    """A model for something else is farther off than one that only lacks a sequence or a phase."""
    failed = [outcome.criterion for outcome in entry.outcomes if not outcome.passed]
    inputs = [outcome.passed for outcome in entry.outcomes if outcome.criterion.startswith("input ")]
    elsewhere = sum(criterion in _ELSEWHERE for criterion in failed) + (bool(inputs) and not any(inputs))
    return elsewhere, len(failed), entry.candidate.name, entry.candidate.uid


def _called(case: Case) -> str:
    return case.asked[0].facts.label if len(case.asked) == 1 else f"study's {len(case.asked)} series"


def _shown(answer: AnatomyAnswer) -> str:
    return answer.shown or "an unknown region"
