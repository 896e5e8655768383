"""Descriptors out of an archive, each checked by digest and against what the archive lists it as.

What cannot be read becomes a row that says why. Many are asked for together where the archive does that, the next ones while
these are read; whatever does not come that way, or is not what it should be, is asked for alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from iodeep.card import ModelCard
from iodeep.errors import ArchiveUnreachableError, IODeepError, LocalStorageError, ObjectError
from iodeep.model_object import ModelDescriptor, ObjectKind, read_descriptor, recognise
from iodeep.ports import AcrossStudies, Archive, Level, Wanted
from iodeep.selection.index_rows import Release, Row, identity_row
from iodeep.selection.profile import profile_of
from iodeep.selection.release_index import card_digest, encoded_card

_FIRST_OF_KIND_1 = 1_000_000
"""Series Number is kind x 1,000,000 + version; the descriptor's kind is 0."""
_MANY = 20
"""Releases from which on it pays to ask about all of the archive's at once."""
_TOGETHER = 100
"""Descriptors that are asked for at once."""
_MOST_INSTANCES = 200
"""Of a release on average; an archive that answers with more has not understood which patients are meant."""


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
            for batch, arrived in self._fetched_ahead(releases, self._hints(releases), incoming):
                for release in batch:
                    path = arrived.get(release.study_instance_uid)
                    yield self._read_arrived(release, path, incoming) if path else self._read(release, incoming)

    def _fetched_ahead(
        self, releases: Sequence[Release], hints: Mapping[Release, Wanted], incoming: Path
    ) -> Iterator[tuple[Sequence[Release], dict[str, Path]]]:
        """Releases a hundred at a time, with what came of them; who stops early waits for the next hundred."""
        batches = [releases[start : start + _TOGETHER] for start in range(0, len(releases), _TOGETHER)]

        def fetch(number: int) -> dict[str, Path]:
            wanted = [hints[release] for release in batches[number] if release in hints]
            return self._fetched_together(wanted, incoming / f"batch-{number}")

        with ThreadPoolExecutor(1, "descriptors") as ahead:
            arrived = fetch(0) if batches else {}
            for number, batch in enumerate(batches[:-1], start=1):
                coming = ahead.submit(fetch, number)
                yield batch, arrived
                arrived = coming.result()
            yield from [(batch, arrived) for batch in batches[-1:]]

    def _hints(self, releases: Sequence[Release]) -> dict[Release, Wanted]:
        """Where the descriptors of many releases are, as the archive says in one answer; some may be missing or wrong."""
        if len(releases) < _MANY or not isinstance(self._archive, AcrossStudies):
            return {}
        most = _MOST_INSTANCES * len(releases)
        by_study: dict[str, list[Wanted]] = {}
        for answer in self._archive.find_across({"PatientID": "AIM1.*"}, ("SeriesNumber",), most):
            if _is_descriptor(answer["SeriesNumber"]):
                study, series = answer["StudyInstanceUID"], answer["SeriesInstanceUID"]
                by_study.setdefault(study, []).append(Wanted(study, series, (answer["SOPInstanceUID"],)))
        found = {release: by_study.get(release.study_instance_uid, []) for release in releases}
        return {release: wanted[0] for release, wanted in found.items() if len(wanted) == 1}

    def _fetched_together(self, wanted: Sequence[Wanted], into: Path) -> dict[str, Path]:
        """The files that came, by Study Instance UID."""
        if not wanted or not isinstance(self._archive, AcrossStudies):
            return {}
        _made(into)
        arrived = {path.stem: path for path in self._archive.fetch_across(wanted, into)}
        return {each.study: arrived[each.instances[0]] for each in wanted if each.instances[0] in arrived}

    def _read_arrived(self, release: Release, path: Path, incoming: Path) -> ReadRelease:
        """What came with others; where it cannot be used, the release is asked for alone before that is said of it."""
        try:
            return _usable(path, release)
        except IODeepError:
            return self._read(release, incoming)

    def _read(self, release: Release, incoming: Path) -> ReadRelease:
        try:
            return _usable(self._fetch(release, incoming), release)
        except ArchiveUnreachableError:
            raise
        except IODeepError as error:
            return ReadRelease(Row(release, problem=str(error)))

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
        folder = _made(self._folder)
        try:
            incoming = tempfile.TemporaryDirectory(prefix="incoming-", dir=folder)
        except OSError as error:
            raise _not_writable(folder, error) from error
        with incoming as name:
            yield Path(name)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(folder, error) from error
    return folder


def _not_writable(folder: Path, error: OSError) -> LocalStorageError:
    return LocalStorageError(f"the cache folder {folder} cannot be written: {error.strerror}")


def _usable(fetched: Path, release: Release) -> ReadRelease:
    """The file read, checked and removed."""
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
