"""What a DICOM file is to us, told from its header alone: the payload is never read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class ObjectKind(StrEnum):
    """What a file can be."""

    DESCRIPTOR = "descriptor"
    PART = "part"
    LEGACY = "legacy"
    OTHER = "other"


@dataclass(frozen=True)
class Recognised:
    """What a file is, and a sentence that says so."""

    kind: ObjectKind
    reason: str
    sop_instance_uid: str = ""
    study_instance_uid: str = ""
    manifest_sha256: str = ""


def recognise(path: Path) -> Recognised:
    """What ``path`` is; never raises for what is in the file."""
    raise NotImplementedError
