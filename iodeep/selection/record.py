"""A decision as it is kept with a result: whole where few models were looked at, bounded where there were thousands.

What is left out is counted by its reason, so that the record says of every candidate why it was not chosen. Equal decisions
give equal records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from iodeep.selection.rules import SiteRules
from iodeep.selection.verdict import Decision, Judged
from iodeep.settings import SelectionRule

MOST_FITTING: Final = 20
"""Candidates that meet every requirement and are listed, best first."""
MOST_LISTED: Final = 50
"""Candidates that are listed in all; after those that fit come the nearest misses."""
MOST_SERIES: Final = 100
"""Series asked about that are listed by name; a study may have hundreds."""
LONGEST: Final = 1000
"""Characters of one text."""

Record = dict[str, Any]


def decision_record(decision: Decision, rules: SiteRules) -> Record:
    """``Decision.as_document`` with at most :data:`MOST_LISTED` candidates, the site's rules, and counts of the rest.

    ``looked_at``: how many candidates there were. ``not_listed``: those left out, counted by the first requirement that
    they failed (``fits, ranked lower`` where none).
    """
    listed = _listed(decision)
    bounded = replace(decision, series=decision.series[:MOST_SERIES], candidates=tuple(listed))
    record: Record = _cleaned({**bounded.as_document(), "rules": list(sentences_of(rules))})
    return record | {"looked_at": len(decision.candidates), "not_listed": _counted(decision.candidates, listed)}


def sentences_of(rules: SiteRules) -> tuple[str, ...]:
    """The site's rules that were in force, in sentences."""
    borrowed = "is enough" if rules.accept_borrowed else "is not enough"
    return (
        f"What a series shows has to be at least {rules.minimum_confidence:.0%} sure.",
        f"What only the study's other series show {borrowed}.",
        *map(_rule, rules.rules),
    )


def _rule(rule: SelectionRule) -> str:
    where = (
        ("modality", rule.modality),
        ("station", rule.station),
        ("AE title", rule.ae_title),
        ("department", rule.department),
    )
    narrowed = ", ".join(f"{name} {pattern}" for name, pattern in where if pattern)
    return (
        f"{rule.effect} {rule.model}"
        + (f" for {narrowed}" if narrowed else "")
        + (f": {rule.reason}" if rule.reason else "")
    )


def _listed(decision: Decision) -> list[Judged]:
    """Those that fit, best first and the chosen one among them; then the nearest misses: fewest failures, then by name."""
    fitting = [judged for judged in decision.candidates if judged.fits]
    later = [judged for judged in fitting[MOST_FITTING - 1 :] if judged.candidate is decision.chosen]
    kept = [*fitting[: MOST_FITTING - len(later)], *later]
    misses = [judged for judged in decision.candidates if not judged.fits]
    nearest = sorted(
        misses, key=lambda judged: (len(judged.reasons_against), judged.candidate.name, judged.candidate.uid)
    )
    return [*kept, *nearest[: MOST_LISTED - len(kept)]]


def _counted(candidates: Iterable[Judged], listed: Iterable[Judged]) -> dict[str, int]:
    shown = {id(judged) for judged in listed}
    causes = Counter(
        next((outcome.criterion for outcome in judged.outcomes if not outcome.passed), "fits, ranked lower")
        for judged in candidates
        if id(judged) not in shown
    )
    return dict(sorted(causes.items()))


def _cleaned(value: Any) -> Any:
    """Texts in one line of printable characters, at most :data:`LONGEST` of them; numbers with six decimals."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {name: _cleaned(each) for name, each in value.items()}
    return [_cleaned(each) for each in value] if isinstance(value, list) else value


def _text(text: str) -> str:
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1].rstrip()}…"
