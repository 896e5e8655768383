"""Regions of the body: their part-of hierarchy, the words for them, and what a series' words say."""

from __future__ import annotations

from iodeep.anatomy.answer import AnatomyAnswer, Finding, RankedRegion, Side
from iodeep.anatomy.evidence import AnatomicEvidence, Attribute
from iodeep.anatomy.resolver import AnatomyResolver

__all__ = [
    "AnatomicEvidence",
    "AnatomyAnswer",
    "AnatomyResolver",
    "Attribute",
    "Finding",
    "RankedRegion",
    "Side",
]
