"""The card: what a network is for, eats, gives, and may claim. The one document that selection and inference read."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from iodeep.card._base import CardPart, CodedTerm, Fraction, Line, Text
from iodeep.card.inputs import NetworkInput
from iodeep.card.network import Network
from iodeep.card.outputs import ClassificationOutput, SegmentationOutput
from iodeep.card.processing import Postprocessing, Preprocessing
from iodeep.terms import AnatomicRegion, anatomic_regions

Token = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9-]{1,16}$")]
UID = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)+$", max_length=64)]


class Version(CardPart):
    """Semantic version; each number below 100 because Series Number carries it as MMmmpp."""

    major: Annotated[int, Field(ge=0, le=99)]
    minor: Annotated[int, Field(ge=0, le=99)]
    patch: Annotated[int, Field(ge=0, le=99)]

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        numbers = value.split(".")
        if len(numbers) != 3 or not all(number.isascii() and number.isdigit() for number in numbers):
            raise ValueError('must be three numbers such as "1.2.0"')
        return dict(zip(("major", "minor", "patch"), map(int, numbers), strict=True))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @property
    def number(self) -> int:
        """MMmmpp, which orders releases."""
        return self.major * 10_000 + self.minor * 100 + self.patch


class Laterality(StrEnum):
    """Side of a paired structure (0020,0060)."""

    LEFT = "L"
    RIGHT = "R"
    BOTH = "B"


class Target(CardPart):
    """Where in the body, and what for: the tokens by which C-FIND narrows a search."""

    regions: Annotated[tuple[str, ...], Field(min_length=1)]
    """Body Part Examined defined terms (PS3.16 Annex L) that the network was made for."""
    laterality: Laterality | None = None
    conditions: tuple[CodedTerm, ...] = ()
    """Diseases that it is about (SNOMED CT); none where it is about anatomy."""
    condition_token: Token | None = None
    """Short name of the condition for Patient ID, such as GLIOMA; left out, ANY."""

    @model_validator(mode="after")
    def _regions_are_defined_terms(self) -> Self:
        unknown = [term for term in self.regions if term not in anatomic_regions()]
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: not a Body Part Examined defined term of PS3.16 Annex L")
        if self.condition_token and not self.conditions:
            raise ValueError("condition_token needs conditions")
        return self

    @property
    def anatomy(self) -> tuple[AnatomicRegion, ...]:
        """The regions with their codes."""
        return tuple(anatomic_regions()[term] for term in self.regions)


class Organisation(CardPart):
    """Who made the model and answers for it."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    contact: Line
    url: Line | None = None


class Licence(CardPart):
    """Under what terms it may be used: an SPDX identifier, or a name and the text."""

    spdx: Line
    source: Line
    """Where the network was published."""
    text: Text | None = None


class IntendedUse(CardPart):
    """What it is for, and what it must not be used for; shown before a first run and with each result."""

    purpose: Text
    users: Line = "Radiologists and researchers"
    limits: Annotated[tuple[Line, ...], Field(min_length=1)]


class TrainingData(CardPart):
    """What it learned from."""

    description: Text
    cases: Annotated[int, Field(ge=1)] | None = None


class Performance(CardPart):
    """One measured figure with the test set that it was measured on."""

    metric: Line
    value: float
    low: float | None = None
    high: float | None = None
    """Ends of the 95 % confidence interval."""
    test_set: Line
    cases: Annotated[int, Field(ge=1)]
    source: Line | None = None


class SelfTestTolerance(CardPart):
    """How far a site's result of the self-test may be from the recorded one."""

    minimum_dice: Fraction = 0.99
    maximum_probability_difference: Fraction = 0.02


class ModelCard(CardPart):
    """A released model. Frozen; a change is a new version."""

    schema_version: Literal["1"] = "1"
    name: Annotated[str, StringConstraints(pattern=r"^[^\\^=]+$", min_length=1, max_length=48)]
    token: Token
    """Short name for Patient ID, such as BRAINMASK."""
    version: Version
    released: date
    summary: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    qualification: Literal["RESEARCH", "PRODUCT", "SERVICE"]
    """Content Qualification (0018,9004)."""
    developer: Organisation
    licence: Licence
    intended_use: IntendedUse
    target: Target
    inputs: Annotated[tuple[NetworkInput, ...], Field(min_length=1, max_length=16)]
    preprocessing: tuple[Preprocessing, ...] = ()
    network: Network
    segmentation: SegmentationOutput | None = None
    classifications: tuple[ClassificationOutput, ...] = ()
    postprocessing: tuple[Postprocessing, ...] = ()
    training: TrainingData
    performance: tuple[Performance, ...] = ()
    parents: tuple[UID, ...] = ()
    """Device UIDs of the versions that this one was made from."""
    self_test: SelfTestTolerance = SelfTestTolerance()

    @model_validator(mode="after")
    def _gives_something(self) -> Self:
        if self.segmentation is None and not self.classifications:
            raise ValueError("needs a segmentation, classifications, or both")
        names = [network_input.name for network_input in self.inputs]
        if len(set(names)) != len(names):
            raise ValueError("two inputs share a name")
        known = {segment.number for segment in self.segmentation.segments} if self.segmentation else set()
        for number, each in enumerate(self.preprocessing):
            if max(getattr(each, "channels", ()), default=0) >= len(self.inputs):
                raise ValueError(f"preprocessing.{number}.channels names an input that the card doesn't have")
        for step in self.postprocessing:
            if not set(step.segments) <= known:
                raise ValueError(f"postprocessing {step.step} names a segment that the segmentation doesn't have")
        return self

    @property
    def modality(self) -> str:
        """The modality of the inputs, or MULTI where they differ."""
        modalities = {network_input.modality for network_input in self.inputs}
        return modalities.pop() if len(modalities) == 1 else "MULTI"

    @property
    def patient_id(self) -> str:
        """Patient ID (0010,0020): ``AIM1.<MODALITY>.<BODYPART>.<CONDITION>.<MODEL>``."""
        region = self.target.regions[0] if len(self.target.regions) == 1 else "MULTI"
        condition = self.target.condition_token or ("MULTI" if self.target.conditions else "ANY")
        return f"AIM1.{self.modality}.{region}.{condition}.{self.token}"
