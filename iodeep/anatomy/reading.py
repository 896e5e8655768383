"""What one attribute says: the zones that it names, and the findings behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from iodeep.anatomy.answer import Finding
from iodeep.anatomy.evidence import AnatomicEvidence, Attribute
from iodeep.anatomy.lexicon import Lexicon, Match
from iodeep.anatomy.regions import SCANNED_TOGETHER, is_organ, parent_zones, places, zones_of
from iodeep.anatomy.text import fold
from iodeep.anatomy.vocabulary import Kind
from iodeep.terms import Code, region_of_code, region_of_defined_term

WEIGHT = {
    Attribute.ANATOMIC_REGION: 1.0,
    Attribute.MODALITY: 1.0,
    Attribute.SERIES: 0.9,
    Attribute.STUDY: 0.65,
    Attribute.PROTOCOL: 0.6,
    Attribute.PROCEDURE_CODE: 0.6,
    Attribute.BODY_PART: 0.55,
    Attribute.PROCEDURE: 0.5,
    Attribute.OTHER_SERIES: 0.4,
}
"""How much an attribute counts: Body Part Examined is often a scanner's default, the series' own words seldom err."""

ITS_OWN_WORDS = frozenset({Attribute.SERIES, Attribute.ANATOMIC_REGION})
"""Attributes in which somebody wrote what this very series is of."""
OF_THE_STUDY = frozenset({Attribute.STUDY, Attribute.PROTOCOL, Attribute.PROCEDURE_CODE, Attribute.PROCEDURE})
"""Attributes that tell of the whole examination."""

_KIND_WEIGHT = {Kind.NAME: 1.0, Kind.SPELLING: 1.0, Kind.PRESET: 1.0, Kind.WINDOW: 1.0, Kind.WEAK: 0.45, Kind.HINT: 0.0}
WINDOW_WEIGHT = 0.5
"""Of a word in a series description that may be the name of a window or kernel."""


_GENERIC = frozenset({"SPINE", "BACK", "UPPERLIMB", "LOWERLIMB", "EXTREMITY", "AORTA"})
"""Regions whose name alone says little more than what kind of examination it is."""


@dataclass(frozen=True)
class Reading:
    """One attribute's say: zone -> strength, the findings, and whether it may only be a window's or kernel's name."""

    attribute: Attribute
    strengths: dict[str, float]
    findings: tuple[Finding, ...]
    excluded: frozenset[str] = frozenset()
    hints: frozenset[str] = frozenset()
    maybe_window: bool = False

    @property
    def zones(self) -> frozenset[str]:
        """The zones that it names."""
        return frozenset(self.strengths)


def readings_of(evidence: AnatomicEvidence, lexicon: Lexicon) -> list[Reading]:
    """What each attribute of a series says; attributes that say nothing are left out."""
    readings = [
        *(_of_code(code, Attribute.ANATOMIC_REGION, evidence.modality, lexicon) for code in evidence.anatomic_regions),
        _of_body_part(evidence, lexicon),
        *(_of_code(code, Attribute.PROCEDURE_CODE, evidence.modality, lexicon) for code in evidence.procedure_codes),
        *(_of_text(text, Attribute.PROCEDURE, evidence, lexicon) for text in evidence.procedure_descriptions),
        _of_text(evidence.protocol_name, Attribute.PROTOCOL, evidence, lexicon),
        _of_text(evidence.study_description, Attribute.STUDY, evidence, lexicon),
        _of_text(evidence.series_description, Attribute.SERIES, evidence, lexicon),
        _of_modality(evidence.modality),
    ]
    return [reading for reading in readings if reading and (reading.strengths or reading.excluded or reading.hints)]


def _of_modality(modality: str) -> Reading | None:
    if modality != "MG":
        return None
    finding = Finding(Attribute.MODALITY, "MG (mammography)", "BREAST", WEIGHT[Attribute.MODALITY])
    return Reading(Attribute.MODALITY, {"BREAST": finding.weight}, (finding,))


def _of_code(code: Code, attribute: Attribute, modality: str, lexicon: Lexicon) -> Reading | None:
    """A code of Annex L speaks for itself; any other code speaks by its meaning."""
    region = region_of_code(code)
    if region is None:
        return _of_words(lexicon.find(code.meaning, modality), attribute) if code.meaning else None
    return _of_region(region.defined_term, str(code), attribute)


def _of_body_part(evidence: AnatomicEvidence, lexicon: Lexicon) -> Reading | None:
    """A defined term speaks for itself; what people type instead is read as words."""
    text = evidence.body_part_examined
    if not text:
        return None
    region = region_of_defined_term(fold(text).replace(" ", "").replace("_", "").replace("-", ""))
    if region is not None and places()[region.defined_term].relation != "none":
        return _of_region(region.defined_term, text, Attribute.BODY_PART)
    return _of_words(lexicon.find(text, evidence.modality), Attribute.BODY_PART)


