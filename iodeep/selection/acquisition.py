"""How a series was acquired: MR sequence type and CT contrast phase, from parameters first and words second.

A series that cannot be told is None: a model that asks for a type then refuses it.
"""

from __future__ import annotations

from dataclasses import dataclass

from iodeep.card import ContrastPhase, Sequence
from iodeep.selection.facts import SeriesFacts
from iodeep.selection.words import labels_in

_NO_AGENT = frozenset({"", "NONE", "NO", "N", "NULL", "NIL", "KEINE", "SANS", "GEEN"})


@dataclass(frozen=True)
class SequenceType:
    """An MR sequence type, None where it cannot be told, and what it rests on."""

    sequence: Sequence | None
    because: str


@dataclass(frozen=True)
class Phase:
    """A CT contrast phase, None where it cannot be told, and what it rests on."""

    phase: ContrastPhase | None
    because: str


def sequence_of(facts: SeriesFacts) -> SequenceType:
    """The MR sequence type. Words that contradict the parameters leave it untold."""
    words = _by_words(facts)
    special = _special(facts, words)
    if special:
        return special
    weighting = _by_parameters(facts)
    if weighting is None:
        return _of_words(facts, words)
    named = words & {"T1", "T2", "PD"}
    if named and weighting.sequence and weighting.sequence.value not in named:
        return SequenceType(None, f"{weighting.because}, but it is called {facts.evidence.series_description!r}")
    if weighting.sequence is Sequence.T1 and _has_agent(facts, words):
        return SequenceType(Sequence.T1C, f"{weighting.because}, after contrast")
    return weighting


def phase_of(facts: SeriesFacts) -> Phase:
    """The CT contrast phase; ENHANCED where an agent was given and no words say when."""
    own = labels_in(facts.evidence.series_description, facts.modality)
    if "BOTH" in own:
        return Phase(None, f"Series Description {facts.evidence.series_description!r} names images with and without")
    for label in ("ARTERIAL", "VENOUS", "DELAYED"):
        if label in own and "PLAIN" not in own:
            return Phase(ContrastPhase(label), f"Series Description {facts.evidence.series_description!r}")
    if facts.contrast_agent.strip().upper() not in _NO_AGENT:
        if "PLAIN" in own:
            return Phase(None, f"an agent ({facts.contrast_agent}) is named, but the series is called plain")
        return Phase(ContrastPhase.ENHANCED, f"Contrast/Bolus Agent is {facts.contrast_agent!r}")
    if "PLAIN" in own and "ENHANCED" not in own:
        return Phase(ContrastPhase.NONE, f"Series Description {facts.evidence.series_description!r}")
    if "ENHANCED" in own:
        return Phase(ContrastPhase.ENHANCED, f"Series Description {facts.evidence.series_description!r}")
    study = labels_in(facts.evidence.study_description, facts.modality)
    cut_off = facts.evidence.study_description.rstrip().endswith(("&", "+", "/", ","))
    if not cut_off and "PLAIN" in study and not study & {"ENHANCED", "BOTH", "ARTERIAL", "VENOUS", "DELAYED"}:
        return Phase(ContrastPhase.NONE, f"Study Description {facts.evidence.study_description!r}")
    return Phase(None, "neither an agent nor words say whether contrast was given")


def _by_words(facts: SeriesFacts) -> frozenset[str]:
    own = labels_in(facts.evidence.series_description, "MR")
    return own or labels_in(facts.evidence.protocol_name, "MR")


def _special(facts: SeriesFacts, words: frozenset[str]) -> SequenceType | None:
    """Types that a parameter or a word names outright."""
    values = frozenset(value for image_type in facts.image_types for value in image_type)
    if "ADC" in values or "ADC" in words:
        return SequenceType(Sequence.ADC, "Image Type or description says ADC")
    if any(value > 0 for value in facts.b_values):
        return SequenceType(Sequence.DWI, f"b-value {max(facts.b_values):g} s/mm²")
    if "DIFFUSION" in values or "DWI" in words or "ep_b" in facts.sequence_name.lower():
        return SequenceType(Sequence.DWI, "Image Type, sequence name or description says diffusion")
    if "FLAIR" in words:
        return SequenceType(Sequence.FLAIR, f"called {facts.evidence.series_description!r}")
    if words & {"OTHER", "T2STAR", "STIR", "MAP"}:
        return SequenceType(None, f"{facts.evidence.series_description!r} is none of the types that cards ask for")
    if "DCE" in words or (facts.temporal_positions or 0) > 2:
        return SequenceType(Sequence.DCE, "several time points or a dynamic description")
    return None


def _by_parameters(facts: SeriesFacts) -> SequenceType | None:
    """The weighting from echo, repetition and inversion time in ms; None where they are missing or unusual."""
    if not facts.echo_times or not facts.repetition_time:
        return None
    echo, repetition, inversion = min(facts.echo_times), facts.repetition_time, facts.inversion_time or 0.0
    told = f"TR {repetition:g} ms, TE {echo:g} ms" + (f", TI {inversion:g} ms" if inversion else "")
    gradient = "GR" in facts.scanning_sequence and "SE" not in facts.scanning_sequence
    sequence = _gradient_echo(echo, facts) if gradient else _spin_echo(echo, repetition, inversion)
    return SequenceType(sequence, told) if sequence else None


def _spin_echo(echo: float, repetition: float, inversion: float) -> Sequence | None:
    if inversion >= 1500 and echo >= 60:
        return Sequence.FLAIR
    if inversion:
        return None
    if echo <= 30 and repetition <= 1200:
        return Sequence.T1
    if echo <= 45 and repetition >= 1500:
        return Sequence.PD
    return Sequence.T2 if echo >= 60 and repetition >= 1500 else None


def _gradient_echo(echo: float, facts: SeriesFacts) -> Sequence | None:
    steady = "SS" in facts.sequence_variant and "SP" not in facts.sequence_variant
    return Sequence.T1 if echo <= 12 and not steady else None


def _of_words(facts: SeriesFacts, words: frozenset[str]) -> SequenceType:
    named = [label for label in ("T1", "T2", "PD") if label in words]
    if len(named) != 1:
        return SequenceType(None, "neither echo and repetition times nor words say which sequence it is")
    if named == ["T1"] and _has_agent(facts, words):
        return SequenceType(Sequence.T1C, f"called {facts.evidence.series_description!r}, after contrast")
    return SequenceType(Sequence(named[0]), f"called {facts.evidence.series_description!r}")


def _has_agent(facts: SeriesFacts, words: frozenset[str]) -> bool:
    if "PLAIN" in words and "CONTRAST" not in words:
        return False
    return "CONTRAST" in words or facts.contrast_agent.strip().upper() not in _NO_AGENT
