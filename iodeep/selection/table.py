"""Decisions for a site's exported list of series: one document a row, in the table's order.

Only Modality, BodyPartExamined, StudyDescription and SeriesDescription count; each may be empty, other columns are
passed over. Nothing is fetched, so what only images can tell (slices, spacing, coverage) stays open.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from iodeep.anatomy import AnatomicEvidence, AnatomyResolver
from iodeep.errors import InputError
from iodeep.selection.candidate import Candidate, UnusableModel
from iodeep.selection.decision import decide, standard_resolver
from iodeep.selection.facts import SeriesFacts
from iodeep.selection.rules import SiteRules
from iodeep.selection.verdict import Decision

COLUMNS = ("Modality", "BodyPartExamined", "StudyDescription", "SeriesDescription")
Document = dict[str, Any]


def decide_table(
    path: Path,
    candidates: Sequence[Candidate | UnusableModel],
    *,
    rules: SiteRules | None = None,
    resolver: AnatomyResolver | None = None,
) -> Iterator[Document]:
    """A document a row: ``row`` (from 1), ``regions``, ``shown``, ``organ``, ``confidence``, ``model``, ``also_fits``, ``reasons``.

    Errors: :class:`iodeep.errors.InputError` where the table cannot be read or has none of the columns.
    """
    judge = _TableJudge(candidates, rules or SiteRules(), resolver or standard_resolver())
    for number, row in enumerate(table_rows(path), start=1):
        yield {"row": number, **judge.document(row)}


def table_rows(path: Path) -> Iterator[Mapping[str, str]]:
    """The rows of a CSV file in UTF-8; commas, semicolons or tabs between its columns."""
    try:
        with path.open(encoding="utf-8-sig", newline="", errors="replace") as table:
            heading = table.readline()
            delimiter = max(",;\t", key=heading.count)
            names = [name.strip() for name in next(csv.reader([heading], delimiter=delimiter), [])]
            if not set(names) & set(COLUMNS):
                raise InputError(
                    f"{path} is not a table of series",
                    expected=f"a first line with the columns {', '.join(COLUMNS)}",
                    found=heading.strip()[:80] or "nothing",
                )
            for row in csv.DictReader(table, names, delimiter=delimiter):
                yield {name: row.get(name) or "" for name in COLUMNS}
    except (OSError, csv.Error) as error:
        raise InputError(f"the table {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


class _TableJudge:
    """Decides row by row; a row that came before, and models of other modalities, are not judged again."""

    def __init__(
        self, candidates: Sequence[Candidate | UnusableModel], rules: SiteRules, resolver: AnatomyResolver
    ) -> None:
        self._candidates = candidates
        self._rules = rules
        self._resolver = resolver
        self._by_modality: dict[str, list[Candidate | UnusableModel]] = {}
        self._known: dict[tuple[str, ...], Document] = {}

    def document(self, row: Mapping[str, str]) -> Document:
        key = tuple(row[name] for name in COLUMNS)
        if key not in self._known:
            self._known[key] = self._decided(row)
        return self._known[key]

    def _decided(self, row: Mapping[str, str]) -> Document:
        facts = _facts(row)
        candidates = self._of_modality(facts.modality)
        return _document(
            decide(facts, candidates, rules=self._rules, resolver=self._resolver), facts, len(self._candidates)
        )

    def _of_modality(self, modality: str) -> list[Candidate | UnusableModel]:
        if modality not in self._by_modality:
            self._by_modality[modality] = [
                candidate
                for candidate in self._candidates
                if isinstance(candidate, Candidate) and modality in candidate.profile.need.modalities
            ]
        return self._by_modality[modality]


def _facts(row: Mapping[str, str]) -> SeriesFacts:
    """The same as of a C-FIND answer with these four attributes alone."""
    modality, body_part, study, series = (row[name].strip() for name in COLUMNS)
    modality = modality.upper()
    evidence = AnatomicEvidence(
        modality=modality, body_part_examined=body_part, study_description=study, series_description=series
    )
    return SeriesFacts(modality=modality, evidence=evidence)


def _document(decision: Decision, facts: SeriesFacts, models: int) -> Document:
    cause, reasons = decision.refused_for, list(_reasons(decision))
    if cause == "no model":
        cause = "modality"
        reasons[0] = f"None of {models} models takes {facts.modality or 'a series without modality'}."
    return {
        "regions": list(decision.anatomy.regions),
        "shown": decision.anatomy.shown,
        "organ": decision.anatomy.organ,
        "confidence": round(decision.anatomy.confidence, 3),
        "model": decision.chosen.profile.name if decision.chosen else None,
        "version": decision.chosen.profile.version if decision.chosen else None,
        "also_fits": list(dict.fromkeys(candidate.profile.name for candidate in decision.also_fits)),
        "refused_for": cause or None,
        "reasons": reasons,
    }


def _reasons(decision: Decision) -> Iterator[str]:
    """The requirements that decided, or the refusal; then the evidence for the first region; then what else to know."""
    if decision.chosen is None:
        yield decision.refusal
    else:
        chosen = next(judged for judged in decision.candidates if judged.candidate is decision.chosen)
        yield from (outcome.sentence for outcome in chosen.outcomes if outcome.criterion in {"region", "sequence"})
    if decision.anatomy.known:
        yield from (f"{finding}." for finding in decision.anatomy.ranked[0].findings[:3])
    yield from decision.notes
