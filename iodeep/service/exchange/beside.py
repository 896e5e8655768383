"""Signatures travel with the model that they are of: instances in its study that its manifest doesn't name.

Whether one is worth anything is the receiving site's to judge; here they are only told from what does not belong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from iodeep.errors import ObjectError
from iodeep.model_object import ModelDescriptor, ObjectKind, is_signature_series, recognise
from iodeep.model_object.signature_object import MOST_SIGNATURES
from iodeep.ports import Archive, Level, Wanted


def signature_files(descriptor: ModelDescriptor, paths: Iterable[Path]) -> list[Path]:
    """The files among ``paths``, and in folders, that say they are signatures of this model. Raises ObjectError for too many."""
    found = [path for path in _files(paths) if _is_of(descriptor, path)]
    if len(found) > MOST_SIGNATURES:
        raise ObjectError(
            f"{descriptor.card.name} {descriptor.card.version} comes with too many signatures",
            expected=f"at most {MOST_SIGNATURES}",
            found=f"{len(found)}",
            remedy="Leave out those of nobody whom you trust.",
        )
    return found


def signature_series(archive: Archive, descriptor: ModelDescriptor) -> list[Wanted]:
    """What to fetch for the signatures that ``archive`` has of this model, at most as many as anybody reads."""
    study = descriptor.study_instance_uid
    rows = archive.find(Level.SERIES, {"StudyInstanceUID": study}, ("SeriesInstanceUID", "SeriesNumber"))
    series = sorted({row["SeriesInstanceUID"] for row in rows if is_signature_series(row["SeriesNumber"])})
    return [Wanted(study, uid) for uid in series[:MOST_SIGNATURES]]


def _is_of(descriptor: ModelDescriptor, path: Path) -> bool:
    what = recognise(path)
    return (
        what.kind is ObjectKind.SIGNATURE
        and what.manifest_sha256 == descriptor.identity.manifest_sha256
        and what.study_instance_uid == descriptor.study_instance_uid
    )


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        yield from (file for file in sorted(path.rglob("*")) if file.is_file()) if path.is_dir() else [path]
