"""The decision: hard requirements first, then a documented ranking; doubt ends in a refusal.

The same inputs give the same decision: ties are broken by name, version and UID, never by the order of arrival.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from iodeep.anatomy import AnatomyAnswer, AnatomyResolver
from iodeep.selection.candidate import Candidate, UnusableModel
from iodeep.selection.facts import SeriesFacts
from iodeep.selection.judging import Case, Judge
from iodeep.selection.ranking import order_of
from iodeep.selection.refusal import why_not
from iodeep.selection.rules import SiteRules
from iodeep.selection.verdict import Decision, Judged
from iodeep.selection.view import SeriesView, view_of


def decide(
    asked: SeriesFacts | Sequence[SeriesFacts],
    candidates: Sequence[Candidate | UnusableModel],
    *,
    study: Sequence[SeriesFacts] = (),
    wanted_model: str | None = None,
    condition: str | None = None,
    rules: SiteRules | None = None,
    resolver: AnatomyResolver | None = None,
) -> Decision:
    """Which model fits the series (or the study's series) asked about, and why.

    ``study``: the other series of the same study, for models with several inputs and for a series that says nothing.
    ``wanted_model``: SOP Instance UID, token or name of the only model that may be chosen; it has to meet the
    requirements all the same. ``condition``: a disease asked for, as a code value, a meaning or a condition token.
    """
    series = (asked,) if isinstance(asked, SeriesFacts) else tuple(asked)
    own = {facts.series_instance_uid for facts in series}
    others = tuple(facts for facts in study if facts.series_instance_uid not in own)
    views = views_of((*series, *others), resolver or standard_resolver())
    case = Case(
        asked=views[: len(series)],
        study=views[len(series) :],
        wanted_model=wanted_model,
        condition=condition,
        rules=rules or SiteRules(),
        candidates=candidates,
    )
    judged = tuple(sorted(map(Judge(case).judge, candidates), key=order_of))
    best = judged[0] if judged and judged[0].fits else None
    chosen = best.candidate if best and isinstance(best.candidate, Candidate) else None
    answer = _shown_answer(case, best.inputs if best else {})
    refused = None if chosen else why_not(case, answer, judged)
    return Decision(
        series=tuple(facts.label for facts in series),
        anatomy=answer,
        candidates=judged,
        chosen=chosen,
        inputs=dict(best.inputs) if best and chosen else {},
        refusal=refused.sentence if refused else "",
        refused_for=refused.cause if refused else "",
        notes=(*_notes(answer), *(_notes_on_choice(best, judged) if best and chosen else ())),
    )


@cache
def standard_resolver() -> AnatomyResolver:
    """The resolver with the built-in vocabulary, made once."""
    return AnatomyResolver()


def views_of(series: Sequence[SeriesFacts], resolver: AnatomyResolver) -> tuple[SeriesView, ...]:
    """Each series with what it shows; one that says nothing borrows from the others."""
    return tuple(
        view_of(facts, resolver.resolve(facts.evidence, [other.evidence for other in series if other is not facts]))
        for facts in series
    )


def _shown_answer(case: Case, inputs: Mapping[str, str]) -> AnatomyAnswer:
    used = [series for series in case.everything if series.facts.series_instance_uid in inputs.values()]
    known = [series for series in case.asked if series.answer.known]
    first = next(iter([*used, *known, *case.asked]), None)
    return first.answer if first else AnatomyAnswer()


def _notes(answer: AnatomyAnswer) -> tuple[str, ...]:
    notes = [f"Contradiction: {sentence}" for sentence in answer.contradictions]
    if answer.borrowed:
        notes.append("The series itself doesn't say what it shows; other series of its study do.")
    return tuple(notes)


def _notes_on_choice(best: Judged, judged: Sequence[Judged]) -> Iterator[str]:
    """What somebody who trusts the choice should know: it could have been another series, or another release."""
    if best.also_fitting:
        yield (
            f"{len(best.also_fitting)} other series would fit as well ({', '.join(best.also_fitting)}); the one with the "
            "most slices was taken. Name a series to choose another."
        )
    for entry in judged:
        if isinstance(entry.candidate, UnusableModel):
            yield f"{entry.candidate.name} in {entry.candidate.where} cannot be used: {entry.candidate.reason}"
