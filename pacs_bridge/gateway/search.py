"""QIDO-RS (PS3.18 10.6) by C-FIND: what archives leave out is worked out, and model objects are not among patients.

Many archives neither match nor return Modalities in Study and the numbers of related entities, which every viewer asks
for: these are counted from the levels below, for the studies and series of the page that is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from iodeep.errors import ArchiveError, ArchiveUnreachableError
from iodeep.ports import Archive, Attributes, Level
from pacs_bridge.gateway.query import MOST_RESULTS, RETURNED, Query
from pacs_bridge.matching import UNIQUE_KEYS, is_universal, matches

MODEL_PREFIX = "AIM1."
"""What the Patient ID of every model object begins with."""
MOST_COUNTED = 500
"""Studies whose series are asked for one by one, where an archive does not match Modalities in Study itself."""
_RANGE = "-"
Found = dict[str, str]
Ended = Callable[[], bool]


@dataclass(frozen=True)
class Page:
    """The results of one answer, and how many more there are."""

    results: list[Found]
    remaining: int
    warnings: tuple[str, ...]


def search(archive: Archive, query: Query) -> Page:
    """One page of what the archive has, in an order that stays the same while the archive does."""
    modalities = query.match.get("ModalitiesInStudy", "")
    found = _found(archive, query, query.match)
    warnings = list(query.warnings)
    if not found and not is_universal(modalities):
        others = {keyword: value for keyword, value in query.match.items() if keyword != "ModalitiesInStudy"}
        found = _by_counting(archive, _found(archive, query, others), modalities, warnings)
    if not query.models:
        found = [each for each in found if not each.get("PatientID", "").startswith(MODEL_PREFIX)]
    found.sort(key=_ORDER[query.level])
    page = found[query.offset : query.offset + min(query.limit, MOST_RESULTS)]
    remaining = max(0, len(found) - query.offset - len(page))
    asked = {*query.include, *query.match, *UNIQUE_KEYS[query.level]}
    return Page([_only(_completed(archive, query.level, each), asked) for each in page], remaining, tuple(warnings))


def _found(archive: Archive, query: Query, match: Attributes) -> list[Found]:
    """All matches; an archive that refuses a return key is asked for those alone that every archive has."""
    include = [*query.include, "PatientID"]
    sent, combined = _without_combined_time(match)
    try:
        answers = archive.find(query.level, sent, include)
    except ArchiveUnreachableError:
        raise
    except ArchiveError:
        required = ["PatientID", *(each for each in RETURNED[query.level] if each not in _OPTIONAL | _IF_KNOWN)]
        answers = archive.find(query.level, sent, required)
    return [dict(each) for each in answers if combined(each)]


_OPTIONAL = frozenset(
    {
        "ModalitiesInStudy",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
        "NumberOfSeriesRelatedInstances",
        "ReferringPhysicianName",
        "PatientBirthDate",
        "PatientSex",
    }
)
"""Required of us, but not of an archive's C-FIND (PS3.4 C.6.2.1)."""


def _without_combined_time(match: Attributes) -> tuple[dict[str, str], Callable[[Attributes], bool]]:
    """Date and time ranges together mean one range of moments (PS3.4 C.2.2.2.5.4): asked by date, filtered here."""
    date, time = match.get("StudyDate", ""), match.get("StudyTime", "")
    if _RANGE not in date or _RANGE not in time:
        return dict(match), lambda _: True
    (first_day, last_day), (first, last) = date.split(_RANGE, 1), time.split(_RANGE, 1)
    earliest, latest = first_day + first.ljust(6, "0"), (last_day or "9" * 8) + (last or "235959").ljust(6, "9")

    def within(found: Attributes) -> bool:
        moment = found.get("StudyDate", "") + found.get("StudyTime", "").split(".")[0].ljust(6, "0")
        return earliest <= moment <= latest

    return {keyword: value for keyword, value in match.items() if keyword != "StudyTime"}, within


def _by_counting(archive: Archive, found: list[Found], wanted: str, warnings: list[str]) -> list[Found]:
    """Studies that hold a series of a modality, for an archive that doesn't say."""
    found.sort(key=_ORDER[Level.STUDY])
    if len(found) > MOST_COUNTED:
        warnings.append(
            f"The archive does not match Modalities in Study: only the {MOST_COUNTED} newest of {len(found)} "
            "studies were looked into. Narrow the search, by Study Date for instance."
        )
    completed = [_completed(archive, Level.STUDY, each) for each in found[:MOST_COUNTED]]
    return [each for each in completed if matches(each, {"ModalitiesInStudy": wanted})]


def _completed(archive: Archive, level: Level, found: Found) -> Found:
    """With the counts that the archive left out."""
    if level is Level.STUDY:
        return _with_study_counts(archive, found)
    if level is Level.SERIES and not found.get("NumberOfSeriesRelatedInstances"):
        keys = {keyword: found[keyword] for keyword in UNIQUE_KEYS[Level.SERIES]}
        return {**found, "NumberOfSeriesRelatedInstances": str(len(archive.find(Level.IMAGE, keys)))}
    return found


def _with_study_counts(archive: Archive, found: Found) -> Found:
    study = {"StudyInstanceUID": found["StudyInstanceUID"]}
    if not (found.get("ModalitiesInStudy") and found.get("NumberOfStudyRelatedSeries")):
        series = archive.find(Level.SERIES, study, ["Modality"])
        modalities = sorted({each["Modality"] for each in series} - {""})
        found = {**found, "ModalitiesInStudy": "\\".join(modalities), "NumberOfStudyRelatedSeries": str(len(series))}
    if not found.get("NumberOfStudyRelatedInstances"):
        found = {**found, "NumberOfStudyRelatedInstances": str(len(archive.find(Level.IMAGE, study)))}
    return found


def _only(found: Found, asked: set[str]) -> Found:
    """What was asked for; of what need not be known, what is (PS3.18 tables 10.6.3-3 to 10.6.3-5, type C)."""
    return {
        keyword: value for keyword, value in found.items() if keyword in asked and (value or keyword not in _IF_KNOWN)
    }


_IF_KNOWN = frozenset(
    {
        "StudyDescription",
        "SeriesDescription",
        "PerformedProcedureStepStartDate",
        "PerformedProcedureStepStartTime",
        "SOPClassUID",
        "Rows",
        "Columns",
        "BitsAllocated",
        "NumberOfFrames",
    }
)


def _number(text: str) -> int:
    return int(text) if text.lstrip("-").isdecimal() else 0


def _newest_first(found: Found) -> tuple[Sequence[int], str]:
    moment = found.get("StudyDate", "") + found.get("StudyTime", "").split(".")[0]
    return [-ord(character) for character in moment.ljust(14, "0")], found["StudyInstanceUID"]


_ORDER: dict[Level, Callable[[Found], tuple[object, ...]]] = {
    Level.STUDY: _newest_first,
    Level.SERIES: lambda found: (_number(found.get("SeriesNumber", "")), found["SeriesInstanceUID"]),
    Level.IMAGE: lambda found: (_number(found.get("InstanceNumber", "")), found["SOPInstanceUID"]),
}
