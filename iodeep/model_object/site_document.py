"""A site's signed JSON document as an instance of its own: a record of a model's state (kind 4), a list of what is revoked (kind 5).

One that is about a release lies in that release's study; one about the whole site lies in a study of its own, of the
pseudo-patient ``AIMSITE.<TYPE>``, which is no model's. The same document always gives the same instance, so that storing
it twice stores it once. What is read is believed by nobody until its signature was checked.

:func:`write_site_document` and :func:`read_site_document`; :func:`site_series` says where the documents of a key are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path

from pydicom.dataset import Dataset

from iodeep.errors import ObjectError
from iodeep.model_object import private_block as block
from iodeep.model_object.attributes import release_document_attributes, site_document_attributes
from iodeep.model_object.dicom_file import read_header
from iodeep.model_object.manifest import Manifest
from iodeep.model_object.write import write_instance
from iodeep.ports import Wanted
from iodeep.terms.uids import SCHEMA_UID, deterministic_uid

MOST_DOCUMENT_BYTES = 16 << 20


class DocumentType(Enum):
    """What a document is: its word in (0099,xx19), and its kind in the Series Number."""

    STATE = ("STATE", 4)
    """A change of a model's state."""
    REVOCATIONS = ("REVOCATIONS", 5)
    """What is withdrawn."""

    def __init__(self, word: str, kind: int) -> None:
        self.word = word
        self.kind = kind


@dataclass(frozen=True)
class SiteDocument:
    """What is signed, the signature over exactly these bytes, and by which type and key it says; nothing is checked."""

    type: DocumentType
    content: bytes
    """Canonical JSON, UTF-8."""
    value: bytes
    type_and_key: str
    """Such as ``ED25519 0123...``."""
    where: str = ""
    """The instance that carries it, as messages name it."""

    @property
    def sop_instance_uid(self) -> str:
        """Of the instance that carries it."""
        digests = (hashlib.sha256(each).hexdigest() for each in (self.content, self.value))
        return deterministic_uid("site document", self.type.word, *digests)


def site_series(kind: DocumentType, type_and_key: str, study: str = "") -> Wanted:
    """The series of a key's documents of one type, in a release's study, or in the site's own where ``study`` is empty."""
    study = study or deterministic_uid("site documents", kind.word, type_and_key)
    return Wanted(study, deterministic_uid("site series", kind.word, type_and_key, study))


def write_site_document(
    folder: Path, document: SiteDocument, number: int, made_at: datetime, of: Manifest | None = None, sha256: str = ""
) -> Path:
    """The document as a DICOM file. ``number``: its Instance Number. ``of``, ``sha256``: the release that it is about, if one."""
    series = site_series(document.type, document.type_and_key, of.study_instance_uid if of else "")
    dataset = (
        release_document_attributes(of, document.type.kind, made_at)
        if of
        else site_document_attributes(document.type.word, document.type.kind, made_at)
    )
    dataset.SOPInstanceUID = document.sop_instance_uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = series.study, series.series
    dataset.InstanceNumber = number
    _put_document(dataset, document, sha256)
    return write_instance(folder / f"{document.type.word.lower()}-{document.sop_instance_uid}.dcm", dataset)


def read_site_document(path: Path) -> SiteDocument:
    """What a document's instance carries; ObjectError where the file is something else. Nothing is believed yet."""
    header = read_header(path)
    word = block.text_value(header.dataset, block.DOCUMENT_TYPE)
    content = block.raw_value(header.dataset, block.DOCUMENT)
    value = block.raw_value(header.dataset, block.SIGNATURE)
    key = block.text_value(header.dataset, block.SIGNATURE_KEY)
    kind = next((each for each in DocumentType if each.word == word), None)
    if kind is None or not content or not value or not key or len(content) + len(value) > MOST_DOCUMENT_BYTES:
        raise ObjectError(
            f"{path.name} is not a signed document of a site",
            expected=f"a document and its signature in the private block {block.CREATOR!r}",
            remedy="The archive dropped private elements, or the file was altered: store the document again.",
        )
    where = f"document {header.text('SOPInstanceUID')}"
    return SiteDocument(kind, content.rstrip(b"\0"), value, key, where)


def _put_document(dataset: Dataset, document: SiteDocument, manifest_sha256: str) -> None:
    block.reserve_block(dataset, block.HEADER_GROUP)
    block.put(dataset, block.SCHEMA, SCHEMA_UID)
    if manifest_sha256:
        block.put(dataset, block.MANIFEST_SHA256, manifest_sha256)
    block.put(dataset, block.SIGNATURE, document.value)
    block.put(dataset, block.SIGNATURE_KEY, document.type_and_key)
    block.put(dataset, block.DOCUMENT, document.content)
    block.put(dataset, block.DOCUMENT_TYPE, document.type.word)
