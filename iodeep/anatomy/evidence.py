"""The attributes in which a series may say what part of the body it shows, and which of them a word was found in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from iodeep.terms import Code


class Attribute(StrEnum):
    """Where a word was found; the values are the names that people see."""

    ANATOMIC_REGION = "Anatomic Region Sequence"
    BODY_PART = "Body Part Examined"
    PROCEDURE_CODE = "Procedure Code Sequence"
    PROCEDURE = "Procedure Description"
    PROTOCOL = "Protocol Name"
    STUDY = "Study Description"
    SERIES = "Series Description"
    MODALITY = "Modality"
    OTHER_SERIES = "other series of the study"


@dataclass(frozen=True)
class AnatomicEvidence:
    """What one series says; empty where it says nothing."""

    modality: str = ""
    anatomic_regions: tuple[Code, ...] = ()
    body_part_examined: str = ""
    laterality: str = ""
    procedure_codes: tuple[Code, ...] = ()
    procedure_descriptions: tuple[str, ...] = ()
    protocol_name: str = ""
    study_description: str = ""
    series_description: str = ""
    sop_class_uid: str = ""
