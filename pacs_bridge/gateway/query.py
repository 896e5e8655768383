"""What a QIDO-RS request asks (PS3.18 8.3.4, 10.6.1): matching keys, fields to return, a page, and what is not supported.

A key that cannot be asked of an archive is refused rather than ignored: more patients than were asked for is no answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydicom.datadict import keyword_for_tag, tag_for_keyword

from iodeep.errors import InputError
from iodeep.ports import Level
from pacs_bridge.dimse.levels import level_of
from pacs_bridge.matching import UNIQUE_KEYS, value_representation
from pacs_bridge.part10 import is_uid

MOST_RESULTS = 1000
"""Results of one answer, where the request asks for more or says nothing."""
MODELS = "iodeep-models"
"""Our own parameter: ``true`` shows model objects among the studies."""

RETURNED: dict[Level, tuple[str, ...]] = {
    Level.STUDY: (
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "ModalitiesInStudy",
        "ReferringPhysicianName",
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyID",
        "StudyDescription",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
    ),
    Level.SERIES: (
        "Modality",
        "SeriesDescription",
        "SeriesNumber",
        "NumberOfSeriesRelatedInstances",
        "PerformedProcedureStepStartDate",
        "PerformedProcedureStepStartTime",
    ),
    Level.IMAGE: ("SOPClassUID", "InstanceNumber", "Rows", "Columns", "BitsAllocated", "NumberOfFrames"),
}
"""What is returned for each level (PS3.18 tables 10.6.3-3 to 10.6.3-5); Study Description beside, as everybody asks for it."""
_ALL: dict[Level, tuple[str, ...]] = {
    Level.STUDY: ("OtherPatientIDs", "PatientAge", "PatientComments", "InstitutionName"),
    Level.SERIES: ("SeriesDate", "SeriesTime", "BodyPartExamined", "ProtocolName", "StationName", "Manufacturer"),
    Level.IMAGE: ("ContentDate", "ContentTime", "ImageComments"),
}
_ORDER = (Level.STUDY, Level.SERIES, Level.IMAGE)
_OWN = frozenset({"includefield", "limit", "offset", "fuzzymatching", "accept", "charset", MODELS})
_UNSUPPORTED = {
    "fuzzymatching": "The fuzzymatching parameter is not supported. Only literal matching has been performed.",
    "emptyvaluematching": "The emptyvaluematching parameter is not supported. "
    "Empty Value Matching has not been performed.",
    "multiplevaluematching": "The multiplevaluematching parameter is not supported. "
    "Multiple Value Matching has not been performed.",
}
_HEX = re.compile(r"[0-9A-Fa-f]{8}")


@dataclass(frozen=True)
class Query:
    """A search, ready to be asked."""

    level: Level
    match: dict[str, str]
    """As :meth:`iodeep.ports.Archive.find` takes it; the UIDs of the path among them."""
    include: tuple[str, ...]
    limit: int
    offset: int
    models: bool
    warnings: tuple[str, ...]


def query_of(level: Level, path: dict[str, str], parameters: Sequence[tuple[str, str]]) -> Query:
    """The request's parameters; raises :class:`iodeep.errors.InputError` for what cannot be asked."""
    given = dict(parameters)
    warnings = [text for name, text in _UNSUPPORTED.items() if given.get(name, "").lower() == "true"]
    match = dict(path)
    for name, value in parameters:
        if name in _OWN or name in _UNSUPPORTED:
            continue
        keyword = _keyword(name)
        if keyword in match:
            raise InputError(f"{keyword} is given more than once", remedy="Give each attribute once.")
        match[keyword] = _key(level, keyword, value)
    fields = _included(level, [value for name, value in parameters if name == "includefield"])
    return Query(
        level,
        {keyword: value for keyword, value in match.items() if value},
        tuple(dict.fromkeys((*_returned(level, path), *match, *fields))),
        _count(given, "limit", MOST_RESULTS),
        _count(given, "offset", 0),
        given.get(MODELS, "").lower() == "true",
        tuple(warnings),
    )


def check_path(uids: Iterable[str]) -> None:
    """UIDs of a path; they become queries and file names."""
    if wrong := [uid for uid in uids if not is_uid(uid)]:
        raise InputError(f"{wrong[0]!r} is not a UID", expected="digits and dots, at most 64 characters")


def _returned(level: Level, path: dict[str, str]) -> tuple[str, ...]:
    """The level's own, and those of the levels above that the path doesn't name (PS3.18 10.6.3.3.2, 10.6.3.3.3)."""
    above = [each for each in _ORDER[: _ORDER.index(level)] if UNIQUE_KEYS[each][-1] not in path]
    return tuple(keyword for each in (*above, level) for keyword in RETURNED[each])


def _included(level: Level, values: Sequence[str]) -> list[str]:
    """Fields asked for; those of the levels below are left out (PS3.18 10.6.3.3.1)."""
    names = [name.strip() for value in values for name in value.split(",") if name.strip()]
    if "all" in names:
        return [keyword for each in _ORDER[: _ORDER.index(level) + 1] for keyword in (*RETURNED[each], *_ALL[each])]
    keywords = [keyword for name in names if (keyword := _keyword_or_none(name))]
    return [keyword for keyword in keywords if not _below(level, keyword)]


def _keyword_or_none(name: str) -> str | None:
    """A field that no query can carry is not supported, and left out (PS3.18 10.6.3.3)."""
    try:
        keyword = _keyword(name)
        value_representation(keyword)
    except InputError:
        return None
    return keyword


def _keyword(name: str) -> str:
    if "." in name:
        raise InputError(f"{name}: attributes inside sequences cannot be asked for", remedy="Leave it out.")
    keyword = keyword_for_tag(int(name, 16)) if _HEX.fullmatch(name) else name
    if not keyword or tag_for_keyword(keyword) is None:
        raise InputError(
            f"{name!r} is no attribute that can be asked for", expected="a keyword or tag of PS3.6, not a private one"
        )
    return keyword


def _key(level: Level, keyword: str, value: str) -> str:
    """The value as a C-FIND carries it; a comma separates UIDs, and codes, which hold none themselves."""
    representation = value_representation(keyword)
    if _below(level, keyword):
        raise InputError(
            f"{keyword} is no attribute of the {level.value.lower()} level or above", remedy="Leave it out."
        )
    if representation in ("UI", "CS"):
        return "\\".join(part.strip() for part in value.split(",") if part.strip())
    return value


def _below(level: Level, keyword: str) -> bool:
    return _ORDER.index(level_of(keyword, Level.IMAGE)) > _ORDER.index(level) and keyword not in RETURNED[level]


def _count(given: dict[str, str], name: str, default: int) -> int:
    text = given.get(name, str(default))
    if not text.isdecimal():
        raise InputError(f"{name} is ill-formed", expected="a whole number", found=text)
    return int(text)
