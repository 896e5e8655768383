"""What a network gives: segments, and classification heads."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from iodeep.card._base import CardPart, CodedTerm, Fraction, Line
from iodeep.card.network import TensorName
from iodeep.card.processing import Interpolation, Times

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
    includes: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = ()
    """Decoding ``nested``: numbers of the segments whose voxels are this one's too."""
    came_later: ClassVar[frozenset[str]] = frozenset({"includes"})
    rgb: tuple[Annotated[int, Field(ge=0, le=255)], ...] = Field(default=(255, 99, 71), min_length=3, max_length=3)
    """Recommended colour in sRGB, written as CIELab."""


class Restoration(CardPart):
    """Channels are brought back onto the source's voxels before they are decoded (nnU-Net); beyond a crop is background."""

    interpolation: Interpolation = Interpolation.LINEAR
    anisotropic: Times | None = None
    """As of the step ``resample_spacing``, on the way back."""


class SegmentationOutput(CardPart):
    """A voxel-wise output on the preprocessed grid."""

    tensor: TensorName = "output"
    activation: Activation = "none"
    activate: Literal["each", "mean", "restored"] = "each"
    """What is activated: each output of a network, their mean over windows, mirrorings and networks (MONAI), or that mean
    after its restoration (nnU-Net)."""
    decode: Literal["argmax", "threshold", "nested", "labels"]
    """argmax: the largest channel wins (channels of no segment are background). threshold: each channel on its own, so
    that segments may overlap. nested: as threshold, but a voxel goes to the last of the segments that claim it and to those
    that include that one (nnU-Net's regions). labels: the output already holds label values."""
    threshold: Fraction = 0.5
    restoration: Restoration | None = None
    """Left out, voxels are decoded on the network's grid, and labels brought back by the nearest voxel."""
    segments: Annotated[tuple[Segment, ...], Field(min_length=1, max_length=1024)]
    came_later: ClassVar[frozenset[str]] = frozenset({"activate", "restoration"})

    @model_validator(mode="after")
    def _segments_are_numbered(self) -> Self:
        numbers = [segment.number for segment in self.segments]
        if numbers != list(range(1, len(numbers) + 1)):
            raise ValueError(f"segments must be numbered 1, 2, 3 ... in order, found {numbers}")
        channels = [segment.channel for segment in self.segments]
        if len(set(channels)) != len(channels):
            raise ValueError("two segments share a channel")
        return self

    @model_validator(mode="after")
    def _options_agree(self) -> Self:
        if self.activate == "restored" and self.restoration is None:
            raise ValueError("activate: restored needs a restoration")
        if self.decode == "labels" and (self.restoration or self.activate != "each"):
            raise ValueError("an output that already holds labels has nothing to restore or activate")
        if self.decode == "nested" and self.restoration is None:
            raise ValueError("decode: nested needs a restoration")
        known = {segment.number for segment in self.segments}
        for segment in self.segments:
            if segment.includes and self.decode != "nested":
                raise ValueError("includes is for segments that are nested")
            if not set(segment.includes) <= known - {segment.number}:
                raise ValueError(f"segment {segment.number} includes one that the segmentation doesn't have")
        return self

    @property
    def overlapping(self) -> bool:
        """Whether a voxel may belong to several segments."""
        return self.decode in ("threshold", "nested") and len(self.segments) > 1


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
