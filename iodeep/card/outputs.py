"""What a network gives: segments, and classification heads."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from iodeep.card._base import CardPart, CodedTerm, Fraction, Line
from iodeep.card.network import TensorName

Activation = Literal["none", "softmax", "sigmoid"]


class Segment(CardPart):
    """One segment of the SEG (PS3.3 C.8.20.2): what it is, in coded terms, and how it is shown."""

    number: Annotated[int, Field(ge=1, le=65535)]
    """Segment Number; segments are numbered 1, 2, 3 ... in order."""
    channel: Annotated[int, Field(ge=0, le=65535)]
    """Output channel (sigmoid, softmax), or the value in the output where that holds labels."""
    label: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    category: CodedTerm
    """Segmented Property Category (CID 7150)."""
    type: CodedTerm
    """Segmented Property Type (CID 7151)."""
    type_modifiers: tuple[CodedTerm, ...] = ()
    regions: tuple[CodedTerm, ...] = ()
    """Anatomic regions of this segment, where they are not its type."""
    rgb: tuple[Annotated[int, Field(ge=0, le=255)], ...] = Field(default=(255, 99, 71), min_length=3, max_length=3)
    """Recommended colour in sRGB, written as CIELab."""


class SegmentationOutput(CardPart):
    """A voxel-wise output on the preprocessed grid."""

    tensor: TensorName = "output"
    activation: Activation = "none"
    decode: Literal["argmax", "threshold", "labels"]
    """argmax: the largest channel wins (channels of no segment are background). threshold: each channel on its own, so
    that segments may overlap. labels: the output already holds label values."""
    threshold: Fraction = 0.5
    segments: Annotated[tuple[Segment, ...], Field(min_length=1, max_length=1024)]

    @model_validator(mode="after")
    def _segments_are_numbered(self) -> Self:
        numbers = [segment.number for segment in self.segments]
        if numbers != list(range(1, len(numbers) + 1)):
            raise ValueError(f"segments must be numbered 1, 2, 3 ... in order, found {numbers}")
        channels = [segment.channel for segment in self.segments]
        if len(set(channels)) != len(channels):
            raise ValueError("two segments share a channel")
        return self

    @property
    def overlapping(self) -> bool:
        """Whether a voxel may belong to several segments."""
        return self.decode == "threshold" and len(self.segments) > 1


class FindingClass(CardPart):
    """One answer that a classification head can give; ``channel`` is its place in the output."""

    channel: Annotated[int, Field(ge=0)]
    code: CodedTerm
    threshold: Fraction | None = None
    """Sigmoid heads: reported as present at or above this."""


class ClassificationOutput(CardPart):
    """A head that gives one vector for the whole series: a coded finding and its classes."""

    tensor: TensorName
    name: Line
    finding: CodedTerm
    activation: Activation = "softmax"
    classes: Annotated[tuple[FindingClass, ...], Field(min_length=1, max_length=256)]
