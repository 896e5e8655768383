"""What selection reads of a card, and nothing else: so much of it is enough to decide, and quick to read back.

Models that ask for the same share one :class:`Need`, which is then judged once for a series.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from iodeep.card import ContrastPhase, Laterality, ModelCard, NetworkInput, Range, Sequence, SlicePlane


@dataclass(frozen=True, eq=False)
class InputNeed:
    """What one input asks of its series; lengths in mm. The names are the card's."""

    name: str
    modality: str
    sequences: tuple[Sequence, ...]
    phases: tuple[ContrastPhase, ...]
    slice_count: Range
    slice_spacing_mm: Range
    pixel_spacing_mm: Range
    coverage_mm: Range
    planes: tuple[SlicePlane, ...]
    image_type_required: tuple[str, ...]
    image_type_forbidden: tuple[str, ...]
    derived: bool

    @cached_property
    def special(self) -> bool:
        """Whether it was made for certain sequences or phases only."""
        return Sequence.ANY not in self.sequences or ContrastPhase.ANY not in self.phases


@dataclass(frozen=True, eq=False)
class Need:
    """What a model is for and asks for. Compared by identity: who wants equal ones to be one shares them."""

    regions: tuple[str, ...]
    laterality: Laterality | None
    conditions: tuple[tuple[str, str], ...]
    """Code value and meaning of each disease."""
    condition_token: str
    inputs: tuple[InputNeed, ...]

    @cached_property
    def made_for(self) -> str:
        """The regions, for sentences."""
        return ", ".join(self.regions)

    @cached_property
    def modalities(self) -> frozenset[str]:
        """Of the inputs."""
        return frozenset(wanted.modality for wanted in self.inputs)


@dataclass(frozen=True, eq=False)
class Profile:
    """A model as selection sees it."""

    name: str
    token: str
    version: str
    number: int
    """The version as MMmmpp, which orders releases."""
    cases: int
    """Test cases that the card reports, over all its figures."""
    need: Need


def profile_of(card: ModelCard) -> Profile:
    """The profile of a card."""
    target = card.target
    return Profile(
        name=card.name,
        token=card.token,
        version=str(card.version),
        number=card.version.number,
        cases=sum(figure.cases for figure in card.performance),
        need=Need(
            regions=target.regions,
            laterality=target.laterality,
            conditions=tuple((term.value, term.meaning) for term in target.conditions),
            condition_token=target.condition_token or "",
            inputs=tuple(map(_input_need, card.inputs)),
        ),
    )


def _input_need(wanted: NetworkInput) -> InputNeed:
    asked = wanted.eligibility
    return InputNeed(
        name=wanted.name,
        modality=wanted.modality,
        sequences=wanted.sequences,
        phases=wanted.phases,
        slice_count=asked.slice_count,
        slice_spacing_mm=asked.slice_spacing_mm,
        pixel_spacing_mm=asked.pixel_spacing_mm,
        coverage_mm=asked.coverage_mm,
        planes=asked.planes,
        image_type_required=asked.image_type_required,
        image_type_forbidden=asked.image_type_forbidden,
        derived=asked.derived,
    )
