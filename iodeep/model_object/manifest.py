"""The manifest: one canonical JSON document that names everything that selection and execution read.

Canonical: keys sorted, no spaces, UTF-8, no NaN, each key once. What is not in the manifest is not trusted, so a digest
of the manifest (and, once there is one, a signature over it) pins the whole model: card, UIDs, tokens, every part's
UID, length and digest, the self-test.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from iodeep.card import ModelCard, card_document, card_of_document
from iodeep.errors import CardError, ObjectError
from iodeep.model_object.identity import ModelIdentity
from iodeep.terms.uids import SCHEMA_UID

MAX_MANIFEST_BYTES = 16 << 20
MAX_PARTS = 50_000
MAX_PAYLOAD_BYTES = 1 << 44

UID = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)+$", max_length=64)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Bytes = Annotated[int, Field(ge=1, le=MAX_PAYLOAD_BYTES)]


class Role(StrEnum):
    """What a payload file is for: the lists of the card's network that it is named in."""

    NETWORK = "network"
    EXTERNAL_DATA = "external_data"
    TRAINABLE = "trainable"


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Series(_Closed):
    """Series Instance UIDs of the release; a kind that has no part has no series."""

    descriptor: UID
    networks: UID
    trainable: UID | None = None


class Device(_Closed):
    """The model as a device: this version (0018,1002) and its family (0018,100B)."""

    device_uid: UID
    device_class_uid: UID


class PayloadFile(_Closed):
    """One file of the model, whole."""

    name: FileName
    role: Annotated[Role, Field(strict=False)]
    length: Bytes
    sha256: Sha256


class PartEntry(_Closed):
    """One part of one file: the instance that carries it, and what its bytes must be."""

    sop_instance_uid: UID
    series_instance_uid: UID
    instance_number: Annotated[int, Field(ge=1, le=MAX_PARTS)]
    """Number within the series (0020,0013)."""
    file: FileName
    index: Annotated[int, Field(ge=1, le=MAX_PARTS)]
    """Place within the file, from 1."""
    count: Annotated[int, Field(ge=1, le=MAX_PARTS)]
    """How many parts the file has."""
    length: Annotated[int, Field(ge=1, le=0xFFFF_FFFE)]
    """Bytes, without the padding to even length."""
    sha256: Sha256

    def __str__(self) -> str:
        return f"part {self.index} of {self.count} of {self.file}"


class SelfTestEntry(_Closed):
    """Length and digest of the encoded self-test."""

    length: Annotated[int, Field(ge=1)]
    sha256: Sha256


class Packer(_Closed):
    """The software that packed the model."""

    name: str
    version: str
    creator_version_uid: UID


class Manifest(_Closed):
    """Everything about one packed release."""

    schema_uid: UID = SCHEMA_UID
    packed_at: Annotated[datetime, Field(strict=False)]
    packer: Packer
    card: Annotated[ModelCard, Field(strict=False)]
    patient_id: str
    study_instance_uid: UID
    sop_instance_uid: UID
    """Of the descriptor."""
    series: Series
    device: Device
    parents: tuple[UID, ...] = Field(strict=False)
    files: Annotated[tuple[PayloadFile, ...], Field(strict=False, min_length=1, max_length=128)]
    parts: Annotated[tuple[PartEntry, ...], Field(strict=False, min_length=1, max_length=MAX_PARTS)]
    self_test: SelfTestEntry | None
    packed_despite: Annotated[str, StringConstraints(min_length=1, max_length=2000)] | None = None
    """What the packer's search for patients' data found and somebody answered for; left out where there was nothing."""
    imported: Annotated[str, StringConstraints(min_length=1, max_length=8000)] | None = None
    """Of a network of another framework: which, and how near its result is to that framework's own; left out of others."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        _need(self.schema_uid == SCHEMA_UID, "schema_uid is not the one that this software reads")
        _need(self.patient_id == self.card.patient_id, "patient_id is not the card's")
        _need(self.parents == self.card.parents, "parents are not the card's")
        _need(self.packed_at.utcoffset() is not None, "packed_at has no time zone")
        named = {(name, role) for role, names in files_of_card(self.card).items() for name in names}
        _need({(file.name, file.role) for file in self.files} == named, "files are not those that the card names")
        _need(len(self.files) == len(named), "a file is listed twice")
        uids = [self.sop_instance_uid, *(part.sop_instance_uid for part in self.parts)]
        _need(len(set(uids)) == len(uids), "two instances share a SOP Instance UID")
        _need({part.file for part in self.parts} == {file.name for file in self.files}, "parts and files differ")
        for file in self.files:
            _check_parts(file, self.parts_of(file.name), self.series_of(file.role))
        return self

    def parts_of(self, name: str) -> tuple[PartEntry, ...]:
        """The parts of one file, in the file's order."""
        return tuple(part for part in self.parts if part.file == name)

    def series_of(self, role: Role) -> str | None:
        """The series that carries files of ``role``."""
        return self.series.trainable if role is Role.TRAINABLE else self.series.networks

    @property
    def total_bytes(self) -> int:
        """Bytes of all payload files."""
        return sum(file.length for file in self.files)

    def identity(self, manifest_sha256: str) -> ModelIdentity:
        """The name by which results point to this model."""
        return ModelIdentity(
            name=self.card.name,
            version=str(self.card.version),
            manufacturer=self.card.developer.name,
            sop_instance_uid=self.sop_instance_uid,
            device_uid=self.device.device_uid,
            device_class_uid=self.device.device_class_uid,
            manifest_sha256=manifest_sha256,
        )


