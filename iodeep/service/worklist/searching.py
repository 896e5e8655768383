"""Search of workitems (PS3.18 11.9, PS3.4 CC.2.8): by any attribute, also of a sequence's items, with wildcards and ranges."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import keyword_for_tag, tag_for_keyword

from iodeep.errors import InputError
from iodeep.service.worklist.documents import Document, items, tag_of, values
from pacs_bridge.matching import matches, value_representation

MOST_RESULTS = 200
RETURNED = (
    "SOPClassUID",
    "SOPInstanceUID",
    "ScheduledProcedureStepPriority",
    "ScheduledProcedureStepModificationDateTime",
    "ProcedureStepLabel",
    "WorklistLabel",
    "ScheduledProcessingParametersSequence",
    "ScheduledStationNameCodeSequence",
    "ScheduledStationClassCodeSequence",
    "ScheduledStationGeographicLocationCodeSequence",
    "ScheduledHumanPerformersSequence",
    "ScheduledProcedureStepStartDateTime",
    "ExpectedCompletionDateTime",
    "ScheduledWorkitemCodeSequence",
    "InputReadinessState",
    "InputInformationSequence",
    "StudyInstanceUID",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "AdmissionID",
    "ReferencedRequestSequence",
    "ReplacedProcedureStepSequence",
    "ProcedureStepState",
    "ProcedureStepProgressInformationSequence",
)
"""Attributes of return key type 1 and 2."""
_OWN = frozenset({"includefield", "limit", "offset", "fuzzymatching", "accept", "charset"})
_HEX = re.compile(r"[0-9A-Fa-f]{8}")


@dataclass(frozen=True)
class Search:
    """What is searched for: keys by the keywords that lead to them, and what is returned beside the usual."""

    keys: tuple[tuple[tuple[str, ...], str], ...] = ()
    include: tuple[str, ...] = ()
    everything: bool = False
    limit: int = MOST_RESULTS
    offset: int = 0
    fuzzy: bool = False


def search_of(parameters: Sequence[tuple[str, str]]) -> Search:
    """A request's parameters; raises :class:`iodeep.errors.InputError`."""
    given = dict(parameters)
    fields = [each.strip() for name, value in parameters if name == "includefield" for each in value.split(",")]
    return Search(
        tuple((_path(name), value) for name, value in parameters if name not in _OWN),
        tuple(_path(each)[0] for each in fields if each and each != "all"),
        "all" in fields,
        min(_count(given, "limit", MOST_RESULTS), MOST_RESULTS),
        _count(given, "offset", 0),
        given.get("fuzzymatching", "").lower() == "true",
    )


def fits(held: Mapping[str, Any], keys: Iterable[tuple[tuple[str, ...], str]]) -> bool:
    """Whether every key is met."""
    return all(_meets(held, path, wanted) for path, wanted in keys)


def shown(held: Mapping[str, Any], search: Search) -> Document:
    """What a result holds; the Transaction UID is its owner's alone."""
    asked = {*map(tag_of, (*RETURNED, *search.include, *(path[0] for path, _ in search.keys)))}
    return {tag: value for tag, value in held.items() if (search.everything or tag in asked) and tag != _TRANSACTION}


_TRANSACTION = tag_of("TransactionUID")


def _meets(held: Mapping[str, Any], path: tuple[str, ...], wanted: str) -> bool:
    keyword, rest = path[0], path[1:]
    if rest:
        return any(_meets(item, rest, wanted) for item in items(held, keyword))
    found = "\\".join(_text(value) for value in values(held, keyword))
    return matches({keyword: found}, {keyword: wanted.replace(",", "\\") if _listed(keyword) else wanted})


def _listed(keyword: str) -> bool:
    return value_representation(keyword) in ("UI", "CS")


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "=".join(str(value.get(group, "")) for group in ("Alphabetic", "Ideographic", "Phonetic")).rstrip("=")
    return str(value)


def _path(name: str) -> tuple[str, ...]:
    keywords = tuple(keyword_for_tag(int(part, 16)) if _HEX.fullmatch(part) else part for part in name.split("."))
    if not all(keyword and tag_for_keyword(keyword) is not None for keyword in keywords):
        raise InputError(f"{name!r} is no attribute", expected="keywords or tags of PS3.6, with dots into sequences")
    return keywords


def _count(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name, str(default))
    if not text.isdecimal():
        raise InputError(f"{name} is ill-formed", expected="a whole number", found=text)
    return int(text)
