"""What a command is asked about: a folder, a file, a series or a study becomes local image series.

A UID is looked up in the archive and retrieved into the workspace; nothing else is fetched than what was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from iodeep.errors import InputError
from iodeep.ports import Archive, Attributes, Cancellation, Level, ProgressSink, Wanted, no_progress
from iodeep.volume import SeriesFiles, find_series

_UID = re.compile(r"[0-9]+(\.[0-9]+)+")

# Series of these modalities hold no image that a network could be given.
NOT_IMAGES = frozenset(
    {"OT", "SEG", "SR", "PR", "KO", "RTSTRUCT", "RTPLAN", "RTDOSE", "REG", "FID", "RWV", "DOC", "PLAN"}
)

_SERIES_KEYS = (
    "Modality",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "BodyPartExamined",
    "ProtocolName",
)


@dataclass(frozen=True)
class Subject:
    """The series that a decision is asked for, and what the archive says of the rest of their study."""

    series: tuple[SeriesFiles, ...]
    siblings: tuple[Attributes, ...] = ()
    """Other image series of the study, as the archive describes them; not retrieved."""


def is_uid(text: str) -> bool:
    """Whether ``text`` has the form of a UID (PS3.5 9.1) and is no path that exists."""
    return bool(_UID.fullmatch(text)) and len(text) <= 64 and not Path(text).exists()


def named_uids(text: str) -> tuple[str, str] | None:
    """A study's UID ("" where it isn't said) and the UID asked about, of ``UID`` or ``STUDY_UID/SERIES_UID``."""
    study, _, asked = text.rpartition("/")
    return (study, asked) if is_uid(asked) and (not study or is_uid(study)) else None


def subject_of(
    text: str,
    archive: Archive | None,
    workspace: Path,
    *,
    progress: ProgressSink = no_progress,
    cancel: Cancellation | None = None,
) -> Subject:
    """The image series named by ``text``: a folder or file, or the UID of a series or study in the archive."""
    named = named_uids(text)
    if named is None:
        return Subject(_of_one_study(local_series(Path(text)), text))
    if archive is None:
        raise InputError(f"{text} is a UID, but no PACS was named", remedy="Give --pacs NAME or a URL.")
    study, uid = named
    rows = _series_rows(archive, uid, study)
    asked = [row for row in rows if uid in (row["SeriesInstanceUID"], row["StudyInstanceUID"])]
    if not asked:
        raise InputError(
            f"{archive.name} has no image series {uid}",
            expected="the UID of a study or series with images",
            found="series of other kinds (model objects, segmentations, reports)" if not rows else "other series only",
        )
    folders = [_fetch_series(archive, row, workspace, progress, cancel) for row in asked]
    siblings = tuple(row for row in rows if row not in asked)
    return Subject(tuple(found for folder in folders for found in local_series(folder)), siblings)


def subject_in_folder(folder: Path, study: str, archive: Archive) -> Subject:
    """The image series in ``folder``, with what the archive says of the rest of ``study``: a model may need that too."""
    here = local_series(folder)
    uids = {each.series_instance_uid for each in here}
    rows = _series_rows(archive, study, study)
    return Subject(here, tuple(row for row in rows if row["SeriesInstanceUID"] not in uids))


def local_series(path: Path) -> tuple[SeriesFiles, ...]:
    """The image series in a folder, or the one that a file belongs to."""
    if not path.exists():
        raise InputError(
            f"{path} does not exist",
            expected="a folder or file with DICOM images, or a Series or Study Instance UID",
            remedy="Check the path; a UID is looked up in the archive that --pacs names.",
        )
    scan = find_series(path)
    if scan.unreadable:
        first = scan.unreadable[0]
        more = f" (and {len(scan.unreadable) - 1} more)" if len(scan.unreadable) > 1 else ""
        raise InputError(f"{first.reason.rstrip('.')}{more}", remedy="Nothing is run on part of a series.")
    found = tuple(series for series in scan if series.modality not in NOT_IMAGES)
    if not found:
        raise InputError(f"{path} holds no DICOM image series", expected="at least one image with its pixels")
    return found


def _of_one_study(series: tuple[SeriesFiles, ...], text: str) -> tuple[SeriesFiles, ...]:
    """Refuse a folder with several studies: which of the patients is meant is not ours to guess."""
    studies = sorted({str(header.get("StudyInstanceUID") or "none") for each in series for header in each.headers})
    if len(studies) > 1:
        more = ", ..." if len(studies) > 3 else ""
        raise InputError(
            f"{text} holds images of {len(studies)} studies",
            expected="one study of one patient",
            found=", ".join(studies[:3]) + more,
            remedy="Name the folder or the UID of one study or series.",
        )
    return series


def _series_rows(archive: Archive, uid: str, study: str) -> Sequence[Attributes]:
    """Every image series of the study that ``uid`` is, or that the series ``uid`` is in."""
    study = study or _study_of(archive, uid)
    described = archive.find(Level.STUDY, {"StudyInstanceUID": study}, ("StudyDescription",))
    words = described[0]["StudyDescription"] if described else ""
    rows = archive.find(Level.SERIES, {"StudyInstanceUID": study}, _SERIES_KEYS)
    return [
        {**row, "StudyInstanceUID": study, "StudyDescription": words}
        for row in rows
        if row["Modality"] not in NOT_IMAGES
    ]


def _study_of(archive: Archive, uid: str) -> str:
    if archive.find(Level.STUDY, {"StudyInstanceUID": uid}):
        return uid
    series = archive.find(Level.SERIES, {"SeriesInstanceUID": uid}, ("StudyInstanceUID",))
    if not series:
        raise InputError(
            f"{archive.name} has no study or series {uid}",
            remedy="Check the UID, and that this archive holds the study.",
        )
    return series[0]["StudyInstanceUID"]


def _fetch_series(
    archive: Archive, row: Attributes, workspace: Path, progress: ProgressSink, cancel: Cancellation | None
) -> Path:
    folder = workspace / "series" / row["SeriesInstanceUID"]
    folder.mkdir(parents=True, exist_ok=True)
    wanted = Wanted(row["StudyInstanceUID"], row["SeriesInstanceUID"])
    archive.fetch(wanted, folder, progress=progress, cancel=cancel)
    return folder