def files_of_card(card: ModelCard) -> dict[Role, tuple[str, ...]]:
    """File names by what they are for, in the card's order."""
    return {
        Role.NETWORK: card.network.files,
        Role.EXTERNAL_DATA: card.network.external_data,
        Role.TRAINABLE: card.network.trainable,
    }


def canonical_json(document: Any) -> bytes:
    """The one encoding of a document: sorted keys, no spaces, UTF-8, no NaN."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def manifest_bytes(manifest: Manifest) -> bytes:
    """The canonical encoding; its SHA-256 is the manifest's digest."""
    document = manifest.model_dump(mode="json", exclude={"card"})
    for name in ("packed_despite", "imported"):
        if document[name] is None:
            del document[name]  # as manifests were before there was such a field
    return canonical_json({**document, "card": card_document(manifest.card)})


def manifest_of_bytes(encoded: bytes, origin: str) -> Manifest:
    """The manifest of bytes that came from outside; anything but its canonical form is refused."""
    if len(encoded) > MAX_MANIFEST_BYTES:
        raise ObjectError(
            f"the manifest of {origin} is too large",
            expected=f"at most {MAX_MANIFEST_BYTES} bytes",
            found=f"{len(encoded)} bytes",
        )
    document = _document(encoded, origin)
    try:
        card = card_of_document(document.get("card"), f"in the manifest of {origin}")
        return Manifest.model_validate({**document, "card": card})
    except CardError as error:
        raise ObjectError(error.problem, remedy="Ask whoever packed the model for a valid one.") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'manifest'}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_url=False, include_input=False)[:5]
        )
        raise ObjectError(
            f"the manifest of {origin} is not valid: {problems}",
            remedy="Ask whoever packed the model for a valid one.",
        ) from error


def manifest_digest(encoded: bytes) -> str:
    """SHA-256 of the canonical manifest, as 64 hexadecimal digits."""
    return hashlib.sha256(encoded).hexdigest()


def _document(encoded: bytes, origin: str) -> dict[str, Any]:
    try:
        document = json.loads(encoded)
        canonical = canonical_json(document)
    except (ValueError, RecursionError) as error:
        raise ObjectError(
            f"the manifest of {origin} is not JSON: {error}", remedy="Fetch the model again, or pack it again."
        ) from error
    if not isinstance(document, dict):
        raise ObjectError(f"the manifest of {origin} is not a JSON object", found=type(document).__name__)
    if canonical != encoded:
        raise ObjectError(
            f"the manifest of {origin} is not in canonical form",
            expected="sorted keys, no spaces, every field once",
            remedy="Ask whoever packed the model for a valid one.",
        )
    return document


def _check_parts(file: PayloadFile, parts: tuple[PartEntry, ...], series: str | None) -> None:
    _need(
        [part.index for part in parts] == list(range(1, len(parts) + 1)), f"parts of {file.name} are not 1..n in order"
    )
    _need(all(part.count == len(parts) for part in parts), f"parts of {file.name} disagree on their count")
    _need(sum(part.length for part in parts) == file.length, f"parts of {file.name} do not add up to its length")
    _need(all(part.series_instance_uid == series for part in parts), f"parts of {file.name} lie in another series")
    _need(len(parts) != 1 or parts[0].sha256 == file.sha256, f"{file.name} and its only part differ in digest")


def _need(holds: bool, problem: str) -> None:
    if not holds:
        raise ValueError(problem)
