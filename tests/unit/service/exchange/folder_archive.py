"""An archive that is a folder: what was stored in it, counted, and no network."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from iodeep.errors import ArchiveError
from iodeep.model_object.dicom_file import read_header
from iodeep.ports import (
    Attributes,
    Cancellation,
    EchoReply,
    Level,
    ProgressSink,
    StoreReport,
    Wanted,
    no_progress,
)
from pacs_bridge.content_digest import same_content

_KEYS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SeriesNumber", "PatientID", "PatientName")


class FolderArchive:
    """Implements :class:`iodeep.ports.Archive`; ``forgets``: how many of the oldest instances it loses with each one."""

    name = "folder"

    def __init__(self, folder: Path, *, forgets_after: int | None = None) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.stored: list[str] = []
        self.fetched: list[str] = []
        self.fails_after: int | None = None
        self._forgets_after = forgets_after

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def echo(self) -> EchoReply:
        return EchoReply(0.0, self.name)

    def find(self, level: Level, match: Attributes, include: Sequence[str] = ()) -> list[Attributes]:
        key = {Level.STUDY: "StudyInstanceUID", Level.SERIES: "SeriesInstanceUID", Level.IMAGE: "SOPInstanceUID"}[level]
        found: dict[str, Attributes] = {}
        for row in self._rows():
            if all(row.get(name, "") == wanted for name, wanted in match.items()):
                found[row[key]] = row
        return list(found.values())

    def fetch(
        self,
        wanted: Wanted,
        into: Path,
        *,
        progress: ProgressSink = no_progress,
        cancel: Cancellation | None = None,
    ) -> list[Path]:
        fetched = []
        for row in self._rows():
            of_series = wanted.series in (None, row["SeriesInstanceUID"])
            named = not wanted.instances or row["SOPInstanceUID"] in wanted.instances
            if row["StudyInstanceUID"] == wanted.study and of_series and named:
                self.fetched.append(row["SOPInstanceUID"])
                fetched.append(Path(shutil.copy(self.path(row["SOPInstanceUID"]), into)))
        return fetched

    def store(
        self, paths: Sequence[Path], *, progress: ProgressSink = no_progress, cancel: Cancellation | None = None
    ) -> StoreReport:
        for path in paths:
            if self.fails_after is not None and len(self.stored) >= self.fails_after:
                raise ArchiveError("the connection was lost")
            uid = read_header(path).text("SOPInstanceUID")
            shutil.copy(path, self.path(uid))
            self.stored.append(uid)
            if self._forgets_after is not None and len(self.stored) > self._forgets_after:
                self.path(self.stored[0]).unlink(missing_ok=True)
        return StoreReport(len(paths), 0, 0.0)

    def accepted(self, sop_class_uids: Sequence[str]) -> frozenset[str]:
        return frozenset(sop_class_uids)

    def verify_stored(self, paths: Sequence[Path], *, progress: ProgressSink = no_progress) -> None:
        for path in paths:
            assert same_content(path, self.path(read_header(path).text("SOPInstanceUID"))) is None

    def close(self) -> None:
        """Nothing is open."""

    def path(self, uid: str) -> Path:
        return self.folder / f"{uid}.dcm"

    def _rows(self) -> list[dict[str, str]]:
        headers = [read_header(path) for path in sorted(self.folder.glob("*.dcm"))]
        return [{key: header.text(key) for key in _KEYS} for header in headers]
