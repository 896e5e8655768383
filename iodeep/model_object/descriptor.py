"""The descriptor: what one reads before anything else, and the only thing one needs to choose a model.

Nothing outside the manifest is trusted: the DICOM attributes by which the model was found have to agree with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pydicom.dataset import Dataset

from iodeep.card import ModelCard
from iodeep.errors import IntegrityError, ObjectError
from iodeep.model_object import private_block as block
from iodeep.model_object.attributes import AGREE_IF_PRESENT, REQUIRED_TO_AGREE, compared_attributes
from iodeep.model_object.dicom_file import Header, read_header
from iodeep.model_object.identity import ModelIdentity
from iodeep.model_object.manifest import Manifest, PartEntry, manifest_digest, manifest_of_bytes
from iodeep.model_object.self_test import SelfTest
from iodeep.terms.uids import SCHEMA_UID

FETCH_AGAIN = "Fetch the model again; if it stays so, pack and store it again."


@dataclass(frozen=True)
class ModelDescriptor:
    """A packed release, as its descriptor instance says."""

    manifest: Manifest
    identity: ModelIdentity
    self_test_bytes: bytes | None = None
    """The encoded self-test, its digest checked."""
    attributes: Mapping[str, str] = field(default_factory=dict, compare=False)
    """The attributes that a model is found by, as its instance has them, by keyword; empty where an archive dropped one."""

    @property
    def card(self) -> ModelCard:
        """The card that was packed."""
        return self.manifest.card

    @property
    def self_test(self) -> SelfTest | None:
        """The decoded self-test, None where the model carries none; ObjectError where it is malformed."""
        if self.self_test_bytes is None:
            return None
        return SelfTest.decode(self.self_test_bytes, f"{self.card.name} {self.card.version}")

    @property
    def study_instance_uid(self) -> str:
        """The study that is this release."""
        return self.manifest.study_instance_uid

    @property
    def series_instance_uid(self) -> str:
        """The series that holds the descriptor alone."""
        return self.manifest.series.descriptor

    @property
    def patient_id(self) -> str:
        """The tokens by which C-FIND narrows a search."""
        return self.manifest.patient_id

    @property
    def parts(self) -> tuple[PartEntry, ...]:
        """Every part, file by file, in order."""
        return self.manifest.parts

    @cached_property
    def part_by_uid(self) -> dict[str, PartEntry]:
        """The parts by SOP Instance UID."""
        return {part.sop_instance_uid: part for part in self.parts}

    @property
    def total_bytes(self) -> int:
        """Bytes of all payload files."""
        return self.manifest.total_bytes


def read_descriptor(path: Path) -> ModelDescriptor:
    """The descriptor in a DICOM file, its manifest's and self-test's digests and its attributes checked.

    Raises :class:`iodeep.errors.ObjectError` where the file is not a descriptor or names something else than its
    manifest does, :class:`iodeep.errors.IntegrityError` where a digest does not hold.
    """
    header = read_header(path)
    encoded = _manifest_element(header)
    sha256 = manifest_digest(encoded)
    said = block.text_value(header.dataset, block.MANIFEST_SHA256)
    if said != sha256:
        raise IntegrityError(
            f"the manifest of {path.name} was altered",
            expected=f"SHA-256 {said or 'in the private block'}",
            found=sha256,
            remedy=FETCH_AGAIN,
        )
    manifest = manifest_of_bytes(encoded, path.name)
    _check_attributes(header, manifest)
    found = {keyword: header.text(keyword) for keyword in (*REQUIRED_TO_AGREE, *AGREE_IF_PRESENT)}
    return ModelDescriptor(manifest, manifest.identity(sha256), _self_test(header, manifest), found)


def found_by(manifest: Manifest) -> dict[str, str]:
    """The attributes that a model is found by, as its manifest has them, by keyword."""
    written = compared_attributes(manifest)
    return {keyword: str(written.get(keyword, "")) for keyword in (*REQUIRED_TO_AGREE, *AGREE_IF_PRESENT)}


def _manifest_element(header: Header) -> bytes:
    schema = block.text_value(header.dataset, block.SCHEMA)
    encoded = block.raw_value(header.dataset, block.MANIFEST)
    if schema is None or encoded is None:
        raise ObjectError(
            f"{header.path.name} is not the descriptor of a model",
            expected=f"the private block {block.CREATOR!r} with a manifest",
            remedy="Give the release's descriptor; if this is it, the archive dropped private elements: allow them.",
        )
    if schema != SCHEMA_UID:
        raise ObjectError(
            f"{header.path.name} follows a schema that this software does not know",
            expected=SCHEMA_UID,
            found=schema,
            remedy="Update IODeep.",
        )
    return encoded.rstrip(b"\0")


def _check_attributes(header: Header, manifest: Manifest) -> None:
    """What the model was found by has to be what its manifest says it is."""
    expected = compared_attributes(manifest)
    for keyword in (*REQUIRED_TO_AGREE, *AGREE_IF_PRESENT):
        found, wanted = header.text(keyword), str(expected.get(keyword, ""))
        if found != wanted and (found or keyword in REQUIRED_TO_AGREE):
            raise _disagrees(header, keyword, wanted, found)
    found_regions = _region_codes(header.dataset)
    wanted_regions = _region_codes(expected)
    if found_regions and found_regions != wanted_regions:
        raise _disagrees(header, "AnatomicRegionSequence", ", ".join(wanted_regions), ", ".join(found_regions))


def _disagrees(header: Header, keyword: str, wanted: str, found: str) -> IntegrityError:
    return IntegrityError(
        f"{keyword} of {header.path.name} is not what its manifest says",
        expected=wanted or "nothing",
        found=found or "nothing",
        remedy="The archive or someone changed it; configure the archive to keep attributes, and store the model again.",
    )


def _region_codes(dataset: Dataset) -> list[str]:
    try:
        return [
            f"{item.CodeValue} {item.CodingSchemeDesignator}" for item in dataset.get("AnatomicRegionSequence") or ()
        ]
    except Exception:  # boundary: pydicom raises whatever a damaged value makes it raise
        return ["not readable"]


def _self_test(header: Header, manifest: Manifest) -> bytes | None:
    entry = manifest.self_test
    encoded = block.raw_value(header.dataset, block.SELF_TEST)
    if entry is None and encoded is None:
        return None
    if entry is None or encoded is None:
        raise IntegrityError(
            f"the self-test of {header.path.name} is not what its manifest says",
            expected="a self-test" if entry else "none",
            found="none" if entry else "a self-test",
            remedy=FETCH_AGAIN,
        )
    found = hashlib.sha256(encoded[: entry.length]).hexdigest()
    if len(encoded) != entry.length + entry.length % 2 or found != entry.sha256:
        raise IntegrityError(
            f"the self-test of {header.path.name} was altered",
            expected=f"SHA-256 {entry.sha256}",
            found=found,
            remedy=FETCH_AGAIN,
        )
    return encoded[: entry.length]