def _of_region(region: str, words: str, attribute: Attribute) -> Reading:
    weight = WEIGHT[attribute]
    zones = zones_of(region) or frozenset({region})
    return Reading(attribute, dict.fromkeys(zones, weight), (Finding(attribute, words, region, weight),))


def _of_text(text: str, attribute: Attribute, evidence: AnatomicEvidence, lexicon: Lexicon) -> Reading | None:
    return _of_words(lexicon.find(text, evidence.modality), attribute) if text else None


def _of_words(matches: Sequence[Match], attribute: Attribute) -> Reading | None:
    if not matches:
        return None
    told = [match for match in matches if match.word.kind.needs_region]
    excluded = frozenset(zone for match in told if match.negated for zone in zones_of(match.word.region))
    told = [match for match in told if not match.negated]
    hints = frozenset(zone for match in told if match.word.kind is Kind.HINT for zone in zones_of(match.word.region))
    windows = _window_kinds(matches, attribute)
    speaking = _without_generics(
        _without_windows([match for match in told if match.word.kind is not Kind.HINT], windows)
    )
    findings = tuple(_finding(match, attribute, windows) for match in speaking)
    strengths: dict[str, float] = {}
    for finding in findings:
        for zone in zones_of(finding.region) or {finding.region}:
            if zone not in excluded:
                strengths[zone] = max(strengths.get(zone, 0.0), finding.weight)
    strengths = _without_gaps(strengths, excluded)
    maybe_window = bool(speaking) and all(match.word.kind in windows for match in speaking)
    return Reading(attribute, strengths, findings, excluded, hints, maybe_window)


def _window_kinds(matches: Sequence[Match], attribute: Attribute) -> frozenset[Kind]:
    """The kinds of words that may name a window here: only series descriptions name windows."""
    if attribute is not Attribute.SERIES:
        return frozenset()
    phased = any(match.word.kind is Kind.PHASE for match in matches)
    return frozenset({Kind.WINDOW}) if phased else frozenset({Kind.WINDOW, Kind.PRESET})


def _without_windows(matches: list[Match], windows: frozenset[Kind]) -> list[Match]:
    """LUNG beside ABD/PEL is a window; beside CHEST it is the lung."""
    names = [match for match in matches if match.word.kind not in windows]
    if not names:
        return matches
    zones = frozenset().union(*(zones_of(match.word.region) for match in names))
    return [match for match in matches if match.word.kind not in windows or zones_of(match.word.region) <= zones]


def _without_generics(matches: list[Match]) -> list[Match]:
    """SPINE says nothing more beside LUMBAR, nor LOWERLIMB beside KNEE, nor AORTA beside ABDOMEN."""
    return [
        match for match in matches if not (match.word.region in _GENERIC and any(_narrows(o, match) for o in matches))
    ]


def _narrows(one: Match, generic: Match) -> bool:
    zones, around = zones_of(one.word.region), zones_of(generic.word.region)
    within = zones | frozenset().union(*(parent_zones(zone) for zone in zones))
    return zones != around and bool(within & around) and one.word.region not in _GENERIC


def _without_gaps(strengths: dict[str, float], excluded: frozenset[str]) -> dict[str, float]:
    """CHEST & BLADDER in one description is one scan: the abdomen between them is in it."""
    places_named = [place for place, zone in enumerate(SCANNED_TOGETHER) if zone in strengths]
    between = SCANNED_TOGETHER[min(places_named) : max(places_named)] if places_named else ()
    weight = min((strengths[SCANNED_TOGETHER[place]] for place in places_named), default=0.0)
    return {**{zone: weight for zone in between if zone not in excluded}, **strengths}


def _finding(match: Match, attribute: Attribute, windows: frozenset[Kind]) -> Finding:
    weight = WEIGHT[attribute] * _KIND_WEIGHT[match.word.kind] * match.certainty
    if match.word.kind in windows:
        weight *= WINDOW_WEIGHT
    return Finding(attribute, match.found, match.word.region, weight)


def borrowed(readings: Sequence[Reading]) -> Iterator[Reading]:
    """The same readings as evidence about another series of the study: weaker, and named as such."""
    share = WEIGHT[Attribute.OTHER_SERIES]
    for reading in readings:
        yield replace(
            reading,
            attribute=Attribute.OTHER_SERIES,
            strengths={zone: strength * share for zone, strength in reading.strengths.items()},
            findings=tuple(
                replace(finding, attribute=Attribute.OTHER_SERIES, weight=finding.weight * share)
                for finding in reading.findings
            ),
        )


def organs_named(readings: Sequence[Reading]) -> list[tuple[str, float]]:
    """The structures inside zones that the readings name, with their weights added up, heaviest first."""
    weights: dict[str, float] = {}
    for reading in readings:
        for region in {finding.region for finding in reading.findings if is_organ(finding.region)}:
            weights[region] = weights.get(region, 0.0) + max(
                finding.weight for finding in reading.findings if finding.region == region
            )
    return sorted(weights.items(), key=lambda entry: (-entry[1], entry[0]))
