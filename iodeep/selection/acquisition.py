"""How a series was acquired: MR sequence type and CT contrast phase, from parameters first and words second.

A series that cannot be told is None: a model that asks for a type then refuses it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from iodeep.card import ContrastPhase, Sequence
from iodeep.selection.facts import SeriesFacts
from iodeep.selection.words import labels_in

_SHORTEST_T2_TE = 60.0
_LONGEST_PD_TE = 45.0
_LONGEST_T1_TE = 9.0
_LONGEST_DIXON_TE = 6.5
_LONGEST_DYNAMIC_TR = 15.0
"""Milliseconds, at 1.5 and 3 T."""
_OTHER_IMAGES = frozenset(
    {"P", "PHASE", "PHASE MAP", "PCA", "M_PCA", "VELOCITY MAP", "ASL", "FMRI", "T2_STAR", "SWI", "MNIP"}
    | {"FA", "COLFA", "EADC", "SUB", "SUBTRACT", "SUBTRACTION", "T1 MAP", "T2 MAP", "T2_STAR MAP", "R2 MAP"}
)
"""Image Type values (0008,0008) of phase, function, susceptibility, maps and differences."""
_NO_AGENT = frozenset({"", "NONE", "NO", "N", "NULL", "NIL", "KEINE", "SANS", "GEEN"})
_ANOTHER_WAY = re.compile(r"\b(ORAL\w*|P\.?O|PER OS|RECTAL\w*|GASTRO\w*|BARIUM|WATER|WASSER)\b")
_INTO_A_VEIN = re.compile(r"\b(I\.?V|INTRAVENOUS|INTRAVEN\w*)\b")


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
    called = f"it is called {facts.evidence.series_description!r}"
    if "FLAIR" in words and "T1" not in words:
        if weighting and weighting.sequence in {Sequence.T1, Sequence.PD}:
            return SequenceType(None, f"{weighting.because}, but {called}")
        return SequenceType(Sequence.FLAIR, called)
    if weighting is None:
        return _of_words(facts, words)
    named = words & {"T1", "T2", "PD"}
    if named and weighting.sequence and weighting.sequence.value not in named:
        return SequenceType(None, f"{weighting.because}, but {called}")
    if weighting.sequence is Sequence.T1 and _has_agent(facts, words):
        return SequenceType(Sequence.T1C, f"{weighting.because}, after contrast")
    return weighting


def phase_of(facts: SeriesFacts) -> Phase:
    """The CT contrast phase; ENHANCED where an agent was given and no words say when."""
    described = f"Series Description {facts.evidence.series_description!r}"
    own = labels_in(facts.evidence.series_description, facts.modality)
    if "BOTH" in own or own >= {"PLAIN", "ENHANCED"}:
        return Phase(None, f"{described} names images with and without")
    for label in ("ARTERIAL", "VENOUS", "DELAYED"):
        if label in own and "PLAIN" not in own:
            return Phase(ContrastPhase(label), described)
    agent = _agent(facts)
    if agent:
        if "PLAIN" in own:
            return Phase(None, f"an agent ({facts.contrast_agent}) is named, but the series is called plain")
        return Phase(ContrastPhase.ENHANCED, f"Contrast/Bolus Agent is {facts.contrast_agent!r}")
    if "PLAIN" in own:
        return Phase(ContrastPhase.NONE, described)
    if "ENHANCED" in own:
        return Phase(ContrastPhase.ENHANCED, described)
    if agent is None:
        return Phase(None, f"Contrast/Bolus Agent is {facts.contrast_agent!r}: not only into a vein, or not at all")
    return _phase_of_study(facts)


def _phase_of_study(facts: SeriesFacts) -> Phase:
    """A study that was done without an agent tells it of each series; one with an agent may hold others."""
    text = facts.evidence.study_description
    study = labels_in(text, facts.modality)
    cut_off = text.rstrip().endswith(("&", "+", "/", ","))
    if not cut_off and "PLAIN" in study and not study & {"ENHANCED", "BOTH", "ARTERIAL", "VENOUS", "DELAYED"}:
        return Phase(ContrastPhase.NONE, f"Study Description {text!r}")
    return Phase(None, "neither an agent nor words say whether contrast was given")


def _agent(facts: SeriesFacts) -> bool | None:
    """Whether an agent was given into a vein; None where Contrast/Bolus Agent names another way in."""
    text = facts.contrast_agent.strip().upper()
    if text in _NO_AGENT:
        return False
    if _ANOTHER_WAY.search(text):
        return True if _INTO_A_VEIN.search(text) else None
    return True


def _by_words(facts: SeriesFacts) -> frozenset[str]:
    own = labels_in(facts.evidence.series_description, "MR")
    return own or labels_in(facts.evidence.protocol_name, "MR")


def _special(facts: SeriesFacts, words: frozenset[str]) -> SequenceType | None:
    """Types that a parameter or a word names outright, and those that no card can ask for."""
    values = frozenset(value for image_type in facts.image_types for value in image_type)
    other = next(iter(sorted(values & _OTHER_IMAGES)), None)
    if other:
        return SequenceType(None, f"Image Type says {other}, none of the types that cards ask for")
    if facts.angiography:
        return SequenceType(None, "Angio Flag says angiography, none of the types that cards ask for")
    if "ADC" in values or "ADC" in words:
        return SequenceType(Sequence.ADC, "Image Type or description says ADC")
    if words & {"MAP", "SUBTRACTION"}:
        return _none_of_them(facts)
    if any(value > 0 for value in facts.b_values):
        return SequenceType(Sequence.DWI, f"b-value {max(facts.b_values):g} s/mm²")
    if "DIFFUSION" in values or "DWI" in words or "ep_b" in facts.sequence_name.lower():
        return SequenceType(Sequence.DWI, "Image Type, sequence name or description says diffusion")
    if words & {"OTHER", "T2STAR"} or ("STIR" in words and "FLAIR" not in words):
        return _none_of_them(facts)
    return _dynamic(facts, words)


def _none_of_them(facts: SeriesFacts) -> SequenceType:
    return SequenceType(None, f"{facts.evidence.series_description!r} is none of the types that cards ask for")


def _dynamic(facts: SeriesFacts, words: frozenset[str]) -> SequenceType | None:
    """Several time points: after contrast where a fast spoiled gradient echo took them, else perfusion, function or motion."""
    if (facts.temporal_positions or 0) > 2 and "EP" not in facts.scanning_sequence and _is_fast_t1(facts):
        return SequenceType(Sequence.DCE, f"{facts.temporal_positions} time points of a T1-weighted gradient echo")
    if "DCE" in words and "EP" not in facts.scanning_sequence:
        return SequenceType(Sequence.DCE, f"called {facts.evidence.series_description!r}")
    if (facts.temporal_positions or 0) > 2:
        return SequenceType(None, f"{facts.temporal_positions} time points, not of a T1-weighted gradient echo")
    return None


def _is_fast_t1(facts: SeriesFacts) -> bool:
    return (
        _is_gradient(facts)
        and 0 < (facts.repetition_time or 0) <= _LONGEST_DYNAMIC_TR
        and _gradient_echo(facts) is Sequence.T1
    )


def _is_gradient(facts: SeriesFacts) -> bool:
    return "GR" in facts.scanning_sequence and "SE" not in facts.scanning_sequence


def _by_parameters(facts: SeriesFacts) -> SequenceType | None:
    """The weighting from echo, repetition and inversion time in ms; None where they are missing or unusual.

    Echo planar and research sequences (EP, RM) tell nothing by their times: functional, perfusion and diffusion images
    have those of PD and T2. Nor does an inversion whose time is not given.
    """
    kinds = frozenset(facts.scanning_sequence)
    if not facts.echo_times or not facts.repetition_time or "EP" in kinds or (kinds and not kinds & {"SE", "GR", "IR"}):
        return None
    shortest, longest, inversion = min(facts.echo_times), max(facts.echo_times), facts.inversion_time or 0.0
    echoes = f"{shortest:g}" if shortest == longest else f"{shortest:g}-{longest:g}"
    told = f"TR {facts.repetition_time:g} ms, TE {echoes} ms" + (f", TI {inversion:g} ms" if inversion else "")
    if _is_gradient(facts):
        sequence = _gradient_echo(facts)
        return SequenceType(sequence, told) if sequence else None
    if "IR" in kinds and not inversion:
        return None
    if shortest <= _LONGEST_PD_TE < _SHORTEST_T2_TE <= longest:
        return SequenceType(None, f"{told}: several weightings in one series")
    sequence = _spin_echo(shortest, facts.repetition_time, inversion, facts.echo_train_length or 1, known=bool(kinds))
    return SequenceType(sequence, told) if sequence else None


def _spin_echo(echo: float, repetition: float, inversion: float, train: float, *, known: bool) -> Sequence | None:
    """``known``: Scanning Sequence says that it is one; without it, what a gradient echo could be is not told."""
    if inversion:
        return _inversion(echo, repetition, inversion)
    if echo <= (30 if known else 15) and (0 if known else 300) <= repetition <= 1200:
        return Sequence.T1
    if echo <= _LONGEST_PD_TE and repetition >= 1500:
        return Sequence.PD if known or train > 2 else None
    long_enough = repetition >= 1500 or (train >= 60 and repetition >= 700)
    return Sequence.T2 if echo >= _SHORTEST_T2_TE and long_enough else None


def _inversion(echo: float, repetition: float, inversion: float) -> Sequence | None:
    """Late inversion suppresses fluid, the middle one gives T1 (T1 FLAIR), early inversion suppresses fat."""
    if inversion >= 1500 and echo >= _SHORTEST_T2_TE:
        return Sequence.FLAIR
    return Sequence.T1 if 400 <= inversion <= 1300 and echo <= 40 and 1200 <= repetition <= 4000 else None


def _gradient_echo(facts: SeriesFacts) -> Sequence | None:
    """T1 where it is spoiled, short and not one of many echoes, as susceptibility images and field maps are."""
    steady = "SS" in facts.sequence_variant and "SP" not in facts.sequence_variant
    longest = _LONGEST_T1_TE if len(facts.echo_times) == 1 else _LONGEST_DIXON_TE
    prepared = bool(facts.inversion_time) or "IR" in facts.scanning_sequence
    short = max(facts.echo_times, default=math.inf) <= longest and (prepared or (facts.repetition_time or 0) <= 300)
    return Sequence.T1 if short and not steady else None


def _of_words(facts: SeriesFacts, words: frozenset[str]) -> SequenceType:
    named = [label for label in ("T1", "T2", "PD") if label in words]
    if _is_gradient(facts) and named != ["T1"]:
        return SequenceType(None, "a gradient echo that is not T1-weighted is none of the types that cards ask for")
    if len(named) != 1:
        return SequenceType(None, "neither echo and repetition times nor words say which sequence it is")
    if named == ["T1"] and _has_agent(facts, words):
        return SequenceType(Sequence.T1C, f"called {facts.evidence.series_description!r}, after contrast")
    return SequenceType(Sequence(named[0]), f"called {facts.evidence.series_description!r}")


def _has_agent(facts: SeriesFacts, words: frozenset[str]) -> bool:
    if "PLAIN" in words and "CONTRAST" not in words:
        return False
    return "CONTRAST" in words or bool(_agent(facts))
