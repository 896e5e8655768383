"""The three encodings of a segmentation and what an archive has to take for each (PS3.3 A.51, PS3.4 Annex B)."""

from __future__ import annotations

from enum import StrEnum

SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"
COMPREHENSIVE_3D_SR_STORAGE = "1.2.840.10008.5.1.4.1.1.88.34"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


class SegKind(StrEnum):
    """Segmentation Type (0062,0001)."""

    BINARY = "BINARY"
    FRACTIONAL = "FRACTIONAL"
    LABELMAP = "LABELMAP"


def segmentation_sop_class(kind: SegKind) -> str:
    """The SOP class that an archive must accept, as Explicit VR Little Endian, to be sent a ``kind``."""
    return LABEL_MAP_SEGMENTATION_STORAGE if kind is SegKind.LABELMAP else SEGMENTATION_STORAGE


def sop_classes_to_propose(kind: SegKind) -> tuple[str, ...]:
    """Every SOP class of a result with a segmentation of ``kind``, with the fallback's: propose them all at once."""
    return (*dict.fromkeys((segmentation_sop_class(kind), SEGMENTATION_STORAGE)), COMPREHENSIVE_3D_SR_STORAGE)


def accepted_kind(wanted: SegKind, accepted_sop_classes: frozenset[str], *, overlapping: bool = False) -> SegKind:
    """``wanted`` where the archive takes it and it can hold the segments, else BINARY, which holds any segments."""
    if wanted is SegKind.LABELMAP and overlapping:
        return SegKind.BINARY
    return wanted if segmentation_sop_class(wanted) in accepted_sop_classes else SegKind.BINARY
