"""Attribute matching as PS3.4 C.2.2.2 has it, done again on every answer: servers ignore keys that they don't support.

An answer that lacks a value for a key cannot be confirmed, so it is no match. Matching is case-sensitive for every VR,
Person Names included: then the same query means the same on every archive.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydicom.datadict import dictionary_VR

_RANGES = {"DA", "TM", "DT"}
_LITERAL = {"UI", "DA", "TM", "DT", "IS", "DS", "US", "UL", "SS", "SL", "FL", "FD", "AS", "AT"}
_UNIVERSAL = re.compile(r"\*+")


def is_universal(wanted: str) -> bool:
    """Whether a key asks for nothing (PS3.4 C.2.2.2.3): empty, or stars alone."""
    return wanted == "" or _UNIVERSAL.fullmatch(wanted) is not None


def answers(match: Mapping[str, str], found: Mapping[str, str]) -> bool:
    """Whether ``found`` fits every key of ``match``; both map DICOM keywords to text."""
    return all(matches(keyword, wanted, found.get(keyword, "")) for keyword, wanted in match.items())


def matches(keyword: str, wanted: str, found: str) -> bool:
    """Whether one attribute's value fits a key: single value, wildcard, range or list of UIDs (PS3.4 C.2.2.2.1 to .5).

    One value of several is enough (PS3.4 C.2.2.2.1).
    """
    if is_universal(wanted):
        return True
    vr = dictionary_VR(keyword)
    values = [value.strip() for value in found.split("\\") if value.strip()]
    return any(_one(vr, pattern.strip(), value) for pattern in wanted.split("\\") for value in values)


def _one(vr: str, wanted: str, value: str) -> bool:
    if vr in _RANGES and "-" in wanted:
        return _in_range(wanted, value)
    if vr in ("IS", "DS"):
        return _same_number(wanted, value)
    if vr == "PN":
        wanted, value = wanted.rstrip("^= "), value.rstrip("^= ")
    if vr in _LITERAL or not ({"*", "?"} & set(wanted)):
        return wanted == value
    return _pattern(wanted).fullmatch(value) is not None


def _in_range(wanted: str, value: str) -> bool:
    """``A-``, ``-B`` or ``A-B``, ends included; a shorter end stands for its whole span (PS3.4 C.2.2.2.5)."""
    first, _, last = wanted.partition("-")
    return value >= first and (not last or value[: len(last)] <= last)


def _same_number(wanted: str, value: str) -> bool:
    try:
        return float(wanted) == float(value)
    except ValueError:
        return wanted == value


def _pattern(wanted: str) -> re.Pattern[str]:
    parts = (".*" if sign == "*" else "." if sign == "?" else re.escape(sign) for sign in wanted)
    return re.compile("".join(parts), re.DOTALL)
