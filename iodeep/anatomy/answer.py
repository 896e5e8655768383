"""What the resolver says: ranked regions with their evidence, contradictions, or that nothing is known."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from iodeep.anatomy.evidence import Attribute


@dataclass(frozen=True)
class Finding:
    """One word in one attribute, the region that it speaks for, and how much it counts (0..1)."""

    attribute: Attribute
    words: str
    region: str
    weight: float

    def __str__(self) -> str:
        return f"{self.attribute.value}: {self.words!r} says {self.region}"


@dataclass(frozen=True)
class RankedRegion:
    """A region (PS3.16 Annex L defined term), how sure we are of it (0..1), and what speaks for it."""

    region: str
    confidence: float
    findings: tuple[Finding, ...]


class Side(StrEnum):
    """Laterality (0020,0060) of a paired structure, as far as the series says it."""

    LEFT = "L"
    RIGHT = "R"
    BOTH = "B"


@dataclass(frozen=True)
class AnatomyAnswer:
    """What a series shows, the likeliest first, and the examination that it is a part of; nothing where neither is known."""

    ranked: tuple[RankedRegion, ...] = ()
    examination: str | None = None
    """The region of the whole examination, where the series' own words pick a part of it (CHEST in a study of chest,
    abdomen and pelvis): models are chosen for the part, which ``ranked`` tells."""
    organ: str | None = None
    """The most specific structure that is named, where one is: a defined term inside what the series shows."""
    side: Side | None = None
    contradictions: tuple[str, ...] = ()
    """Sentences on attributes that name regions which exclude each other."""
    borrowed: bool = False
    """True where the series says nothing and the answer comes from other series of its study."""

    @property
    def known(self) -> bool:
        """Whether there is any answer."""
        return bool(self.ranked)

    @property
    def shown(self) -> str | None:
        """The region that the series itself shows: what a model has to be for."""
        return self.ranked[0].region if self.ranked else None

    @cached_property
    def regions(self) -> tuple[str, ...]:
        """Defined terms: the examination's region, then what the series shows of it, the likeliest first."""
        shown = tuple(entry.region for entry in self.ranked)
        whole = (self.examination,) if self.examination else ()
        return (*whole, *(region for region in shown if region not in whole))

    @property
    def confidence(self) -> float:
        """In what the series shows; 0 where nothing is known."""
        return self.ranked[0].confidence if self.ranked else 0.0

    def as_document(self) -> dict[str, Any]:
        """For ``--json`` and for the record beside a result."""
        return {
            "regions": list(self.regions),
            "shown": self.shown,
            "organ": self.organ,
            "side": self.side.value if self.side else None,
            "confidence": round(self.confidence, 3),
            "borrowed": self.borrowed,
            "contradictions": list(self.contradictions),
            "evidence": [
                {"attribute": f.attribute.value, "words": f.words, "region": f.region, "weight": round(f.weight, 3)}
                for entry in self.ranked
                for f in entry.findings
            ],
        }
