"""Descriptors kept on disk by study and SOP Instance UID; each is checked again, digest and all, when it is read.

What is kept is only ever a copy: a file that was altered or lost is fetched anew.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from iodeep.errors import ArchiveUnreachableError, IODeepError, LocalStorageError, ObjectError
from iodeep.model_object import ObjectKind, read_descriptor, recognise
from iodeep.ports import Archive, Level, Wanted
from iodeep.selection.candidate import Candidate, UnusableModel

_FIRST_OF_KIND_1 = 1_000_000
"""Series Number is kind x 1,000,000 + version; the descriptor's kind is 0."""


@dataclass(frozen=True)
class Release:
    """A study in the archive that claims to be a model."""

    study_instance_uid: str
    patient_id: str
    name: str


class DescriptorCache:
    """Reads descriptors from an archive, each once."""

    def __init__(self, archive: Archive, folder: Path) -> None:
        self._archive = archive
        self._folder = folder
        self._read: dict[Path, tuple[tuple[int, int], Candidate]] = {}

    def candidate(self, release: Release) -> Candidate | UnusableModel:
        """The release as a candidate; where it cannot be one, an :class:`UnusableModel` with the reason."""
        try:
            return self._candidate(release)
        except ArchiveUnreachableError:
            raise
        except IODeepError as error:
            return self._unusable(release, str(error))

    def _candidate(self, release: Release) -> Candidate:
        kept = self._folder / f"{release.study_instance_uid}.dcm"
        if kept.is_file():
            try:
                return self._of_file(kept, release)
            except ObjectError:
                kept.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(prefix="descriptor-", dir=self._ready_folder()) as name:
            fetched = self._fetch(release, Path(name))
            candidate = self._of_file(fetched, release)
            shutil.move(fetched, kept)
        return candidate

    def _of_file(self, path: Path, release: Release) -> Candidate:
        """The candidate in a file; a file that has not changed since it was checked is not parsed again."""
        status = path.stat()
        stamp = (status.st_mtime_ns, status.st_size)
        known = self._read.get(path)
        if known and known[0] == stamp:
            return known[1]
        descriptor = read_descriptor(path)
        if (descriptor.study_instance_uid, descriptor.patient_id) != (release.study_instance_uid, release.patient_id):
            raise ObjectError(
                f"the archive lists {release.name} as something else than it is",
                expected=f"Patient ID {descriptor.patient_id}, study {descriptor.study_instance_uid}",
                found=f"Patient ID {release.patient_id}, study {release.study_instance_uid}",
                remedy="Someone changed it in the archive: remove it there and store the model again.",
            )
        candidate = Candidate(
            card=descriptor.card,
            identity=descriptor.identity,
            where=self._archive.name,
            total_bytes=descriptor.total_bytes,
            study_instance_uid=release.study_instance_uid,
        )
        self._read[path] = (stamp, candidate)
        return candidate

    def _fetch(self, release: Release, into: Path) -> Path:
        """The one instance of the release's descriptor series."""
        series = self._archive.find(
            Level.SERIES, {"StudyInstanceUID": release.study_instance_uid}, ("SeriesInstanceUID", "SeriesNumber")
        )
        first = [row["SeriesInstanceUID"] for row in series if _is_descriptor(row["SeriesNumber"])]
        if not first:
            raise ObjectError(
                f"{release.name} has no descriptor",
                expected=f"a series with a number below {_FIRST_OF_KIND_1:,}",
                found=f"series numbers {', '.join(sorted(row['SeriesNumber'] for row in series)) or 'none'}",
                remedy="It was stored in part, or the archive lost an instance: store the model again.",
            )
        paths = self._archive.fetch(Wanted(release.study_instance_uid, min(first)), into)
        descriptors = [path for path in paths if recognise(path).kind is ObjectKind.DESCRIPTOR]
        if len(descriptors) != 1:
            raise ObjectError(
                f"{release.name} is not a model that this software can use",
                expected="one descriptor",
                found="; ".join(recognise(path).reason for path in paths) or "nothing",
                remedy="Pack it again as an IODeep object.",
            )
        return descriptors[0]

    def _ready_folder(self) -> Path:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LocalStorageError(f"the cache folder {self._folder} cannot be made: {error.strerror}") from error
        return self._folder

    def _unusable(self, release: Release, reason: str) -> UnusableModel:
        uid = release.study_instance_uid
        return UnusableModel(release.name, uid, self._archive.name, reason, study_instance_uid=uid)


def _is_descriptor(number: str) -> bool:
    return number.isascii() and number.isdigit() and int(number) < _FIRST_OF_KIND_1
