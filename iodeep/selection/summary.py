"""What a table's decisions add up to: which share of a site's series each model would take, and what is left over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_MOST_EXAMPLES = 5


@dataclass
class Summary:
    """Counts over a table's documents; add each once, in any order."""

    rows: int = 0
    taken: Counter[str] = field(default_factory=Counter)
    """Rows that a model would be run on, by model."""
    also_fits: Counter[str] = field(default_factory=Counter)
    """Rows that a model would fit but another ranks higher, by model."""
    refused: Counter[str] = field(default_factory=Counter)
    """Rows without a model, by cause."""
    regions: Counter[str] = field(default_factory=Counter)
    """Rows by the first region; ``unknown`` where nothing is said."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """A few reasons for each cause of refusal."""

    def add(self, document: Mapping[str, Any]) -> None:
        """Count one row's document."""
        self.rows += 1
        self.regions[document["regions"][0] if document["regions"] else "unknown"] += 1
        self.also_fits.update(document["also_fits"])
        if document["model"] is not None:
            self.taken[document["model"]] += 1
            return
        cause = document["refused_for"] or "refused"
        self.refused[cause] += 1
        told = self.examples.setdefault(cause, [])
        if len(told) < _MOST_EXAMPLES and document["reasons"] and document["reasons"][0] not in told:
            told.append(document["reasons"][0])

    def share(self, count: int) -> float:
        """A count as a share of all rows (0..1)."""
        return count / self.rows if self.rows else 0.0

    def as_document(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "rows": self.rows,
            "taken": dict(self.taken.most_common()),
            "also_fits": dict(self.also_fits.most_common()),
            "refused": dict(self.refused.most_common()),
            "regions": dict(self.regions.most_common()),
        }


def summary_of(documents: Iterable[Mapping[str, Any]]) -> Summary:
    """The summary of documents as :func:`iodeep.selection.table.decide_table` gives them."""
    summary = Summary()
    for document in documents:
        summary.add(document)
    return summary
