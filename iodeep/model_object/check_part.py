"""One part against the manifest: whose it is, what it says of itself, and its bytes while they stream."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from iodeep.errors import IntegrityError, ObjectError
from iodeep.model_object import private_block as block
from iodeep.model_object.descriptor import FETCH_AGAIN, ModelDescriptor
from iodeep.model_object.dicom_file import Header, Location, locate_payload, read_header
from iodeep.model_object.local_files import open_input, read_range
from iodeep.model_object.manifest import PartEntry, PayloadFile
from iodeep.terms.uids import SCHEMA_UID


class Sink(Protocol):
    """Where payload goes; it must not keep the piece, whose buffer is used again."""

    def write(self, piece: memoryview, /) -> object:
        """Take the next piece."""


class WholeFile:
    """A payload file while its parts go through: passed on to ``target`` where given, and digested as a whole."""

    def __init__(self, file: PayloadFile, target: Sink | None = None) -> None:
        self._file = file
        self._target = target
        self._digest = hashlib.sha256()

    def write(self, piece: memoryview) -> None:
        """Take the next piece, in the file's order."""
        self._digest.update(piece)
        if self._target is not None:
            self._target.write(piece)

    def check(self) -> None:
        """IntegrityError where the parts together are not the file that the manifest names."""
        if self._digest.hexdigest() != self._file.sha256:
            raise IntegrityError(
                f"the parts of {self._file.name} hold, but together they are not the file that the manifest names",
                expected=f"SHA-256 {self._file.sha256}",
                found=self._digest.hexdigest(),
                remedy="The manifest contradicts itself; ask whoever packed the model for a valid one.",
            )


@dataclass(frozen=True)
class PartFile:
    """A file that is a part of some model."""

    header: Header
    manifest_sha256: str
    sop_instance_uid: str

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.header.path


def read_part(path: Path) -> PartFile:
    """The header of a part; ObjectError where the file is something else."""
    header = read_header(path)
    schema = block.text_value(header.dataset, block.SCHEMA)
    if schema is None or block.text_value(header.dataset, block.PART_INDEX) is None:
        raise ObjectError(
            f"{path.name} is not a part of a model",
            expected=f"the private block {block.CREATOR!r} with a part index",
            remedy="Give the files of the model's study; if these are, the archive dropped private elements.",
        )
    if schema != SCHEMA_UID:
        raise ObjectError(
            f"{path.name} follows a schema that this software does not know",
            expected=SCHEMA_UID,
            found=schema,
            remedy="Update IODeep.",
        )
    manifest = block.text_value(header.dataset, block.MANIFEST_SHA256) or ""
    return PartFile(header, manifest, header.text("SOPInstanceUID"))


def entry_of(descriptor: ModelDescriptor, file: PartFile) -> PartEntry:
    """The manifest's entry for a part file; ObjectError where the part belongs elsewhere, or names itself otherwise."""
    name = f"{descriptor.card.name} {descriptor.card.version}"
    if file.manifest_sha256 != descriptor.identity.manifest_sha256:
        raise ObjectError(
            f"{file.path.name} is a part of another model than {name}",
            expected=f"manifest {descriptor.identity.manifest_sha256}",
            found=f"manifest {file.manifest_sha256 or 'none'}",
            remedy="Give the parts of one release only: those of the descriptor's study.",
        )
    entry = descriptor.part_by_uid.get(file.sop_instance_uid)
    if entry is None:
        raise ObjectError(
            f"{file.path.name} is not among the parts of {name}",
            found=f"SOP Instance UID {file.sop_instance_uid or 'none'}",
            remedy="The archive may have given it a new UID; configure it to keep UIDs, and fetch the model again.",
        )
    _check_labels(entry, file)
    return entry


def check_payload(
    descriptor: ModelDescriptor,
    entry: PartEntry,
    path: Path,
    advance: Callable[[int], None] = lambda _: None,
    sink: Sink | None = None,
) -> None:
    """Stream one part's payload, to ``sink`` where given; IntegrityError where it isn't what the manifest says.

    What was written to ``sink`` may be used only after this returns.
    """
    file = read_part(path)
    if entry_of(descriptor, file) != entry:
        raise ObjectError(f"{path.name} is not {entry}", remedy=FETCH_AGAIN)
    location = _located(entry, file)
    digest = hashlib.sha256()
    with open_input(path) as source:
        for piece in read_range(source, location.offset, entry.length):
            digest.update(piece)
            if sink is not None:
                sink.write(piece)
            advance(len(piece))
    if digest.hexdigest() != entry.sha256:
        raise IntegrityError(
            f"{entry} was altered ({path.name})",
            expected=f"SHA-256 {entry.sha256}",
            found=digest.hexdigest(),
            remedy=FETCH_AGAIN,
        )


def _check_labels(entry: PartEntry, file: PartFile) -> None:
    """What a part says of itself is for people; where it differs from the manifest, something was altered."""
    said = {
        block.PART_INDEX: str(entry.index),
        block.PART_COUNT: str(entry.count),
        block.PART_LENGTH: str(entry.length),
        block.PART_SHA256: entry.sha256,
        block.FILE_NAME: entry.file,
    }
    for element, expected in said.items():
        found = block.text_value(file.header.dataset, element)
        if found != expected:
            raise IntegrityError(
                f"{file.path.name} says something else of itself than the manifest does: {element}",
                expected=expected,
                found=found or "nothing",
                remedy=FETCH_AGAIN,
            )


def _located(entry: PartEntry, file: PartFile) -> Location:
    location = locate_payload(file.header)
    padded = entry.length + entry.length % 2
    if location.length != padded:
        raise IntegrityError(
            f"{entry} has a wrong length ({file.path.name})",
            expected=f"{padded} bytes",
            found=f"{location.length} bytes",
            remedy=FETCH_AGAIN,
        )
    return location
