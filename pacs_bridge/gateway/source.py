"""A series in an archive, as the cache asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iodeep.ports import Cancellation, Level, ProgressSink, Wanted
from pacs_bridge.gateway.cache import SeriesKey
from pacs_bridge.gateway.pool import ArchivePool


@dataclass(frozen=True)
class ArchiveSeries:
    """The series ``key`` of the archive of that name."""

    pool: ArchivePool
    key: SeriesKey

    def listed(self) -> frozenset[str]:
        """What C-FIND names."""
        match = {"StudyInstanceUID": self.key.study, "SeriesInstanceUID": self.key.series}
        with self.pool.archive(self.key.pacs) as archive:
            return frozenset(answer["SOPInstanceUID"] for answer in archive.find(Level.IMAGE, match))

    def fetch(self, instances: tuple[str, ...], into: Path, progress: ProgressSink, cancel: Cancellation) -> None:
        """By whatever the archive offers."""
        with self.pool.archive(self.key.pacs) as archive:
            archive.fetch(Wanted(self.key.study, self.key.series, instances), into, progress=progress, cancel=cancel)
