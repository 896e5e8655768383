"""Models out of an archive, or out of files, ready to run: nothing leaves here whose digests were not just checked.

Payload files are kept in a cache by manifest digest, and hashed again each time before they are handed out.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from iodeep.errors import InputError, IntegrityError, ObjectError
from iodeep.model_object import (
    ModelDescriptor,
    ObjectKind,
    assemble,
    explain_legacy,
    read_descriptor,
    recognise,
)
from iodeep.ports import Archive, Cancellation, Level, ProgressSink, Wanted, no_progress
from iodeep.selection import list_models
from iodeep.trust import file_sha256


@dataclass(frozen=True)
class ObtainedModel:
    """A verified model: its descriptor and its payload files by name."""

    descriptor: ModelDescriptor
    files: dict[str, Path]
    from_cache: bool


def obtain_model(
    archive: Archive,
    descriptor: ModelDescriptor,
    cache: Path,
    *,
    progress: ProgressSink = no_progress,
    cancel: Cancellation | None = None,
) -> ObtainedModel:
    """The payload files of a model in the archive, from the cache where every digest still holds."""
    kept = cache / "networks" / descriptor.identity.manifest_sha256
    files = _kept_files(descriptor, kept)
    if files is not None:
        return ObtainedModel(descriptor, files, from_cache=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=kept.parent) as name:
        arrived = Path(name) / "parts"
        arrived.mkdir()
        for series in sorted({part.series_instance_uid for part in descriptor.parts}):
            wanted = Wanted(descriptor.study_instance_uid, series)
            archive.fetch(wanted, arrived, progress=progress, cancel=cancel)
        assembled = Path(name) / "files"
        assembled.mkdir()
        assemble(descriptor, [arrived], assembled, progress=progress)
        shutil.rmtree(kept, ignore_errors=True)
        assembled.rename(kept)
    return ObtainedModel(descriptor, {file.name: kept / file.name for file in descriptor.manifest.files}, False)


def has_model(descriptor: ModelDescriptor, cache: Path) -> bool:
    """Whether the cache holds files as long as the model's: whether they are the same is seen when it is obtained."""
    kept = cache / "networks" / descriptor.identity.manifest_sha256
    files = ((kept / file.name, file.length) for file in descriptor.manifest.files)
    return all(path.is_file() and path.stat().st_size == length for path, length in files)


def _kept_files(descriptor: ModelDescriptor, kept: Path) -> dict[str, Path] | None:
    """The cached files, or None where one is missing or not what the manifest says."""
    for file in descriptor.manifest.files:
        path = kept / file.name
        if not path.is_file() or path.stat().st_size != file.length or file_sha256(path) != file.sha256:
            return None
    return {file.name: kept / file.name for file in descriptor.manifest.files}


@dataclass(frozen=True)
class LocalModel:
    """A model as files: its descriptor, and wherever its parts may be."""

    descriptor_path: Path
    part_paths: tuple[Path, ...]


def local_model(path: Path) -> LocalModel:
    """The one model object in a folder, or the one that a descriptor file belongs to.

    A legacy object is explained in the error: it is never run.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist", expected="a model object's descriptor, or the folder that holds it")
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    kinds = {file: recognise(file) for file in files}
    descriptors = [file for file, found in kinds.items() if found.kind is ObjectKind.DESCRIPTOR]
    if not descriptors:
        _explain(path, kinds.items())
    if len(descriptors) > 1:
        raise InputError(
            f"{path} holds {len(descriptors)} models",
            expected="one",
            remedy="Name the descriptor file of the one that you mean.",
        )
    return LocalModel(descriptors[0], (path if path.is_dir() else path.parent,))


def _explain(path: Path, kinds: Iterable[tuple[Path, object]]) -> None:
    for file, found in kinds:
        kind = getattr(found, "kind", None)
        if kind is ObjectKind.LEGACY:
            legacy = explain_legacy(file)
            raise ObjectError(" ".join(legacy.sentences))
        if kind is ObjectKind.PART:
            raise IntegrityError(
                f"{file} is one part of a model object; its descriptor is missing",
                remedy="Name the folder with the whole object, or fetch it again.",
            )
    raise ObjectError(f"{path} holds no model object", expected="a DICOM file that `iodeep pack` wrote")


def fetch_descriptor(archive: Archive, study: str, workspace: Path) -> Path:
    """The descriptor file of the release that is the study ``study``."""
    rows = archive.find(Level.SERIES, {"StudyInstanceUID": study}, ("SeriesInstanceUID", "SeriesNumber"))
    if not rows:
        raise InputError(f"{archive.name} has no study {study}", remedy="`iodeep models` lists the models it has.")
    # The series of the descriptor has the lowest number: its kind is 0 (networks 1, trainable form 2).
    first = min(rows, key=lambda row: int(row["SeriesNumber"] or 0))
    arrived = workspace / "descriptor"
    arrived.mkdir(parents=True, exist_ok=True)
    paths = archive.fetch(Wanted(study, first["SeriesInstanceUID"]), arrived)
    if len(paths) != 1:
        raise ObjectError(
            f"the first series of study {study} in {archive.name} is not a model's descriptor",
            expected="one instance",
            found=f"{len(paths)}",
        )
    return paths[0]


def fetch_model(archive: Archive, uid: str, into: Path, *, progress: ProgressSink = no_progress) -> LocalModel:
    """A whole model object, as files in ``into``; ``uid`` names its study or its descriptor."""
    into.mkdir(parents=True, exist_ok=True)
    paths = archive.fetch(Wanted(study_of_model(archive, uid, into)), into, progress=progress)
    descriptor = local_model(into).descriptor_path
    return LocalModel(descriptor, tuple(path for path in paths if path != descriptor))


def study_of_model(archive: Archive, uid: str, workspace: Path) -> str:
    """The study of the release that ``uid`` names: the study itself, or the descriptor instance in it."""
    if archive.find(Level.STUDY, {"StudyInstanceUID": uid}):
        return uid
    with tempfile.TemporaryDirectory(prefix="catalogue-", dir=workspace) as cache:
        rows = list_models(archive, Path(cache))
    for row in rows:
        if row.uid == uid:
            return row.study_instance_uid
    raise InputError(
        f"{archive.name} holds no model {uid}",
        expected="the UID of a model's study or of its descriptor, as `iodeep models` shows them",
        found=f"{len(rows)} other models",
    )


def read_model(archive: Archive | None, text: str, workspace: Path) -> ModelDescriptor:
    """The descriptor that a path or UID names, its digests checked."""
    path = Path(text)
    if path.exists():
        return read_descriptor(local_model(path).descriptor_path)
    if archive is None:
        raise InputError(f"{text} does not exist as a file, and no PACS was named", remedy="Give --pacs for a UID.")
    found = fetch_descriptor(archive, study_of_model(archive, text, workspace), workspace)
    return read_descriptor(local_model(found).descriptor_path)
