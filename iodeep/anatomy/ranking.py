"""Zones with their confidences become named regions: neighbours that are all sure are one scan (CHESTABDPELVIS)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from iodeep.anatomy.answer import Finding, RankedRegion
from iodeep.anatomy.reading import Reading
from iodeep.anatomy.regions import TRUNK_ORDER, name_of, neighbours, zones_of

FIRM = 0.5
"""A zone of at least this confidence belongs to the answer; one below is only mentioned after it."""
_LEAST = 0.1


def ranked_regions(confidences: Mapping[str, float], readings: Sequence[Reading]) -> tuple[RankedRegion, ...]:
    """The regions that the zones make up, the likeliest first.

    Firm zones that no single scan covers (head and knee) share their confidence: which one is shown is not said.
    """
    firm = [zone for zone, confidence in confidences.items() if confidence >= FIRM]
    groups = list(_groups(firm))
    entries = [
        (name, min(confidences[zone] for zone in zones) / len(groups))
        for group in groups
        for name, zones in _named(group)
    ]
    likely = sorted(entries, key=lambda entry: (-entry[1], entry[0]))
    possible = sorted(_possible(confidences), key=lambda entry: (-entry[1], entry[0]))
    if not firm:
        possible = [*_between(confidences), *possible]
    return tuple(RankedRegion(name, confidence, _findings(name, readings)) for name, confidence in likely + possible)


def _between(confidences: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """The region around neighbours that contradict each other: ABDOMEN or PELVIS is within ABDOMENPELVIS.

    It is no surer than the surer of the two, so that nothing is run on it.
    """
    zones = [zone for zone, confidence in confidences.items() if confidence >= _LEAST]
    name = name_of(zones) if len(zones) > 1 and len(list(_groups(zones))) == 1 else None
    if name and len({round(confidences[zone], 6) for zone in zones}) > 1:
        yield name, max(confidences[zone] for zone in zones)


def _possible(confidences: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Zones below FIRM; those of equal confidence come from the same words and stay together."""
    levels: dict[float, list[str]] = {}
    for zone, confidence in confidences.items():
        if _LEAST <= confidence < FIRM:
            levels.setdefault(round(confidence, 6), []).append(zone)
    for level, zones in levels.items():
        yield from ((name, level) for group in _groups(zones) for name, _ in _named(group))


def _groups(zones: Sequence[str]) -> Iterator[list[str]]:
    """Zones that neighbour each other, directly or through others of them."""
    left = list(zones)
    while left:
        group = [left.pop(0)]
        for member in group:
            near = [zone for zone in left if neighbours(member, zone)]
            group += near
            left = [zone for zone in left if zone not in near]
        yield group


def _named(group: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The fewest defined terms that make up the group, each with its zones."""
    whole = name_of(group)
    if whole:
        yield whole, list(group)
        return
    trunk = [zone for zone in TRUNK_ORDER if zone in group]
    yield from _runs(trunk)
    yield from _runs([zone for zone in ("CSPINE", "TSPINE", "LSPINE", "SSPINE") if zone in group])
    rest = [zone for zone in group if zone not in TRUNK_ORDER and not zone.endswith("SPINE")]
    yield from ((zone, [zone]) for zone in rest)


def _runs(zones: list[str]) -> Iterator[tuple[str, list[str]]]:
    """The longest named runs of neighbouring zones, from the top down."""
    while zones:
        length = next(length for length in range(len(zones), 0, -1) if name_of(zones[:length]))
        name = name_of(zones[:length])
        assert name is not None
        yield name, zones[:length]
        zones = zones[length:]


def _findings(region: str, readings: Sequence[Reading]) -> tuple[Finding, ...]:
    zones = zones_of(region) or frozenset({region})
    found = [
        finding
        for reading in readings
        for finding in reading.findings
        if (zones_of(finding.region) or frozenset({finding.region})) & zones
    ]
    return tuple(sorted(dict.fromkeys(found), key=lambda finding: -finding.weight))
