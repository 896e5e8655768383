"""What a decision says: each criterion's outcome in a sentence, the model chosen, or the refusal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from iodeep.anatomy import AnatomyAnswer
from iodeep.selection.candidate import Candidate, UnusableModel


@dataclass(frozen=True)
class Outcome:
    """One hard requirement: whether it holds, and why, in a sentence for a radiographer."""

    criterion: str
    passed: bool
    sentence: str
    open: bool = False
    """Passed for now: what it asks for can only be known once the images are read."""


@dataclass(frozen=True)
class Point:
    """One ranking criterion: larger is better; compared in order, so a later one only breaks ties."""

    criterion: str
    value: float
    sentence: str


@dataclass(frozen=True)
class Judged:
    """A candidate with everything that was found for and against it."""

    candidate: Candidate | UnusableModel
    outcomes: tuple[Outcome, ...]
    points: tuple[Point, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    """The model's input name -> Series Instance UID that it would be given."""
    also_fitting: tuple[str, ...] = ()
    """Other series asked about that would fit its one input as well, as they are called."""
    fits: bool = field(init=False)
    """Whether every hard requirement holds."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "fits", False not in [outcome.passed for outcome in self.outcomes])

    @property
    def reasons_against(self) -> tuple[str, ...]:
        """The sentences of the requirements that don't hold."""
        return tuple(outcome.sentence for outcome in self.outcomes if not outcome.passed)

    def as_document(self) -> dict[str, Any]:
        """For ``--json`` and for the record beside a result."""
        return {
            "model": self.candidate.name,
            "uid": self.candidate.uid,
            "where": self.candidate.where,
            "fits": self.fits,
            "inputs": dict(self.inputs),
            "requirements": [
                {"criterion": o.criterion, "passed": o.passed, "open": o.open, "sentence": o.sentence}
                for o in self.outcomes
            ],
            "ranking": [{"criterion": p.criterion, "value": p.value, "sentence": p.sentence} for p in self.points],
        }


@dataclass(frozen=True)
class Decision:
    """The answer for a series or study: a model and why, or a refusal and why. Equal inputs give equal decisions."""

    series: tuple[str, ...]
    """How the series asked about are called."""
    anatomy: AnatomyAnswer
    candidates: tuple[Judged, ...]
    """Every candidate; those that fit first, best first, then the others by name."""
    chosen: Candidate | None
    inputs: Mapping[str, str]
    """The chosen model's input name -> Series Instance UID."""
    refusal: str
    """A sentence; empty where a model was chosen."""
    refused_for: str = ""
    """The refusal's cause in a word or two, for tables; see :mod:`iodeep.selection.refusal`."""
    notes: tuple[str, ...] = ()
    """What a reader should know besides: contradictions, borrowed evidence, site rules that applied."""

    @property
    def also_fits(self) -> tuple[Candidate, ...]:
        """Other candidates that meet every requirement, best first."""
        return tuple(
            judged.candidate
            for judged in self.candidates
            if judged.fits and isinstance(judged.candidate, Candidate) and judged.candidate is not self.chosen
        )

    @property
    def open_questions(self) -> tuple[str, ...]:
        """What has to be known before the chosen model may run; empty where the images have been read."""
        return tuple(
            outcome.sentence
            for judged in self.candidates
            if judged.candidate is self.chosen
            for outcome in judged.outcomes
            if outcome.open
        )

    def as_document(self) -> dict[str, Any]:
        """The decision as JSON values, as printed by ``--json`` and stored with the result."""
        return {
            "series": list(self.series),
            "anatomy": self.anatomy.as_document(),
            "chosen": self.chosen.name if self.chosen else None,
            "chosen_uid": self.chosen.uid if self.chosen else None,
            "inputs": dict(self.inputs),
            "refusal": self.refusal or None,
            "refused_for": self.refused_for or None,
            "open_questions": list(self.open_questions),
            "notes": list(self.notes),
            "candidates": [judged.as_document() for judged in self.candidates],
        }
