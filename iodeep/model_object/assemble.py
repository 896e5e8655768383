"""Parts -> payload files: every part checked while it streams, every file written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from iodeep.errors import ObjectError
from iodeep.model_object.check_part import PartFile, WholeFile, check_payload, entry_of, read_part
from iodeep.model_object.counting import counter
from iodeep.model_object.descriptor import ModelDescriptor, read_descriptor
from iodeep.model_object.local_files import storage_errors, whole_file
from iodeep.model_object.manifest import PartEntry
from iodeep.model_object.recognise import ObjectKind, recognise
from iodeep.ports import ProgressSink, no_progress


@dataclass(frozen=True)
class FoundParts:
    """The files that carry a model's parts, and what else lay in the folders that were searched."""

    by_uid: dict[str, Path]
    strangers: tuple[Path, ...]
    """Parts of other models, in folders; given by name they are an error."""


def assemble(
    descriptor: ModelDescriptor, parts: Iterable[Path], into: Path, *, progress: ProgressSink = no_progress
) -> dict[str, Path]:
    """The payload files by name, written to the folder ``into``.

    ``parts``: files in any order, or folders that hold them. Raises ObjectError for a part that is missing, given
    twice or of another model, IntegrityError for one that was altered; then nothing new is in ``into``.
    """
    found = find_parts(descriptor, parts)
    missing = [part for part in descriptor.parts if part.sop_instance_uid not in found.by_uid]
    if missing:
        raise missing_parts(descriptor, missing, found)
    with storage_errors(into):
        into.mkdir(parents=True, exist_ok=True)
    advance = counter("assemble", descriptor.total_bytes, progress)
    with ExitStack() as files:  # all of them take their places, or none
        for file in descriptor.manifest.files:
            whole = WholeFile(file, files.enter_context(whole_file(into / file.name)))
            for part in descriptor.manifest.parts_of(file.name):
                check_payload(descriptor, part, found.by_uid[part.sop_instance_uid], advance, whole)
            whole.check()
    return {file.name: into / file.name for file in descriptor.manifest.files}


def find_parts(descriptor: ModelDescriptor, paths: Iterable[Path]) -> FoundParts:
    """Which file carries which part, from headers alone.

    In a folder whatever isn't a part of this model is left aside; among files that are given by name only the
    descriptor itself, signatures and documents of a site are.
    """
    found: dict[str, Path] = {}
    strangers: list[Path] = []
    for path in paths:
        if path.is_dir():
            mine, others = _parts_in(descriptor, path)
            strangers += others
        else:
            mine = [] if _carries_no_part(descriptor, path) else [read_part(path)]
        for part in mine:
            _add(descriptor, part, found)
    return FoundParts(found, tuple(strangers))


def missing_parts(descriptor: ModelDescriptor, missing: list[PartEntry], found: FoundParts) -> ObjectError:
    """What to say when parts are not there."""
    named = ", ".join(f"{part} (SOP Instance UID {part.sop_instance_uid})" for part in missing[:3])
    others = f"; {len(found.strangers)} parts of other models lie beside them" if found.strangers else ""
    return ObjectError(
        f"{len(missing)} of {len(descriptor.parts)} parts of {descriptor.card.name} {descriptor.card.version} are missing",
        expected=named + (f" and {len(missing) - 3} more" if len(missing) > 3 else ""),
        found=f"{len(found.by_uid)} parts{others}",
        remedy=(
            "Fetch the study again. If they are gone from the archive, it may have a limit a study past which it deletes"
            " (max_study_size in iodeep.toml): raise it, and store the model again."
        ),
    )


def _parts_in(descriptor: ModelDescriptor, folder: Path) -> tuple[list[PartFile], list[Path]]:
    mine: list[PartFile] = []
    others: list[Path] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        what = recognise(path)
        if what.kind is not ObjectKind.PART:
            continue
        if what.manifest_sha256 == descriptor.identity.manifest_sha256:
            mine.append(read_part(path))
        else:
            others.append(path)
    return mine, others


def _carries_no_part(descriptor: ModelDescriptor, path: Path) -> bool:
    kind = recognise(path).kind
    if kind is not ObjectKind.DESCRIPTOR:
        return kind in (ObjectKind.SIGNATURE, ObjectKind.SITE_DOCUMENT)
    other = read_descriptor(path).identity
    if other != descriptor.identity:
        raise ObjectError(
            f"{path.name} is the descriptor of another model",
            expected=f"{descriptor.card.name} {descriptor.card.version}, {descriptor.identity.sop_instance_uid}",
            found=f"{other.name} {other.version}, {other.sop_instance_uid}",
            remedy="Give the descriptor and the parts of one release only.",
        )
    return True


def _add(descriptor: ModelDescriptor, part: PartFile, found: dict[str, Path]) -> None:
    entry = entry_of(descriptor, part)
    if entry.sop_instance_uid in found:
        raise ObjectError(
            f"{entry} is there twice",
            found=f"{found[entry.sop_instance_uid]} and {part.path}",
            remedy="Give each part once; remove one of the two.",
        )
    found[entry.sop_instance_uid] = part.path
