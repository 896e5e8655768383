"""Workitems as DICOM JSON (PS3.18 Annex F): reading and writing single attributes, and nothing of their rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset

from iodeep.errors import InputError

Document = dict[str, Any]
"""Tags in eight hexadecimal digits, each with a ``vr`` and mostly a ``Value``."""


def tag_of(keyword: str) -> str:
    """The key of an attribute in a document."""
    return f"{tag_for_keyword(keyword) or 0:08X}"


def element(keyword: str, *values: object) -> Document:
    """One attribute; without values an empty one."""
    vr = str(dictionary_VR(keyword))
    return {tag_of(keyword): {"vr": vr, "Value": list(values)} if values else {"vr": vr}}


def document(**attributes: object) -> Document:
    """A document of single values, lists of values, and None for an empty attribute."""
    made: Document = {}
    for keyword, value in attributes.items():
        values = value if isinstance(value, list) else [] if value is None else [value]
        made |= element(keyword, *values)
    return dict(sorted(made.items()))


def values(held: Mapping[str, Any], keyword: str) -> Sequence[Any]:
    """The attribute's values, none where it is absent or empty."""
    found = held.get(tag_of(keyword), {}).get("Value") or []
    return [value for value in found if value not in (None, "")]


def text(held: Mapping[str, Any], keyword: str) -> str:
    """The first value as text, empty where there is none."""
    return next((_text(value) for value in values(held, keyword)), "")


def items(held: Mapping[str, Any], keyword: str) -> Iterator[Document]:
    """The items of a sequence."""
    yield from (item for item in values(held, keyword) if isinstance(item, dict))


def code(value: str, scheme: str, meaning: str) -> Document:
    """An item of a code sequence (PS3.3 table 8.8-1)."""
    return document(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def code_of(item: Mapping[str, Any]) -> str:
    """``SCHEME:VALUE`` of a code sequence's item."""
    value = text(item, "CodeValue") or text(item, "LongCodeValue") or text(item, "URNCodeValue")
    return f"{text(item, 'CodingSchemeDesignator')}:{value}"


def moment(when: datetime) -> str:
    """VR DT, with the time zone."""
    return when.strftime("%Y%m%d%H%M%S.%f%z")


def parsed(body: object) -> Document:
    """The one data set that a request carries; raises :class:`iodeep.errors.InputError` for anything else."""
    found = body[0] if isinstance(body, list) and len(body) == 1 else body
    if not isinstance(found, dict):
        raise InputError("the request carries no workitem", expected="one data set in application/dicom+json")
    held = {str(tag).upper(): value for tag, value in found.items()}
    try:
        Dataset.from_json(held)
    except Exception as error:
        raise InputError("the request's data set is ill-formed", found=str(error)[:200]) from error
    return held


def _text(value: object) -> str:
    if isinstance(value, dict):
        groups = [str(value.get(group, "")) for group in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(groups).rstrip("=")
    return str(value)
