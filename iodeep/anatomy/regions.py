"""The part-of hierarchy over PS3.16 Annex L: which region contains, shows or borders on which.

``regions.csv`` says for each defined term what it is part of and how an examination of one relates to the other:
``zone`` (a part of the body that scans are planned on), ``whole`` (an examination of it shows its whole zone, as the
brain does the head), ``shown`` (an examination of its zone shows it, as the abdomen does the liver), ``combined``
(made of the ``parts``), ``none`` (no place in the body).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise

TRUNK_ORDER = ("HEAD", "NECK", "CHEST", "ABDOMEN", "PELVIS")
"""From head to hip: scans of several regions cover neighbours in this order."""

SCANNED_TOGETHER = TRUNK_ORDER[1:]
"""Neck to pelvis: who names two of them in one breath scans what lies between; a head is scanned on its own."""

LIMBS = frozenset({"UPPERLIMB", "LOWERLIMB"})

_COMBINED = {
    ("HEAD", "NECK"): "HEADNECK",
    ("NECK", "CHEST"): "NECKCHEST",
    ("NECK", "CHEST", "ABDOMEN"): "NECKCHESTABDOMEN",
    ("NECK", "CHEST", "ABDOMEN", "PELVIS"): "NECKCHESTABDPELV",
    ("CHEST", "ABDOMEN"): "CHESTABDOMEN",
    ("CHEST", "ABDOMEN", "PELVIS"): "CHESTABDPELVIS",
    ("ABDOMEN", "PELVIS"): "ABDOMENPELVIS",
    TRUNK_ORDER: "WHOLEBODY",
    ("CSPINE", "TSPINE", "LSPINE"): "SPINE",
    ("CSPINE", "TSPINE"): "CTSPINE",
    ("TSPINE", "LSPINE"): "TLSPINE",
    ("LSPINE", "SSPINE"): "LSSPINE",
    ("PELVIS", "LOWERLIMB"): "PELVISLOWEXTREMT",
    ("UPPERLIMB", "LOWERLIMB"): "EXTREMITY",
}

_NEIGHBOURS = (
    *pairwise(TRUNK_ORDER),
    ("HEAD", "CSPINE"),
    ("NECK", "CSPINE"),
    ("CSPINE", "TSPINE"),
    ("CHEST", "TSPINE"),
    ("CHEST", "BREAST"),
    ("TSPINE", "LSPINE"),
    ("ABDOMEN", "LSPINE"),
    ("LSPINE", "SSPINE"),
    ("PELVIS", "SSPINE"),
    ("PELVIS", "HIP"),
    ("PELVIS", "THIGH"),
    ("PELVIS", "LOWERLIMB"),
    ("HIP", "THIGH"),
    ("THIGH", "KNEE"),
    ("KNEE", "LOWERLEG"),
    ("LOWERLEG", "ANKLE"),
    ("ANKLE", "FOOT"),
    ("SHOULDER", "UPPERARM"),
    ("UPPERARM", "ELBOW"),
    ("ELBOW", "FOREARM"),
    ("FOREARM", "WRIST"),
    ("WRIST", "HAND"),
)


@dataclass(frozen=True)
class Place:
    """A region's row: what it is part of, how an examination of it relates to that, and its parts."""

    region: str
    part_of: str
    relation: str
    parts: tuple[str, ...]


@cache
def places() -> dict[str, Place]:
    """Every defined term's place, by the term."""
    with files("iodeep.anatomy").joinpath("regions.csv").open(encoding="utf-8") as table:
        return {
            row["region"]: Place(row["region"], row["part_of"], row["relation"], tuple(row["parts"].split()))
            for row in csv.DictReader(table)
        }


@cache
def zones_of(region: str) -> frozenset[str]:
    """The zones that a region lies in or is made of: LIVER -> ABDOMEN, CHESTABDPELVIS -> its three."""
    place = places()[region]
    if place.relation == "zone":
        return frozenset({region})
    within = place.parts or ((place.part_of,) if place.part_of else ())
    return frozenset().union(*(zones_of(part) for part in within)) if within else frozenset()


@cache
def parent_zones(zone: str) -> frozenset[str]:
    """The zones that a zone lies in: KNEE -> LOWERLIMB, BREAST -> CHEST."""
    parent = places()[zone].part_of
    return frozenset({parent}) | parent_zones(parent) if parent else frozenset()


@cache
def limb_of(zone: str) -> str:
    """The limb that a zone lies in (THIGH -> LOWERLIMB), else the zone itself."""
    return next(iter(parent_zones(zone) & LIMBS), zone)


@cache
def is_organ(region: str) -> bool:
    """Whether the region is a structure inside a zone and not itself a zone or several."""
    return places()[region].relation in {"whole", "shown"}


@cache
def is_inner_zone(region: str) -> bool:
    """Whether the region is a zone inside another (BREAST, KNEE, LSPINE): an examination of its own, like an organ."""
    place = places()[region]
    return place.relation == "zone" and bool(place.part_of)


@cache
def covers(examined: str, wanted: str) -> bool:
    """Whether an examination of ``examined`` shows ``wanted``: CHESTABDPELVIS shows LIVER, BRAIN shows HEAD.

    A dedicated examination is not shown by one of its surroundings: CHEST does not show BREAST nor TSPINE.
    """
    if examined == wanted or wanted in _shown_by(examined):
        return True
    parts = places()[wanted].parts
    return bool(parts) and all(covers(examined, part) for part in parts)


@cache
def overlapping(region: str) -> tuple[str, ...]:
    """Every defined term that shares a zone with ``region``: those that a search for models has to ask for."""
    zones = zones_of(region)
    return tuple(sorted(term for term in places() if term == region or zones & zones_of(term)))


def name_of(zones: Iterable[str]) -> str | None:
    """The defined term for exactly these zones, else None."""
    wanted = frozenset(zones)
    if len(wanted) == 1:
        return next(iter(wanted))
    return _names().get(wanted)


@cache
def neighbours(one: str, other: str) -> bool:
    """Whether one scan commonly covers both zones."""
    return (one, other) in _NEIGHBOURS or (other, one) in _NEIGHBOURS


@cache
def _names() -> dict[frozenset[str], str]:
    return {frozenset(zones): name for zones, name in _COMBINED.items()}


@cache
def _shown_by(examined: str) -> frozenset[str]:
    place = places()[examined]
    shown = {examined}
    for part in place.parts:
        shown |= _shown_by(part)
    if place.relation == "whole":
        shown |= _shown_by(place.part_of)
    shown |= {term for term, other in places().items() if other.part_of == examined and other.relation in _SHOWN}
    return frozenset(shown)


_SHOWN = frozenset({"whole", "shown"})
