"""QIDO-RS (PS3.18 10.6) through dicomweb-client: paged, and asked so that a server that reads URLs literally answers.

Orthanc doesn't percent-decode the values of a query, and dicomweb-client always encodes them. So a value goes out with
each stretch of characters that would be encoded replaced by ``*``, and the answers are filtered again locally.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dicomweb_client.api import DICOMwebClient
from pydicom.datadict import tag_for_keyword

from iodeep.errors import ArchiveError
from iodeep.ports import Attributes, Level
from pacs_bridge import matching

PAGE = 500
_ENCODED = re.compile(r"[^A-Za-z0-9.\-_~*?]+")
_WILDCARDS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})


def find(client: DICOMwebClient, level: Level, match: Attributes, include: Sequence[str]) -> list[Attributes]:
    """Every fitting entity once, each with every keyword asked for."""
    keywords = matching.keywords_of(level, match, include)
    fields = [keyword for keyword in keywords if keyword not in matching.UNIQUE_KEYS[level]]
    found = itertools.chain.from_iterable(
        _pages(client, level, one, fields, keywords) for one in _one_uid_each(level, match)
    )
    return matching.fitting_answers(level, found, match)


def _one_uid_each(level: Level, match: Attributes) -> Iterator[dict[str, str]]:
    """A query for each UID of a list, because not every server takes lists; lists of other values are filtered locally.

    Instances of a known series are all asked for at once, as that is one query instead of hundreds.
    """
    keys = {keyword: value for keyword, value in match.items() if not matching.is_universal(value)}
    uids = {k: v.split("\\") for k, v in keys.items() if matching.value_representation(k) == "UI"}
    if level is Level.IMAGE and "SeriesInstanceUID" in uids and len(uids.get("SOPInstanceUID", ())) > 1:
        del uids["SOPInstanceUID"]
    others = {k: _sendable(k, v) for k, v in keys.items() if matching.value_representation(k) != "UI" and "\\" not in v}
    for combination in itertools.product(*uids.values()):
        yield {**{k: v for k, v in others.items() if v}, **dict(zip(uids, combination, strict=True))}


def _sendable(keyword: str, value: str) -> str:
    """The value, with what a URL would encode left to the wildcard; empty where the VR knows no wildcards."""
    if matching.value_representation(keyword) in _WILDCARDS:
        return _ENCODED.sub("*", value.strip())
    return "" if _ENCODED.search(value.strip()) else value.strip()


def _pages(
    client: DICOMwebClient, level: Level, keys: Mapping[str, str], fields: Sequence[str], keywords: Sequence[str]
) -> Iterator[Attributes]:
    """Page after page until one brings nothing new: a server may give fewer answers than were asked for."""
    seen: set[str] = set()
    while True:
        page = [_attributes(item, keywords) for item in _page(client, level, keys, fields, offset=len(seen))]
        new = {answer[matching.UNIQUE_KEYS[level][-1]]: answer for answer in page}
        if not new.keys() - seen:
            if len(page) >= PAGE:
                raise ArchiveError(
                    f"{client.base_url} gives the same {len(page)} answers for every page",
                    remedy="Its QIDO-RS ignores offset: narrow the query, or use DIMSE.",
                )
            return
        yield from (answer for uid, answer in new.items() if uid not in seen)
        seen |= new.keys()
        if len(page) < PAGE:
            return


def _page(
    client: DICOMwebClient, level: Level, keys: Mapping[str, str], fields: Sequence[str], offset: int
) -> list[dict[str, Any]]:
    filters = dict(keys)
    search: dict[str, Any] = {"limit": PAGE, "offset": offset, "fields": list(fields)}
    study = filters.pop("StudyInstanceUID", None) if level is not Level.STUDY else None
    if level is Level.STUDY:
        found = client.search_for_studies(search_filters=filters, **search)
    elif level is Level.SERIES:
        found = client.search_for_series(study, search_filters=filters, **search)
    else:
        series = filters.pop("SeriesInstanceUID", None) if study else None
        found = client.search_for_instances(study, series, search_filters=filters, **search)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise ArchiveError(f"{client.base_url} answers a query with something else than a list of attributes")
    return found


def _attributes(item: Mapping[str, Any], keywords: Sequence[str]) -> dict[str, str]:
    """DICOM JSON (PS3.18 Annex F) as text."""
    return {keyword: "\\".join(map(_text, _values(item, keyword))) for keyword in keywords}


def _values(item: Mapping[str, Any], keyword: str) -> list[Any]:
    element = item.get(f"{tag_for_keyword(keyword):08X}", {})
    values = element.get("Value", []) if isinstance(element, dict) else []
    return values if isinstance(values, list) else [values]


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):  # a name's component groups
        groups = [str(value.get(group, "")) for group in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(groups).rstrip("=")
    return str(value).strip(" \0")
