"""Descriptors out of an archive, each checked by digest and against what the archive lists it as.

What cannot be read becomes a row that says why.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from iodeep.card import ModelCard
from iodeep.errors import ArchiveUnreachableError, IODeepError, LocalStorageError, ObjectError
from iodeep.model_object import ModelDescriptor, ObjectKind, read_descriptor, recognise
from iodeep.ports import Archive, Level, Wanted
from iodeep.selection.index_rows import Release, Row, identity_row
from iodeep.selection.profile import profile_of
from iodeep.selection.release_index import card_digest, encoded_card

_FIRST_OF_KIND_1 = 1_000_000
"""Series Number is kind x 1,000,000 + version; the descriptor's kind is 0."""


@dataclass(frozen=True)
class ReadRelease:
    """A release as it was read: its row, and its card where it can be used."""

    row: Row
    encoded_card: bytes = b""
    card: ModelCard | None = None


class DescriptorReader:
    """Reads descriptors from one archive; ``folder`` is where they are put for as long as that takes."""

    def __init__(self, archive: Archive, folder: Path) -> None:
        self._archive = archive
        self._folder = folder

    def read(self, releases: Sequence[Release]) -> Iterator[ReadRelease]:
        """Each release, in order. Errors: :class:`iodeep.errors.ArchiveUnreachableError`; others become rows."""
        with self._incoming() as incoming:
            yield from (self._read(release, incoming) for release in releases)

    def _read(self, release: Release, incoming: Path) -> ReadRelease:
        try:
            return self._usable(release, incoming)
        except ArchiveUnreachableError:
            raise
        except IODeepError as error:
            return ReadRelease(Row(release, problem=str(error)))

    def _usable(self, release: Release, incoming: Path) -> ReadRelease:
        fetched = self._fetch(release, incoming)
        try:
            descriptor = _checked(_descriptor(fetched, release), release)
        finally:
            fetched.unlink(missing_ok=True)
        content = encoded_card(descriptor.card)
        row = Row(
            release,
            profile=profile_of(descriptor.card),
            identity=identity_row(descriptor.identity),
            total_bytes=descriptor.total_bytes,
            card_sha256=card_digest(content),
        )
        return ReadRelease(row, content, descriptor.card)

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

    @contextmanager
    def _incoming(self) -> Iterator[Path]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            folder = tempfile.TemporaryDirectory(prefix="incoming-", dir=self._folder)
        except OSError as error:
            raise LocalStorageError(f"the cache folder {self._folder} cannot be written: {error.strerror}") from error
        with folder as name:
            yield Path(name)


def _descriptor(path: Path, release: Release) -> ModelDescriptor:
    try:
        return read_descriptor(path)
    except ObjectError:
        found = recognise(path)
        if found.kind is ObjectKind.DESCRIPTOR:
            raise
        raise _not_usable(release, found.reason) from None


def _checked(descriptor: ModelDescriptor, release: Release) -> ModelDescriptor:
    if (descriptor.study_instance_uid, descriptor.patient_id) != (release.study_instance_uid, release.patient_id):
        raise ObjectError(
            f"the archive lists {release.name} as something else than it is",
            expected=f"Patient ID {descriptor.patient_id}, study {descriptor.study_instance_uid}",
            found=f"Patient ID {release.patient_id}, study {release.study_instance_uid}",
            remedy="Someone changed it in the archive: remove it there and store the model again.",
        )
    return descriptor


def _not_usable(release: Release, found: str) -> ObjectError:
    return ObjectError(
        f"{release.name} is not a model that this software can use",
        expected="one descriptor",
        found=found,
        remedy="Pack it again as an IODeep object.",
    )


def _is_descriptor(number: str) -> bool:
    return number.isascii() and number.isdigit() and int(number) < _FIRST_OF_KIND_1
