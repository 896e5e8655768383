"""Why a result is what it is: the record of its choice, read from the report in the archive and from nothing else.

What the archive's models are today doesn't count: the answer is the one that the run had.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

from iodeep.errors import InputError
from iodeep.ports import Archive, Level, ProgressSink, Wanted, no_progress
from iodeep.results import decision_of_report
from iodeep.service.subjects import named_uids

_SEGMENTATIONS = frozenset({str(SegmentationStorage), "1.2.840.10008.5.1.4.1.1.66.7"})


@dataclass(frozen=True)
class KeptDecision:
    """A report's record of its choice, and what the report is about."""

    report_uid: str
    report_series_uid: str
    study_uid: str
    segmentation_uids: tuple[str, ...]
    source_uids: frozenset[str]
    """Series and SOP Instance UIDs of everything that the report names as evidence."""
    made: str
    """Content Date and Time, as people write them."""
    record: dict[str, Any]

    def is_about(self, uid: str) -> bool:
        """Whether ``uid`` is the report, its series or study, its segmentation, or an image or series that it was made of."""
        return uid in {self.report_uid, self.report_series_uid, self.study_uid} or uid in self.source_uids

    def as_document(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "report_uid": self.report_uid,
            "segmentation_uids": list(self.segmentation_uids),
            "made": self.made,
            "decision": self.record,
        }


def decisions_about(
    text: str, archive: Archive | None, workspace: Path, *, progress: ProgressSink = no_progress
) -> tuple[KeptDecision, ...]:
    """The records of every result that ``text`` names: a file, a folder, or the UID of a result, series or study.

    Errors: :class:`iodeep.errors.InputError` where there is no such thing, or no report of ours about it.
    """
    uids = named_uids(text)
    if uids is None:
        found = tuple(_kept(_files(Path(text))))
    elif archive is None:
        raise InputError(f"{text} is a UID, but no PACS was named", remedy="Give --pacs NAME or a URL.")
    else:
        study, asked = uids
        kept = _kept(_reports(archive, study or _study_of(archive, asked), workspace, progress))
        found = tuple(each for each in kept if each.is_about(asked))
    if not found:
        raise InputError(
            f"no report about {text} says why its model was chosen",
            expected="a result of this software, a series or study that has one, or a report's file",
            remedy="Results of software older than this, or of others, hold no such record.",
        )
    return tuple(sorted(found, key=lambda each: (each.made, each.report_uid)))


def _study_of(archive: Archive, uid: str) -> str:
    for level, key in (
        (Level.STUDY, "StudyInstanceUID"),
        (Level.SERIES, "SeriesInstanceUID"),
        (Level.IMAGE, "SOPInstanceUID"),
    ):
        rows = archive.find(level, {key: uid}, ("StudyInstanceUID",))
        if rows:
            return rows[0]["StudyInstanceUID"]
    raise InputError(
        f"{archive.name} has no study, series or instance {uid}",
        remedy="Check the UID. Some archives don't look for an instance alone: give STUDY_UID/UID.",
    )


def _reports(archive: Archive, study: str, workspace: Path, progress: ProgressSink) -> Iterator[Path]:
    """The structured reports of a study, fetched."""
    rows = archive.find(Level.SERIES, {"StudyInstanceUID": study}, ("SeriesInstanceUID", "Modality"))
    for row in rows:
        if row["Modality"] == "SR":
            folder = workspace / "reports" / row["SeriesInstanceUID"]
            folder.mkdir(parents=True, exist_ok=True)
            yield from archive.fetch(Wanted(study, row["SeriesInstanceUID"]), folder, progress=progress)


def _files(path: Path) -> Iterator[Path]:
    if not path.exists():
        raise InputError(
            f"{path} does not exist", expected="a report's file, a folder with one, or a UID", remedy="Check the path."
        )
    yield from sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]


def _kept(paths: Iterable[Path]) -> Iterator[KeptDecision]:
    for path in paths:
        try:
            report = pydicom.dcmread(path, stop_before_pixels=True)
        except InvalidDicomError:
            continue
        if report.get("SOPClassUID") == Comprehensive3DSRStorage and (record := decision_of_report(report)):
            yield _kept_in(report, record)


def _kept_in(report: pydicom.Dataset, record: dict[str, Any]) -> KeptDecision:
    evidence = [
        (str(series.SeriesInstanceUID), str(image.ReferencedSOPClassUID), str(image.ReferencedSOPInstanceUID))
        for study in report.get("CurrentRequestedProcedureEvidenceSequence") or []
        for series in study.ReferencedSeriesSequence
        for image in series.ReferencedSOPSequence
    ]
    return KeptDecision(
        report_uid=str(report.SOPInstanceUID),
        report_series_uid=str(report.SeriesInstanceUID),
        study_uid=str(report.StudyInstanceUID),
        segmentation_uids=tuple(uid for _, kind, uid in evidence if kind in _SEGMENTATIONS),
        source_uids=frozenset(uid for series, _, image in evidence for uid in (series, image)),
        made=_moment(report),
        record=record,
    )


def _moment(report: pydicom.Dataset) -> str:
    date, time = str(report.ContentDate), str(report.ContentTime)
    return f"{date[:4]}-{date[4:6]}-{date[6:8]} {time[:2]}:{time[2:4]}:{time[4:6]}"
