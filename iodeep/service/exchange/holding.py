"""What an archive holds of a model, made complete: what is there and equal is not sent again, anything else is refused.

A UID is never used twice, so an instance under a model's UID that is not the model's is a reason to stop, not to replace.
At most one part is on the disk at a time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from iodeep.errors import ArchiveError, IntegrityError, ObjectError
from iodeep.model_object import ModelDescriptor, PartEntry
from iodeep.model_object.check_part import check_payload
from iodeep.model_object.dicom_file import read_header
from iodeep.ports import Archive, Level, Progress, ProgressSink, Wanted, no_progress
from pacs_bridge.content_digest import same_content


@dataclass(frozen=True)
class Held:
    """Of a model that the archive now holds: how many instances, and how many of them it held before."""

    instances: int
    held_before: int


class Holding:
    """One model in one archive."""

    def __init__(
        self, archive: Archive, descriptor: ModelDescriptor, workspace: Path, progress: ProgressSink = no_progress
    ) -> None:
        self._archive = archive
        self._descriptor = descriptor
        self._workspace = workspace
        self._progress = progress
        self._listed = {series: self._uids_of(series) for series in self._all_series()}
        self._kept: list[str] = []
        self._held_before = 0

    def keep_part(self, entry: PartEntry, source: AbstractContextManager[Path]) -> None:
        """Have the part there and equal; ``source`` is entered for its file where it has to be sent, and checked then."""
        if self._lists(entry.series_instance_uid, entry.sop_instance_uid):
            with self._fetched(entry.series_instance_uid, entry.sop_instance_uid) as there:
                self._check_same(str(entry), lambda: check_payload(self._descriptor, entry, there))
            self._held_before += 1
        else:
            with source as path:
                check_payload(self._descriptor, entry, path)
                self._send(path)
        self._count(entry.sop_instance_uid)

    def keep_beside(self, path: Path) -> None:
        """Have an instance there that lies beside the model in its study, such as a signature."""
        header = read_header(path)
        series, uid = header.text("SeriesInstanceUID"), header.text("SOPInstanceUID")
        if series not in self._listed:
            self._listed[series] = self._uids_of(series)
        self._keep(series, uid, path, f"the instance {uid}")

    def keep_descriptor(self, path: Path) -> Held:
        """Have the descriptor there, after all else; then count everything once more: some archives delete the oldest."""
        series, uid = self._descriptor.series_instance_uid, self._descriptor.identity.sop_instance_uid
        self._keep(series, uid, path, "the descriptor")
        self._check_all_listed()
        return Held(len(self._kept), self._held_before)

    def _keep(self, series: str, uid: str, path: Path, what: str) -> None:
        if self._lists(series, uid):
            with self._fetched(series, uid) as there:
                self._check_same(what, lambda: _need_same(path, there))
            self._held_before += 1
        else:
            self._send(path)
        self._count(uid)

    def _send(self, path: Path) -> None:
        self._archive.store([path])
        self._archive.verify_stored([path])

    def _check_same(self, what: str, check: Callable[[], None]) -> None:
        try:
            check()
        except ObjectError as error:
            raise IntegrityError(
                f"{self._archive.name} already holds something else under the UID of {what}: {error.problem}",
                expected=error.expected,
                found=error.found,
                remedy="Find out who stored it. It was neither replaced nor removed; remove it there, then send again.",
            ) from error

    def _lists(self, series: str, uid: str) -> bool:
        return uid in self._listed[series]

    @contextmanager
    def _fetched(self, series: str, uid: str) -> Iterator[Path]:
        wanted = Wanted(self._descriptor.study_instance_uid, series, (uid,))
        with fetched_one(self._archive, wanted, self._workspace) as path:
            yield path

    def _check_all_listed(self) -> None:
        there = frozenset().union(*map(self._uids_of, self._listed))
        lost = [uid for uid in self._kept if uid not in there]
        if lost:
            raise ArchiveError(
                f"{self._archive.name} no longer holds {len(lost)} of {len(self._kept)} instances of the model",
                found=f"no instance {lost[0]}",
                remedy="It may have a limit a study past which it deletes; raise it, then send again.",
            )

    def _all_series(self) -> list[str]:
        return sorted({self._descriptor.series_instance_uid, *(p.series_instance_uid for p in self._descriptor.parts)})

    def _uids_of(self, series: str) -> frozenset[str]:
        match = {"StudyInstanceUID": self._descriptor.study_instance_uid, "SeriesInstanceUID": series}
        return frozenset(row["SOPInstanceUID"] for row in self._archive.find(Level.IMAGE, match, ("SOPInstanceUID",)))

    def _count(self, uid: str) -> None:
        self._kept.append(uid)
        self._progress(Progress("send", len(self._kept), len(self._descriptor.parts) + 1, "instances"))


@contextmanager
def fetched_one(archive: Archive, wanted: Wanted, workspace: Path) -> Iterator[Path]:
    """The one instance that ``wanted`` names, as a file for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="part-", dir=workspace) as name:
        paths = archive.fetch(wanted, Path(name))
        if len(paths) != 1:
            raise ArchiveError(
                f"{archive.name} was asked for one instance and gave {len(paths)}",
                expected=", ".join(wanted.instances),
                remedy="Try again; if it stays so, choose another way to retrieve (retrieve in iodeep.toml).",
            )
        yield paths[0]


def _need_same(ours: Path, there: Path) -> None:
    different = same_content(ours, there)
    if different is not None:
        raise IntegrityError(f"they differ: {different}")
