"""Descriptors kept on disk by study and SOP Instance UID; each is checked again, digest and all, when it is read.

What is kept is only ever a copy: a file that was altered or lost is fetched anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from iodeep.errors import ArchiveUnreachableError, IODeepError, LocalStorageError, ObjectError
from iodeep.model_object import ModelDescriptor, ObjectKind, read_descriptor, recognise
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
        self._read: dict[tuple[str, str], tuple[tuple[int, int], Candidate]] = {}

    def candidates(self, releases: Iterable[Release]) -> Iterator[Candidate | UnusableModel]:
        """Each release as a candidate; where it cannot be one, an :class:`UnusableModel` with the reason."""
        with self._incoming() as incoming:
            for release in releases:
                try:
                    yield self._remembered(release) or self._candidate(release, incoming)
                except ArchiveUnreachableError:
                    raise
                except IODeepError as error:
                    yield self._unusable(release, str(error))

    def _remembered(self, release: Release) -> Candidate | None:
        """The candidate where its kept file was checked before and has not changed since; nothing is read."""
        kept = self._kept(release)
        known = self._read.get((kept, release.patient_id))
        try:
            return known[1] if known and known[0] == _stamp(kept) else None
        except OSError:
            return None

    def _kept(self, release: Release) -> str:
        return f"{self._folder}/{release.study_instance_uid}.dcm"

    def _candidate(self, release: Release, incoming: Path) -> Candidate:
        kept = self._kept(release)
        try:
            stamp = _stamp(kept)
            candidate = self._checked(read_descriptor(Path(kept)), release)
        except (OSError, ObjectError):
            fetched = self._fetch(release, incoming)
            try:
                stamp = _stamp(str(fetched))
                candidate = self._checked(self._descriptor(fetched, release), release)
                fetched.replace(kept)
            finally:
                fetched.unlink(missing_ok=True)
        self._read[kept, release.patient_id] = (stamp, candidate)
        return candidate

    def _checked(self, descriptor: ModelDescriptor, release: Release) -> Candidate:
        if (descriptor.study_instance_uid, descriptor.patient_id) != (release.study_instance_uid, release.patient_id):
            raise ObjectError(
                f"the archive lists {release.name} as something else than it is",
                expected=f"Patient ID {descriptor.patient_id}, study {descriptor.study_instance_uid}",
                found=f"Patient ID {release.patient_id}, study {release.study_instance_uid}",
                remedy="Someone changed it in the archive: remove it there and store the model again.",
            )
        return Candidate(
            card=descriptor.card,
            identity=descriptor.identity,
            where=self._archive.name,
            total_bytes=descriptor.total_bytes,
            study_instance_uid=release.study_instance_uid,
        )

    def _fetch(self, release: Release, into: Path) -> Path:
        """The one instance of the release's descriptor series, in ``into``."""
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
        if len(paths) == 1:
            return paths[0]
        for path in paths:
            path.unlink()
        raise _not_usable(release, f"{len(paths)} instances")

    def _descriptor(self, path: Path, release: Release) -> ModelDescriptor:
        try:
            return read_descriptor(path)
        except ObjectError:
            found = recognise(path)
            if found.kind is ObjectKind.DESCRIPTOR:
                raise
            raise _not_usable(release, found.reason) from None

    @contextmanager
    def _incoming(self) -> Iterator[Path]:
        """A folder for what is fetched, on the disk of what is kept."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            folder = tempfile.TemporaryDirectory(prefix="incoming-", dir=self._folder)
        except OSError as error:
            raise LocalStorageError(f"the cache folder {self._folder} cannot be written: {error.strerror}") from error
        with folder as name:
            yield Path(name)

    def _unusable(self, release: Release, reason: str) -> UnusableModel:
        uid = release.study_instance_uid
        return UnusableModel(release.name, uid, self._archive.name, reason, study_instance_uid=uid)


def _stamp(path: str) -> tuple[int, int]:
    status = Path(path).stat()
    return status.st_mtime_ns, status.st_size


def _not_usable(release: Release, found: str) -> ObjectError:
    return ObjectError(
        f"{release.name} is not a model that this software can use",
        expected="one descriptor",
        found=found,
        remedy="Pack it again as an IODeep object.",
    )


def _is_descriptor(number: str) -> bool:
    return number.isascii() and number.isdigit() and int(number) < _FIRST_OF_KIND_1
