"""What a DICOM file is to us, told from its header alone: the payload is never read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from iodeep.errors import IODeepError
from iodeep.model_object import private_block as block
from iodeep.model_object.dicom_file import read_header
from iodeep.model_object.legacy import SOP_INSTANCE_UID, STUDY_INSTANCE_UID, find_legacy


class ObjectKind(StrEnum):
    """What a file can be."""

    DESCRIPTOR = "descriptor"
    PART = "part"
    SIGNATURE = "signature"
    SITE_DOCUMENT = "site document"
    LEGACY = "legacy"
    OTHER = "other"


@dataclass(frozen=True)
class Recognised:
    """What a file is, and a sentence that says so. The UIDs are as the file says, unchecked."""

    kind: ObjectKind
    reason: str
    sop_instance_uid: str = ""
    study_instance_uid: str = ""
    manifest_sha256: str = ""


def recognise(path: Path) -> Recognised:
    """What ``path`` is; whatever is in the file, the answer is a sentence and not an error."""
    try:
        legacy = find_legacy(path)
        if legacy is not None:
            reason = "A network in the published prior art's format: explained, never run."
            return Recognised(ObjectKind.LEGACY, reason, legacy.text(SOP_INSTANCE_UID), legacy.text(STUDY_INSTANCE_UID))
        header = read_header(path)
        kind, reason = _kind(
            manifest=block.raw_value(header.dataset, block.MANIFEST) is not None,
            index=block.text_value(header.dataset, block.PART_INDEX),
            file=block.text_value(header.dataset, block.FILE_NAME),
            statement=block.raw_value(header.dataset, block.STATEMENT) is not None,
            document=block.raw_value(header.dataset, block.DOCUMENT) is not None,
        )
    except IODeepError as error:
        return Recognised(ObjectKind.OTHER, str(error))
    return Recognised(
        kind,
        reason,
        header.text("SOPInstanceUID"),
        header.text("StudyInstanceUID"),
        block.text_value(header.dataset, block.MANIFEST_SHA256) or "",
    )


def _kind(
    *, manifest: bool, index: str | None, file: str | None, statement: bool, document: bool
) -> tuple[ObjectKind, str]:
    if manifest:
        return ObjectKind.DESCRIPTOR, "The descriptor of a model."
    if index is not None:
        return ObjectKind.PART, f"Part {index} of {file or 'a payload file'} of a model."
    if statement:
        return ObjectKind.SIGNATURE, "A signature of a model."
    if document:
        return (
            ObjectKind.SITE_DOCUMENT,
            "What a site signed: a record of a model's state, or a list of what is revoked.",
        )
    return ObjectKind.OTHER, f"A DICOM object without the private block {block.CREATOR!r} of a model."
