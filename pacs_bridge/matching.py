"""What a query asks and whether an answer fits it, by the rules of PS3.4 C.2.2.2, the same for DIMSE and DICOMweb.

Servers silently ignore keys that they don't support and answer with everything, so no answer is believed before it has
been through here. An attribute that an answer doesn't hold fits no key: what cannot be checked doesn't match. Matching
is case-sensitive, names included, so that a query means the same on every archive.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from iodeep.errors import ArchiveError, InputError
from iodeep.ports import Attributes, Level
from pacs_bridge.part10 import is_uid

UNIQUE_KEYS: dict[Level, tuple[str, ...]] = {
    Level.STUDY: ("StudyInstanceUID",),
    Level.SERIES: ("StudyInstanceUID", "SeriesInstanceUID"),
    Level.IMAGE: ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
}
"""The unique key of each level after those of the levels above (PS3.4 C.6.2.1)."""

_WITHOUT_WILDCARDS = frozenset(
    {"DA", "TM", "DT", "IS", "DS", "UI", "AS", "SL", "SS", "SV", "UL", "US", "UV", "FL", "FD"}
)
_NOT_TEXT = frozenset({"SQ", "OB", "OD", "OF", "OL", "OV", "OW", "UN", "AT"})
_RANGES = frozenset({"DA", "TM", "DT"})
_NUMBERS = frozenset({"IS", "DS", "SL", "SS", "SV", "UL", "US", "UV", "FL", "FD"})
_PADDED_TO = 26  # digits of the longest DT, PS3.5 6.2


def keywords_of(level: Level, match: Attributes, include: Sequence[str] = ()) -> tuple[str, ...]:
    """Every keyword that an answer at ``level`` has to hold, without repeats: unique keys, matching keys, the rest.

    Raises :class:`~iodeep.errors.InputError` for a keyword that DICOM doesn't know or that has no text value.
    """
    keywords = tuple(dict.fromkeys((*UNIQUE_KEYS[level], *match, *include)))
    for keyword in keywords:
        value_representation(keyword)
    return keywords


def value_representation(keyword: str) -> str:
    """The VR of an attribute that can be asked for as text (PS3.6)."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise InputError(
            f"DICOM has no attribute called {keyword!r}", remedy="Use a keyword of PS3.6, such as PatientID."
        )
    representation = str(dictionary_VR(tag))
    if representation[:2] in _NOT_TEXT:
        raise InputError(
            f"{keyword} ({representation}) cannot be asked for in a query", remedy="Retrieve the instance."
        )
    return representation


def dataset_attributes(dataset: Dataset, keywords: Iterable[str]) -> dict[str, str]:
    """The named attributes of an answer as text; an absent one is empty, several values are joined by a backslash."""
    return {keyword: _text(dataset.get(keyword)) for keyword in keywords}


def fitting_answers(level: Level, found: Iterable[Attributes], match: Attributes) -> list[Attributes]:
    """The answers that truly fit, each entity once.

    Studies and series become folders and files of ours: one whose identifier is no UID, such as ``../../etc``, is left
    out. An instance is not, because a series would lack it unnoticed; it can't be retrieved.

    Raises :class:`~iodeep.errors.ArchiveError` where an answer lacks its own unique key, which PS3.4 C.4.1.1.3 requires.
    """
    fitting: dict[str, Attributes] = {}
    for attributes in found:
        identity = attributes.get(UNIQUE_KEYS[level][-1], "")
        if not identity:
            raise ArchiveError(f"an answer at {level} level has no {UNIQUE_KEYS[level][-1]}")
        if level is not Level.IMAGE and not is_uid(identity):
            continue
        if identity not in fitting and matches(attributes, match):
            fitting[identity] = attributes
    return list(fitting.values())


def is_universal(wanted: str) -> bool:
    """Whether a key asks for nothing: empty, or stars alone (PS3.4 C.2.2.2.3)."""
    return not wanted.strip(" *")


def matches(attributes: Attributes, match: Attributes) -> bool:
    """Whether each key is met: universal, single value, list, wildcard or range matching (PS3.4 C.2.2.2)."""
    return all(_meets(keyword, attributes.get(keyword, ""), wanted) for keyword, wanted in match.items())


def _meets(keyword: str, found: str, wanted: str) -> bool:
    """Any value of an attribute meets any value of the key; text of unlimited length has one value only."""
    representation = value_representation(keyword)
    if is_universal(wanted):
        return True
    single = representation in ("ST", "LT", "UT", "UR")
    values = [found] if single else found.split("\\")
    keys = [wanted] if single else wanted.split("\\")
    return any(_value_meets(representation, value.strip(" \0"), key.strip(" \0")) for value in values for key in keys)


def _value_meets(representation: str, value: str, key: str) -> bool:
    if not value:
        return False
    if representation in _RANGES:
        return _in_range(representation, value, key)
    if representation in _NUMBERS:
        return _same_number(value, key)
    if representation in _WITHOUT_WILDCARDS:
        return value == key
    if representation == "PN":
        return _wildcard(_name(key)).fullmatch(_name(value)) is not None
    return _wildcard(key).fullmatch(value) is not None


def _in_range(representation: str, value: str, key: str) -> bool:
    """``A-B``, ``A-`` or ``-B``, both ends included, or one point in time; a short form stands for its whole span."""
    moment = _digits(value)
    if representation == "DT" and re.search(r"[+-]\d{4}$", value):
        moment = _digits(value[:-5])
    first, dash, last = key.partition("-")
    if not dash:
        return moment.ljust(_PADDED_TO, "0") == _digits(key).ljust(_PADDED_TO, "0")
    return (
        _digits(first).ljust(_PADDED_TO, "0") <= moment.ljust(_PADDED_TO, "0") <= _digits(last).ljust(_PADDED_TO, "9")
    )


def _digits(moment: str) -> str:
    """A date or time without the separators of ACR-NEMA forms, which PS3.5 6.2 asks to read."""
    return re.sub(r"\D", "", moment)


def _same_number(value: str, key: str) -> bool:
    try:
        return float(value) == float(key)
    except ValueError:
        return value == key


def _name(name: str) -> str:
    """A name without the empty components and component groups at its end, which say nothing (PS3.5 6.2.1)."""
    return "=".join(group.rstrip("^ ") for group in name.split("=")).rstrip("=")


def _wildcard(key: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(character) or re.escape(character) for character in key), re.DOTALL)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, MultiValue | list | tuple):
        return "\\".join(_text(one) for one in value)
    original = getattr(value, "original_string", None)
    return str(original if isinstance(original, str) else value).strip(" \0")
