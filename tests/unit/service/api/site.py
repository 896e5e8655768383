"""A site for the API's tests: a board and archives in memory, an audit log that is a list, and a filled day of jobs."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iodeep.errors import ArchiveUnreachableError, LocalStorageError
from iodeep.ports import Archive, Attributes, EchoReply, Level
from iodeep.service.audit import AuditEvent
from iodeep.service.configuration import Configuration
from iodeep.service.serving import DataFolders, ServeContext
from iodeep.settings import settings_of_document
from pacs_bridge.matching import fitting_answers
from tests.unit.selection.support import MemoryArchive
from tests.unit.service.jobs.fake_board import FakeBoard

STUDY, SERIES = "1.2.3.1", "1.2.3.1.1"
ADMINISTRATOR = {"anonymous": "administrator"}

STUDIES: list[Attributes] = [
    {
        "StudyInstanceUID": f"1.2.3.{number}",
        "StudyDate": f"202611{20 - number:02d}",
        "StudyTime": "101500",
        "StudyDescription": "MR head",
        "PatientID": f"P{number}",
        "PatientName": f"Doe^{number}",
        "ModalitiesInStudy": "MR\\SEG",
        "NumberOfStudyRelatedSeries": "2",
        "AccessionNumber": f"A{number}",
    }
    for number in (1, 2, 3)
]
SERIES_ROWS: list[Attributes] = [
    {
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": SERIES,
        "Modality": "MR",
        "SeriesNumber": "1",
        "SeriesDescription": "T1 head",
        "BodyPartExamined": "HEAD",
        "NumberOfSeriesRelatedInstances": "20",
    },
    {"StudyInstanceUID": STUDY, "SeriesInstanceUID": "1.2.3.1.2", "Modality": "SEG", "SeriesNumber": "2"},
]


class SiteArchive(MemoryArchive):
    """Models from folders, and patients' studies from rows."""

    def __init__(self, site: Site, *folders: Path) -> None:
        super().__init__(*folders)
        self._site = site

    def echo(self) -> EchoReply:
        if not self._site.archive_answers.is_set():
            raise ArchiveUnreachableError("nothing answers at main", remedy="Start it.")
        return EchoReply(1.5, "MAIN", "FAKE_1")

    def find(self, level: Level, match: Attributes, include: Sequence[str] = ()) -> list[Attributes]:
        self.echo()
        rows = {Level.STUDY: STUDIES, Level.SERIES: SERIES_ROWS}.get(level, [])
        keywords = (*match, *include, "StudyInstanceUID")
        patients = [{**dict.fromkeys(keywords, ""), **row} for row in rows]
        return [*fitting_answers(level, patients, match), *super().find(level, match, include)]


class AuditList:
    """Events in a list; ``full`` makes it refuse, as a full disk would."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []
        self.full = False

    def record(self, event: AuditEvent) -> None:
        if self.full:
            raise LocalStorageError("the audit log cannot be written", remedy="Make room.")
        self.events.append(event)


@dataclass
class Site:
    """What a test may look at and change."""

    root: Path
    serve: dict[str, Any] = field(default_factory=lambda: {"access": ADMINISTRATOR})
    models: tuple[Path, ...] = ()
    selection: dict[str, Any] = field(default_factory=dict)
    trust: dict[str, Any] = field(default_factory=lambda: {"unsigned": "warn", "research": True})
    lifecycle: dict[str, Any] = field(default_factory=lambda: {"required": False})
    further: dict[str, Any] = field(default_factory=dict)
    """More archives, by name."""
    board: FakeBoard = field(default_factory=FakeBoard)
    audit: AuditList = field(default_factory=AuditList)
    archive_answers: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)
    announced: list[Mapping[str, str]] = field(default_factory=list)
    ready: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self.archive_answers.set()

    def context(self) -> ServeContext:
        """What the service's processes are handed."""
        document = {
            "default_pacs": "main",
            "pacs": {"main": {"host": "127.0.0.1", "port": 1, "aet": "MAIN"}, **self.further},
            "selection": self.selection,
            "trust": self.trust,
            "lifecycle": self.lifecycle,
            "serve": {"arrivals": {"least_free_bytes": 1}, **self.serve},
        }
        settings = settings_of_document(document, "the test's settings")
        return ServeContext(
            name="api",
            configuration=Configuration(settings, None, self.root / "cache"),
            folders=DataFolders(self.root, settings.serve),
            stop=self.stop,
            open_board=lambda: self.board,
            open_archive=self._archive,
            open_audit=lambda: self.audit,
            announce=self._announce,
        )

    def _archive(self, _name: str) -> Archive:
        return SiteArchive(self, *self.models)

    def _announce(self, where: Mapping[str, str]) -> None:
        self.announced.append(where)
        self.ready.set()
