"""What a table's decisions add up to: which share of a site's series each model would take, and what is left over.

Memory is bounded: of a group's descriptions so many distinct ones are counted, those that come later together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

_MOST_DISTINCT: Final = 20_000


class Description(NamedTuple):
    """How series are described, as the table has it; equal ones are counted together."""

    modality: str
    body_part: str
    study: str
    series: str


OTHERS: Final = Description("", "", "", "")
"""Stands for distinct descriptions beyond those that are counted one by one, and for rows that say nothing."""


@dataclass
class Group:
    """Rows with the same outcome: how they are described, which regions they show, and why in one row's words."""

    rows: int = 0
    descriptions: Counter[Description] = field(default_factory=Counter)
    regions: Counter[str] = field(default_factory=Counter)
    modalities: Counter[str] = field(default_factory=Counter)
    reasons: dict[Description, str] = field(default_factory=dict)
    """The first sentence of the first row with each description."""

    def add(self, region: str, described: Description, reason: str) -> None:
        """Count one row."""
        self.rows += 1
        self.regions[region] += 1
        self.modalities[described.modality or "none given"] += 1
        if described not in self.descriptions and len(self.descriptions) >= _MOST_DISTINCT:
            described = OTHERS
        self.descriptions[described] += 1
        self.reasons.setdefault(described, reason)

    def most_frequent(self, most: int) -> list[tuple[Description, int]]:
        """Descriptions, the most frequent first; among equals in alphabetical order."""
        return sorted(self.descriptions.items(), key=lambda entry: (-entry[1], entry[0]))[:most]


@dataclass
class Summary:
    """Counts over a table's documents; add each once, in any order."""

    rows: int = 0
    models: dict[str, Group] = field(default_factory=dict)
    """Rows that a model would be run on, by model."""
    causes: dict[str, Group] = field(default_factory=dict)
    """Rows without a model, by cause."""
    also_fits: Counter[str] = field(default_factory=Counter)
    """Rows that a model would fit but another ranks higher, by model."""
    regions: Counter[str] = field(default_factory=Counter)
    """Rows by the region that they show; ``unknown`` where nothing is said."""
    taken_regions: Counter[str] = field(default_factory=Counter)
    """The same, of rows that a model would be run on."""

    def add(self, document: Mapping[str, Any], row: Mapping[str, str] | None = None) -> None:
        """Count one row's document; ``row``: the table's own words, as :func:`iodeep.selection.table_rows` gives them."""
        self.rows += 1
        region = document.get("shown") or next(iter(document["regions"]), "unknown")
        self.regions[region] += 1
        self.also_fits.update(document["also_fits"])
        model = document["model"]
        groups, name = (self.models, model) if model else (self.causes, document["refused_for"] or "refused")
        if model:
            self.taken_regions[region] += 1
        reason = next(iter(document["reasons"]), "")
        groups.setdefault(name, Group()).add(region, _described(row or {}), reason)

    @property
    def taken(self) -> Counter[str]:
        """Rows that a model would be run on, by model."""
        return Counter({name: group.rows for name, group in self.models.items()})

    @property
    def refused(self) -> Counter[str]:
        """Rows without a model, by cause."""
        return Counter({name: group.rows for name, group in self.causes.items()})

    def share(self, count: int) -> float:
        """A count as a share of all rows (0..1)."""
        return count / self.rows if self.rows else 0.0

    def as_document(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "rows": self.rows,
            "taken": dict(by_count(self.taken)),
            "also_fits": dict(by_count(self.also_fits)),
            "refused": dict(by_count(self.refused)),
            "regions": dict(by_count(self.regions)),
        }


def by_count(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The largest first; among equals in alphabetical order."""
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))


def summary_of(documents: Iterable[Mapping[str, Any]]) -> Summary:
    """The summary of documents as :func:`iodeep.selection.table.decide_table` gives them."""
    summary = Summary()
    for document in documents:
        summary.add(document)
    return summary


def _described(row: Mapping[str, str]) -> Description:
    names = ("Modality", "BodyPartExamined", "StudyDescription", "SeriesDescription")
    return Description(*(" ".join((row.get(name) or "").split()) for name in names))
