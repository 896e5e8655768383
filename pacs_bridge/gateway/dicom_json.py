"""DICOM JSON (PS3.18 Annex F): answers of a query, and metadata whose large values are named by a URI and never read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from iodeep.errors import InputError
from iodeep.ports import Attributes
from pacs_bridge.gateway.errors import NotThereError
from pacs_bridge.part10 import UNREADABLE

INLINE_BYTES = 1024
"""Binary values up to this length are part of the metadata; longer ones are named by a BulkDataURI."""
_BULK = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_DEFER_BYTES = 1 << 16
_UNDEFINED = 0xFFFFFFFF
_INTEGERS = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV"})
_DECIMALS = frozenset({"DS", "FL", "FD"})
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")

UriOf = Callable[[str], str]
"""The URI of a bulk value, by its path: tags and item numbers with a slash between."""
Json = dict[str, Any]


def attributes_json(attributes: Attributes) -> Json:
    """The attributes of a query's answer, in order of tag; an empty one has no value (PS3.18 F.2.5)."""
    tagged = {BaseTag(tag_for_keyword(keyword) or 0): value for keyword, value in attributes.items()}
    return {f"{tag:08X}": _attribute(str(dictionary_VR(tag)), value) for tag, value in sorted(tagged.items())}


def metadata(path: Path, uri_of: UriOf) -> Json:
    """An instance without its bulk data; at most 64 KiB of a value are in memory."""
    try:
        dataset = dcmread(path, defer_size=_DEFER_BYTES)
        return _dataset(dataset, uri_of, "")
    except UNREADABLE as error:
        raise InputError(f"an instance of the archive cannot be read: {error}", found=path.stem) from error


@dataclass(frozen=True)
class Bulk:
    """A bulk value: bytes of the file from ``offset``, or, inside a sequence, the bytes themselves."""

    length: int
    offset: int = 0
    value: bytes | None = None
    encapsulated: bool = False
    """Compressed pixel data, whose frames are asked for one by one."""


def bulk(path: Path, where: str) -> Bulk:
    """The value at a path that :func:`metadata` named."""
    steps = where.split("/")
    try:
        dataset = dcmread(path, defer_size=_DEFER_BYTES)
        raw = _at(dataset, steps).get_item(int(steps[-1], 16), keep_deferred=len(steps) == 1)
    except (*UNREADABLE, OSError) as error:
        raise NotThereError(f"the instance has no bulk data at {where}", found=str(error)) from error
    if raw is None or _vr(raw, BaseTag(raw.tag)) not in (*_BULK, "OB or OW"):
        raise NotThereError(f"the instance has no bulk data at {where}", remedy="See its metadata.")
    if isinstance(raw, RawDataElement) and len(steps) == 1:
        encapsulated = raw.length == _UNDEFINED
        return Bulk(raw.length, raw.value_tell, None, encapsulated)
    return Bulk(len(raw.value or b""), value=raw.value or b"")


def _at(dataset: Dataset, steps: list[str]) -> Dataset:
    """The item of nested sequences in which the last step is to be looked up."""
    for tag, number in zip(steps[:-1:2], steps[1:-1:2], strict=True):
        dataset = dataset[int(tag, 16)].value[int(number)]
    return dataset


def _attribute(vr: str, text: str) -> Json:
    if not text:
        return {"vr": vr}
    return {"vr": vr, "Value": [_value(vr, each) for each in _values(vr, text)]}


def _values(vr: str, text: str) -> Sequence[str]:
    return [text] if vr in ("ST", "LT", "UT", "UR") else text.split("\\")


def _value(vr: str, text: str) -> object:
    if not text:
        return None
    if vr == "PN":
        return {group: name for group, name in zip(_GROUPS, text.split("="), strict=False) if name}
    if vr in _INTEGERS or vr in _DECIMALS:
        return _number(text, whole=vr in _INTEGERS)
    return text


def _number(text: str, *, whole: bool) -> object:
    """A number; what a PACS gives as one and isn't stays what it is (PS3.18 F.2.3.1 allows strings for IS and DS)."""
    try:
        return int(text) if whole else float(text)
    except ValueError:
        return text


def _dataset(dataset: Dataset, uri_of: UriOf, where: str) -> Json:
    return {
        f"{tag:08X}": _element(dataset, tag, uri_of, f"{where}{tag:08X}")
        for tag in sorted(dataset.keys())
        if tag.element != 0  # group lengths (PS3.18 F.2.2)
    }


def _element(dataset: Dataset, tag: BaseTag, uri_of: UriOf, where: str) -> Json:
    raw = dataset.get_item(tag, keep_deferred=True)
    vr = _vr(raw, tag)
    if (vr in _BULK or tag in _PIXELS) and _is_long(raw, tag):
        return {"vr": "OW" if vr == "OB or OW" else vr, "BulkDataURI": uri_of(where)}
    element = dataset[tag]
    if element.VR == "SQ":
        return _sequence(element, uri_of, where)
    return dict(element.to_json_dict(None, bulk_data_threshold=1 << 62))


def _sequence(element: DataElement, uri_of: UriOf, where: str) -> Json:
    items = [_dataset(item, uri_of, f"{where}/{number}/") for number, item in enumerate(element.value)]
    return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}


def _vr(raw: DataElement | RawDataElement | None, tag: BaseTag) -> str:
    vr = raw.VR if raw is not None else None
    if vr and vr != "UN":
        return str(vr)
    if dictionary_has_tag(tag):
        return str(dictionary_VR(tag))
    return "UN"


def _is_long(raw: DataElement | RawDataElement | None, tag: BaseTag) -> bool:
    """Pixel data always are; a value that was not read is longer than what we read."""
    if tag in _PIXELS or raw is None or raw.value is None:
        return True
    return len(raw.value) > INLINE_BYTES
