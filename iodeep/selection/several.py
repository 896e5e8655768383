"""More than one model for a series, where the site wants all that fit: each model once, each with its own decision."""

from __future__ import annotations

from dataclasses import replace

from iodeep.selection.candidate import Candidate
from iodeep.selection.verdict import Decision


def each_that_fits(decision: Decision) -> tuple[Decision, ...]:
    """The decision, then one for each other model that fits, in the order of their ranks; nothing for a refusal.

    Of a model's releases (the same token or name) only the one that ranks first: the newest, unless the ranking has a
    reason for an older one (the site prefers it, or it is closer to this anatomy or acquisition).
    """
    if decision.chosen is None:
        return ()
    models = _once([decision.chosen, *decision.also_fits])
    return tuple(_choosing(decision, model, place, len(models)) for place, model in enumerate(models, start=1))


def _once(fitting: list[Candidate]) -> list[Candidate]:
    seen: set[str] = set()
    kept = []
    for candidate in fitting:
        names = {f"token {candidate.card.token.casefold()}", f"name {candidate.card.name.casefold()}"}
        if not names & seen:
            kept.append(candidate)
        seen |= names
    return kept


def _choosing(decision: Decision, model: Candidate, place: int, count: int) -> Decision:
    if count == 1:
        return decision
    assert decision.chosen is not None
    judged = next(each for each in decision.candidates if each.candidate is model)
    first = "" if place == 1 else f" {decision.chosen.name} ranks first."
    note = f"All models that fit are to be run: this one ranks {place} of {count}.{first}"
    return replace(decision, chosen=model, inputs=dict(judged.inputs), notes=(*decision.notes, note))
