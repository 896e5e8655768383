"""What a network eats: one or several image series, and which of them it may be given."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from iodeep.card._base import CardPart, Range


class Sequence(StrEnum):
    """MR sequence types that a card can ask for."""

    ANY = "ANY"
    T1 = "T1"
    T1C = "T1C"
    T2 = "T2"
    FLAIR = "FLAIR"
    PD = "PD"
    DWI = "DWI"
    ADC = "ADC"
    DCE = "DCE"


class ContrastPhase(StrEnum):
    """CT contrast phases that a card can ask for."""

    ANY = "ANY"
    NONE = "NONE"
    ENHANCED = "ENHANCED"
    ARTERIAL = "ARTERIAL"
    VENOUS = "VENOUS"
    DELAYED = "DELAYED"


class SlicePlane(StrEnum):
    """The plane of the slices, by the axis nearest to their normal; OBLIQUE where it is over 25 degrees off all."""

    AXIAL = "AXIAL"
    CORONAL = "CORONAL"
    SAGITTAL = "SAGITTAL"
    OBLIQUE = "OBLIQUE"


class Eligibility(CardPart):
    """What a series must be like; whatever is left out is not asked for. Lengths in mm."""

    slice_count: Range = Range()
    slice_spacing_mm: Range = Range()
    pixel_spacing_mm: Range = Range()
    coverage_mm: Range = Range()
    """Extent along the slice normal."""
    planes: tuple[SlicePlane, ...] = tuple(SlicePlane)
    image_type_required: tuple[str, ...] = ()
    """Values that Image Type (0008,0008) must hold."""
    image_type_forbidden: tuple[str, ...] = ()
    """Values that it must not hold. Localizers are never eligible."""
    derived: bool = False
    """Whether derived images (Image Type value 1 DERIVED) may be given."""


InputName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


class NetworkInput(CardPart):
    """One series that the network needs. Several inputs are resampled onto the first one's grid."""

    name: InputName
    modality: Literal["CR", "CT", "DX", "MG", "MR", "NM", "PT", "US", "XA"]
    sequences: Annotated[tuple[Sequence, ...], Field(min_length=1)] = (Sequence.ANY,)
    phases: Annotated[tuple[ContrastPhase, ...], Field(min_length=1)] = (ContrastPhase.ANY,)
    eligibility: Eligibility = Eligibility()
