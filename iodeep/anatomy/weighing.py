"""Evidence weighed zone by zone: what speaks for it, what speaks against it, and how sure that makes us."""

from __future__ import annotations

import math
from collections.abc import Sequence

from iodeep.anatomy.evidence import Attribute
from iodeep.anatomy.reading import Reading
from iodeep.anatomy.regions import LIMBS, parent_zones, places

_SATURATION = 2.5
"""How fast evidence adds up: one study description (0.65) gives 0.8, with Body Part Examined 0.95."""
_HINT = 0.1
_WITHIN_LIMB = 0.5
"""LOWERLIMB supports KNEE by this share."""
_WITHIN_TRUNK = 0.25
"""ABDOMEN supports LSPINE, CHEST supports BREAST by this share."""

_AGAINST_WITHIN = 1.5
_AGAINST_ALL = 1.0
_AGAINST_OTHERS = 0.8
_AGAINST_WIDER = 0.3
"""How much naming other zones counts against a zone: the first where a series' own words pick some of what all others
name (ABD in a scan of abdomen and pelvis), the last where another attribute only names fewer of the same."""

_OWN = frozenset({Attribute.SERIES, Attribute.ANATOMIC_REGION, Attribute.MODALITY})
"""Attributes that are about this very series: they leave out what they don't name."""


def settled(readings: Sequence[Reading]) -> list[Reading]:
    """The readings without a series description that may only name a window (LUNG in a scan of the abdomen)."""
    others = frozenset().union(*(reading.zones for reading in readings if reading.attribute is not Attribute.SERIES))
    return [reading for reading in readings if not (reading.maybe_window and others and not reading.zones & others)]


def weigh(readings: Sequence[Reading]) -> dict[str, float]:
    """Confidence (0..1) in each zone that anything names."""
    zones = sorted(frozenset().union(*(reading.zones for reading in readings)))
    return {zone: _confidence(zone, readings) for zone in zones}


def contradictions(readings: Sequence[Reading]) -> tuple[str, ...]:
    """A sentence for each pair of attributes whose zones have nothing to do with each other."""
    speaking = [reading for reading in readings if reading.strengths]
    pairs = [
        (one, other)
        for place, one in enumerate(speaking)
        for other in speaking[place + 1 :]
        if not _compatible(one.zones, other.zones)
    ]
    return tuple(f"{one.findings[0]}, but {other.findings[0]}." for one, other in pairs)


def _compatible(some: frozenset[str], others: frozenset[str]) -> bool:
    if some & others:
        return True
    lineage = {zone for other in others for zone in _parents(other)} | {z for one in some for z in _parents(one)}
    return bool(lineage & (some | others))


def _confidence(zone: str, readings: Sequence[Reading]) -> float:
    supports = {id(reading): _support(zone, reading) for reading in readings}
    naming = [reading for reading in readings if supports[id(reading)]]
    score = sum(supports.values())
    if score and any(zone in reading.hints for reading in readings):
        score += _HINT
    against = sum(_against(zone, reading, naming) for reading in readings if not supports[id(reading)])
    return score / (score + against) * (1.0 - math.exp(-_SATURATION * score)) if score else 0.0


def _support(zone: str, reading: Reading) -> float:
    if zone in reading.strengths:
        return reading.strengths[zone]
    above = [reading.strengths[parent] for parent in _parents(zone) if parent in reading.strengths]
    if above:
        return max(above) * (_WITHIN_LIMB if _parents(zone) & LIMBS else _WITHIN_TRUNK)
    below = [strength for named, strength in reading.strengths.items() if zone in _parents(named)]
    return max(below) * _WITHIN_LIMB if below and zone in LIMBS else 0.0


def _against(zone: str, reading: Reading, naming: Sequence[Reading]) -> float:
    if zone in reading.excluded:
        return max(1.0, max(reading.strengths.values(), default=0.0))
    if not reading.strengths or reading.maybe_window:
        return 0.0
    strength = max(reading.strengths.values())
    if reading.attribute in _OWN and all(reading.zones <= other.zones for other in naming):
        return strength * _AGAINST_WITHIN
    if reading.attribute in _OWN or any(zone in _parents(named) for named in reading.zones):
        return strength * _AGAINST_ALL
    wider = frozenset().union(*(other.zones for other in naming if other.attribute is not Attribute.BODY_PART))
    return strength * (_AGAINST_WIDER if reading.zones < wider else _AGAINST_OTHERS)


def _parents(zone: str) -> frozenset[str]:
    return parent_zones(zone) if zone in places() else frozenset()
