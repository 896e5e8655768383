"""A signature as an instance of its own, in a series of its own of the model's study (kind 3).

A signature is given after the descriptor was written, often after it was stored, and a SOP Instance UID never names two
things: so a signature is added beside the model, never into it, and any number of people can add theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydicom.uid import generate_uid

from iodeep.errors import ObjectError, is_plain, plain
from iodeep.model_object import private_block as block
from iodeep.model_object.attributes import SIGNATURE_KIND, put_private_header, release_document_attributes
from iodeep.model_object.dicom_file import read_header
from iodeep.model_object.manifest import Manifest
from iodeep.model_object.write import write_instance

MOST_SIGNATURE_BYTES = 1 << 20
MOST_SIGNATURES = 32
"""Of one model that are read; nobody has so many regulators."""


@dataclass(frozen=True)
class Signature:
    """What is signed, the signature over exactly these bytes, and which type and key it says it is of; nothing is checked."""

    statement: bytes
    value: bytes
    type_and_key: str
    """Such as ``ED25519 0123...``: the type of signature and the key's identifier."""
    where: str = ""
    """The instance that carries it, as messages name it."""
    timestamp: bytes = b""
    """A TimeStampToken over the value (RFC 3161 2.4.2), where there is one."""


def is_signature_series(series_number: str) -> bool:
    """Whether a Series Number (0020,0011) is that of a signature."""
    return series_number.isascii() and series_number.isdigit() and int(series_number) // 1_000_000 == SIGNATURE_KIND


def write_signature(folder: Path, manifest: Manifest, sha256: str, signature: Signature, signed_at: datetime) -> Path:
    """The signature of the model with this manifest as a DICOM file, with UIDs of its own."""
    dataset = release_document_attributes(manifest, SIGNATURE_KIND, signed_at)
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = generate_uid(prefix=None), generate_uid(prefix=None)
    dataset.InstanceNumber = 1
    put_private_header(dataset, sha256)
    block.put(dataset, block.SIGNATURE, signature.value)
    block.put(dataset, block.SIGNATURE_KEY, signature.type_and_key)
    block.put(dataset, block.STATEMENT, signature.statement)
    if signature.timestamp:
        block.put(dataset, block.TIMESTAMP, signature.timestamp)
    return write_instance(folder / f"signature-{dataset.SOPInstanceUID}.dcm", dataset)


def read_signature(path: Path) -> Signature:
    """What a signature's instance carries; ObjectError where the file is something else. Nothing is believed yet."""
    header = read_header(path)
    statement = block.raw_value(header.dataset, block.STATEMENT)
    value = block.raw_value(header.dataset, block.SIGNATURE)
    key = block.text_value(header.dataset, block.SIGNATURE_KEY)
    stamp = block.raw_value(header.dataset, block.TIMESTAMP) or b""
    if (
        not statement
        or not value
        or not key
        or not is_plain(key)
        or len(statement) + len(value) + len(stamp) > MOST_SIGNATURE_BYTES
    ):
        raise ObjectError(
            f"{path.name} is not the signature of a model",
            expected=f"a statement and its signature in the private block {block.CREATOR!r}",
            remedy="The archive dropped private elements, or the file was altered: have the model signed again.",
        )
    return Signature(statement.rstrip(b"\0"), value, key, plain(f"signature {header.text('SOPInstanceUID')}"), stamp)
