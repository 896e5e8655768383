"""A clock that is moved, an archive that answers as it is told, and an audit log in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self

from pydicom.dataset import Dataset
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import write_dataset

from iodeep.errors import ArchiveUnreachableError
from iodeep.ports import Attributes, Level
from iodeep.service.audit import AuditEvent
from iodeep.settings import PacsSettings, Settings
from pacs_bridge.listener import Received, Room, Spool
from pacs_bridge.part10 import write_header
from tests.synthetic import CT_IMAGE

STUDY, SERIES, SENDER = "1.2.10", "1.2.10.1", "PACSAET"


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class AuditLog:
    """Events in the order in which they came."""

    events: list[AuditEvent] = field(default_factory=list)

    def record(self, event: AuditEvent) -> None:
        self.events.append(event)


@dataclass
class FakeArchive:
    """Rows by level; ``down`` makes every question fail."""

    studies: list[dict[str, str]] = field(default_factory=list)
    series: list[dict[str, str]] = field(default_factory=list)
    images: dict[str, int] = field(default_factory=dict)
    down: bool = False
    asked: list[tuple[Level, Attributes]] = field(default_factory=list)
    name: str = "main"

    def find(self, level: Level, match: Attributes, include: Sequence[str] = ()) -> list[Attributes]:
        self.asked.append((level, match))
        if self.down:
            raise ArchiveUnreachableError("nothing answers")
        if level is Level.IMAGE:
            return [{"SOPInstanceUID": str(n)} for n in range(self.images.get(match["SeriesInstanceUID"], 0))]
        rows = self.studies if level is Level.STUDY else self.series
        keys = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID")
        found = [r for r in rows if all(fnmatchcase(r.get(k, ""), match[k]) for k in keys if k in match)]
        return [{k: row.get(k, "") for k in (*row, *include)} for row in found]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def add_study(self, uid: str, *, patient: str = "P1", date: str = "20260301", time: str = "120000") -> None:
        self.studies.append(
            {
                "StudyInstanceUID": uid,
                "PatientID": patient,
                "StudyDate": date,
                "StudyTime": time,
                "NumberOfStudyRelatedInstances": "",
            }
        )

    def set_series(self, study: str, uid: str, count: int | None, modality: str = "CT") -> None:
        """``count`` None: the archive tells none."""
        self.series = [row for row in self.series if row["SeriesInstanceUID"] != uid]
        self.series.append(
            {
                "StudyInstanceUID": study,
                "SeriesInstanceUID": uid,
                "Modality": modality,
                "NumberOfSeriesRelatedInstances": "" if count is None else str(count),
            }
        )


def site(**serve: Any) -> Settings:
    """Settings with one archive, ``main``, which calls itself :data:`SENDER`."""
    pacs = PacsSettings(name="main", host="127.0.0.1", port=104, aet=SENDER)
    return Settings.model_validate({"pacs": {"main": pacs}, "serve": serve})


def put(
    spool: Spool,
    room: Room,
    number: int,
    *,
    study: str = STUDY,
    series: str = SERIES,
    modality: str = "CT",
    patient: str = "P1",
    sender: str = SENDER,
    sop_class: str = CT_IMAGE,
    tell: Callable[[Received], None] = lambda _: None,
) -> Path:
    """One instance as the listener publishes it."""
    part = spool.part("x")
    part.parent.mkdir(parents=True, exist_ok=True)
    _write(part, sop_class, f"{series}.{number}", study, series, modality, patient, sender)
    length = part.stat().st_size
    target = spool.place(study, series, f"{series}.{number}")
    new = spool.publish(part, target)
    if new:
        room.take(length)
        tell(Received(target, sop_class, f"{series}.{number}", study, series, modality, patient, sender, length))
    return target


def _write(
    path: Path, sop_class: str, uid: str, study: str, series: str, modality: str, patient: str, sender: str
) -> None:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, uid
    dataset.Modality, dataset.PatientID = modality, patient
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.InstanceNumber = 1
    with path.open("wb") as file:
        write_header(file, sop_class, uid, "1.2.840.10008.1.2.1", sender)
        like = DicomFileLike(file)
        like.is_little_endian, like.is_implicit_VR = True, False
        write_dataset(like, dataset)
