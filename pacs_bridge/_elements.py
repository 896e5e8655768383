"""Data elements of a DICOM file one after the other, without their values (PS3.5 7.1, 7.5).

The rule: nothing is read that was not asked for, and every length is held against the end of what contains it.
pydicom reads values whole or parses them; this serves comparing and hashing files larger than memory.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from pydicom.datadict import dictionary_VR, keyword_for_tag

Tag = tuple[int, int]

UNDEFINED = 0xFFFFFFFF
PIXEL_DATA: Tag = (0x7FE0, 0x0010)
_TRAILING_PADDING: Tag = (0xFFFC, 0xFFFC)
_ITEM: Tag = (0xFFFE, 0xE000)
_ITEM_END: Tag = (0xFFFE, 0xE00D)
_SEQUENCE_END: Tag = (0xFFFE, 0xE0DD)
_TRANSFER_SYNTAX: Tag = (0x0002, 0x0010)
_LONG_FORM = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_META_VALUE_LIMIT = 1 << 16


class MalformedError(Exception):
    """A file breaks the encoding rules of PS3.5; says where."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path.name}: {problem}")
        self.path = path
        self.problem = problem


@dataclass(frozen=True)
class Header:
    """Tag, VR where it is known, and length of an element's value; None is an undefined length."""

    tag: Tag
    vr: str | None
    length: int | None

    @property
    def is_sequence(self) -> bool:
        """An element of undefined length is a sequence unless it holds encapsulated pixel data (PS3.5 7.5, A.4)."""
        return self.vr == "SQ" or (self.length is None and self.tag != PIXEL_DATA)


@dataclass(frozen=True)
class ElementReader:
    """Walks the elements of an open file in Little Endian; ``implicit`` says how VRs are given."""

    file: BinaryIO
    path: Path
    implicit: bool
    size: int

    def next_element(self, end: int | None) -> Header | None:
        """The next element up to ``end`` or an item's delimiter; group lengths and trailing padding are passed over."""
        while (end is None or self.file.tell() < end) and not self._at_trailing_zeros():
            header = self._header(end)
            if header.tag == _ITEM_END and end is None:
                return None
            if header.tag[1] != 0 and header.tag != _TRAILING_PADDING:
                return header
            self.skip(header)
        return None

    def next_item(self, end: int | None) -> Header | None:
        """The next item of a sequence, or fragment of encapsulated pixel data (PS3.5 7.5.1)."""
        if end is not None and self.file.tell() >= end:
            return None
        group, element, length = struct.unpack("<HHI", self._read(8, end))
        if (group, element) == _SEQUENCE_END:
            return None
        if (group, element) != _ITEM:
            raise MalformedError(self.path, f"{tag_text((group, element))} where an item of a sequence should be")
        return self._checked(Header(_ITEM, None, None if length == UNDEFINED else length), end)

    def end_of(self, header: Header) -> int | None:
        """Where a value ends; None for a delimited one."""
        return None if header.length is None else self.file.tell() + header.length

    def skip(self, header: Header) -> None:
        """Pass over a value of known length."""
        self.file.seek(header.length or 0, os.SEEK_CUR)

    def within(self, header: Header) -> ElementReader:
        """The reader for a sequence's items: those of an unknown VR are in Implicit VR (PS3.5 6.2.2)."""
        return ElementReader(self.file, self.path, self.implicit or header.vr == "UN", self.size)

    def _at_trailing_zeros(self) -> bool:
        """Whether nothing but zeros follows in the file: some scanners fill up a block; no data set has a group 0000."""
        start = self.file.tell()
        if self.file.read(8) == bytes(8):
            while (chunk := self.file.read(1 << 16)) and not any(chunk):
                pass
            if not chunk:
                return True
        self.file.seek(start)
        return False

    def _header(self, end: int | None) -> Header:
        group, element = struct.unpack("<HH", self._read(4, end))
        tag = (group, element)
        if self.implicit or group == _ITEM[0]:
            (length,) = struct.unpack("<I", self._read(4, end))
            return self._checked(Header(tag, _known_vr(tag), None if length == UNDEFINED else length), end)
        vr = self._read(2, end)
        if vr in _LONG_FORM:
            (length,) = struct.unpack("<xxI", self._read(6, end))
        else:
            (length,) = struct.unpack("<H", self._read(2, end))
        if not vr.isalpha():
            raise MalformedError(self.path, f"{tag_text(tag)} has no value representation")
        known = None if length == UNDEFINED and vr in _LONG_FORM else length
        return self._checked(Header(tag, vr.decode("ascii"), known), end)

    def _checked(self, header: Header, end: int | None) -> Header:
        limit = self.size if end is None else end
        if header.length is not None and self.file.tell() + header.length > limit:
            raise MalformedError(
                self.path, f"{tag_text(header.tag)} claims {header.length} bytes, {limit - self.file.tell()} are left"
            )
        return header

    def _read(self, count: int, end: int | None) -> bytes:
        octets = self.file.read(count)
        if len(octets) != count or (end is not None and self.file.tell() > end):
            raise MalformedError(self.path, f"cut off at byte {self.file.tell()}")
        return octets


@dataclass(frozen=True)
class DataSet:
    """An open DICOM file, positioned at its data set."""

    file: BinaryIO
    path: Path
    transfer_syntax: str
    size: int

    @property
    def length(self) -> int:
        """Bytes of the data set from here on."""
        return self.size - self.file.tell()


@contextmanager
def open_data_set(path: Path) -> Iterator[DataSet]:
    """A DICOM file (PS3.10 7.1) opened behind its file meta information; raises :class:`MalformedError`."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if file.read(132)[128:] != b"DICM":
            raise MalformedError(path, "not a DICOM file (no DICM at byte 128)")
        yield DataSet(file, path, _transfer_syntax(ElementReader(file, path, implicit=False, size=size)), size)


def tag_text(tag: Tag) -> str:
    """A tag as people read it, with its keyword where it has one."""
    return f"({tag[0]:04X},{tag[1]:04X}) {keyword_for_tag(tag)}".rstrip()


def _transfer_syntax(reader: ElementReader) -> str:
    """Read group 0002 to its end; it is always Explicit VR Little Endian."""
    found = ""
    while reader.file.tell() < reader.size:
        start = reader.file.tell()
        header = reader.next_element(reader.size) if _group(reader) == 0x0002 else None
        if header is None or header.tag[0] != 0x0002:
            reader.file.seek(start)
            break
        value = reader.file.read(min(header.length or 0, _META_VALUE_LIMIT))
        reader.file.seek(max(0, (header.length or 0) - len(value)), os.SEEK_CUR)
        if header.tag == _TRANSFER_SYNTAX:
            found = value.decode("ascii", "replace").strip(" \0")
    if not found:
        raise MalformedError(reader.path, "its file meta information names no transfer syntax")
    return found


def _group(reader: ElementReader) -> int:
    start = reader.file.tell()
    group = int.from_bytes(reader.file.read(2), "little")
    reader.file.seek(start)
    return group


@lru_cache(maxsize=4096)
def _known_vr(tag: Tag) -> str | None:
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return None
