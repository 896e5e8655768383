"""DICOM files as bounded streams: the header is read, the payload only located.

A file comes from outside, so no length in it is believed: nothing longer than :data:`MAX_HEADER_BYTES` is read into
memory, whatever the file declares. Explicit and Implicit VR Little Endian are read (PS3.5 A.1, A.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.valuerep import PersonName

from iodeep.errors import InputError, ObjectError
from iodeep.model_object.bounded import Bounded, TooLargeError
from iodeep.model_object.private_block import PAYLOAD, PAYLOAD_GROUP, find_block

MAX_HEADER_BYTES = 64 << 20
UNDEFINED_LENGTH = 0xFFFF_FFFF
FIRST_PAYLOAD_TAG = PAYLOAD_GROUP << 16 | 0x1000
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_READABLE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


@dataclass(frozen=True)
class Header:
    """A data set up to its payload, elements undecoded, and where in the file it ends."""

    path: Path
    dataset: Dataset
    transfer_syntax: str
    end: int

    @property
    def implicit(self) -> bool:
        """Whether elements carry no VR."""
        return self.transfer_syntax == ImplicitVRLittleEndian

    def text(self, keyword: str) -> str:
        """A standard attribute as text, several values joined by a backslash; empty where absent or not readable."""
        try:
            value = self.dataset.get(keyword)
        except Exception:  # boundary: pydicom raises whatever a damaged value makes it raise
            return ""
        if value is None:
            return ""
        return (
            str(value)
            if isinstance(value, str | PersonName) or not hasattr(value, "__iter__")
            else "\\".join(map(str, value))
        )


@dataclass(frozen=True)
class Location:
    """A top-level element in a file: its tag, and where its value lies."""

    tag: int
    offset: int
    length: int


def read_header(path: Path, *, stop_at: int = FIRST_PAYLOAD_TAG, force: bool = False) -> Header:
    """The header of a DICOM file, up to tag ``stop_at``. ``force`` reads files without preamble and prefix too."""
    try:
        with path.open("rb") as file:
            return _read_header(path, file, stop_at, force=force)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error


def locate_payload(header: Header) -> Location:
    """Where the payload of a part lies; its bytes are inside the file."""
    block = find_block(header.dataset, PAYLOAD_GROUP)
    wanted = None if block is None else PAYLOAD.tag(block)
    for location in elements_after(header):
        if location.tag == wanted:
            return location
    raise ObjectError(
        f"{header.path.name} has no payload",
        expected=f"{PAYLOAD} of the private block",
        remedy="The file is truncated, or the archive dropped private elements; fetch it again, or allow private elements.",
    )


def elements_after(header: Header) -> Iterator[Location]:
    """The top-level elements from where the header ends, skipping over their values."""
    size = header.path.stat().st_size
    with header.path.open("rb") as file:
        offset = header.end
        while offset < size:
            file.seek(offset)
            location = _location(file.read(12), offset, implicit=header.implicit)
            if location is None or location.offset + location.length > size:
                raise _truncated(header.path)
            yield location
            offset = location.offset + location.length


def _location(start: bytes, offset: int, *, implicit: bool) -> Location | None:
    """PS3.5 7.1: tag, VR and length of an element; None where it is cut off or has no defined length."""
    if len(start) < 8:
        return None
    tag = int.from_bytes(start[0:2], "little") << 16 | int.from_bytes(start[2:4], "little")
    if implicit:
        begin, length = 8, int.from_bytes(start[4:8], "little")
    elif start[4:6] in _LONG_VRS:
        begin, length = 12, int.from_bytes(start[8:12], "little")
    else:
        begin, length = 8, int.from_bytes(start[6:8], "little")
    return None if len(start) < begin or length == UNDEFINED_LENGTH else Location(tag, offset + begin, length)


def _read_header(path: Path, file: BinaryIO, stop_at: int, *, force: bool) -> Header:
    if not force:
        _need_prefix(path, file)
    syntax = _transfer_syntax(file)
    if syntax not in _READABLE:
        raise _unreadable_syntax(path, syntax)
    file.seek(0)
    try:
        bounded = Bounded(file, MAX_HEADER_BYTES)
        dataset = read_partial(bounded, lambda tag, _vr, _length: tag >= stop_at, force=force)  # type: ignore[arg-type]
    except TooLargeError as error:
        raise ObjectError(
            f"{path.name} declares a header that is too large",
            expected=f"at most {MAX_HEADER_BYTES >> 20} MiB before the payload",
            remedy="The file is damaged or not a model object.",
        ) from error
    except OSError:
        raise
    except Exception as error:  # boundary: pydicom raises whatever a damaged file makes it raise
        raise ObjectError(
            f"{path.name} is not a readable DICOM file: {error}", remedy="It is damaged or truncated; fetch it again."
        ) from error
    return Header(path, dataset, syntax, file.tell())


def _need_prefix(path: Path, file: BinaryIO) -> None:
    if file.read(132)[128:] != b"DICM":
        raise ObjectError(
            f"{path.name} is not a DICOM file",
            expected="a DICOM Part 10 file (PS3.10 7.1)",
            remedy="Give the files that the archive delivered, unaltered.",
        )
    file.seek(0)


def _transfer_syntax(file: BinaryIO) -> str:
    """From the File Meta Information (PS3.10 7.1), always Explicit VR; a file without any is Implicit VR (PS3.5 10.1)."""
    file.seek(0)
    offset = 132 if file.read(132)[128:] == b"DICM" else 0
    while True:
        file.seek(offset)
        location = _location(file.read(12), offset, implicit=False)
        if location is None or location.tag >> 16 != 0x0002:
            return str(ImplicitVRLittleEndian)
        if location.tag == 0x0002_0010:
            file.seek(location.offset)
            return file.read(min(location.length, 64)).decode("ascii", "replace").strip(" \0")
        offset = location.offset + location.length


def _unreadable_syntax(path: Path, syntax: str) -> ObjectError:
    names = {
        DeflatedExplicitVRLittleEndian: "Deflated Explicit VR Little Endian",
        ExplicitVRBigEndian: "Explicit VR Big Endian",
    }
    return ObjectError(
        f"{path.name} is in a transfer syntax that model objects do not have",
        expected="Explicit or Implicit VR Little Endian",
        found=next((name for uid, name in names.items() if uid == syntax), syntax),
        remedy="Configure the archive to deliver Explicit VR Little Endian (1.2.840.10008.1.2.1) uncompressed.",
    )


def _truncated(path: Path) -> ObjectError:
    return ObjectError(
        f"{path.name} ends in the middle of an element",
        found=f"{path.stat().st_size} bytes",
        remedy="The file is truncated; fetch it again.",
    )
