"""DICOM files (PS3.10) as an archive's client needs them: who an instance is, and where its data set lies in the file.

Nothing but the header is read: the payload of a file may be gigabytes.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom.dsutils import create_file_meta, encode_file_meta, split_dataset

from iodeep.errors import InputError
from iodeep.terms import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

UNCOMPRESSED = (str(ExplicitVRLittleEndian), str(ImplicitVRLittleEndian))
"""Transfer syntaxes between which a data set may be rewritten without losing a byte of a value."""
UNREADABLE = (
    BytesLengthException,
    InvalidDicomError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    NotImplementedError,
    RecursionError,
    struct.error,
    zlib.error,
)
"""What pydicom raises over a damaged or hostile data set; another party's bytes are never a defect of ours."""
_SERIES_INSTANCE_UID = 0x0020000E
_MEDIA_STORAGE_SOP_INSTANCE_UID = b"\x02\x00\x03\x00UI"
_CHUNK, _DEFLATED_HEAD, _INFLATED_HEAD = 1 << 16, 1 << 20, 16 << 20
_INFLATED_SMALL, _INFLATED_RATIO = 64 << 20, 200
"""Inflated bytes that any file may have, and those for each deflated one where there are more; images stay far below."""
_UID = re.compile(r"[0-9][0-9.]{0,63}")


@dataclass(frozen=True)
class Instance:
    """A file's instance: its UIDs, its transfer syntax, and where its data set starts and how long it is."""

    path: Path
    sop_class: str
    uid: str
    transfer_syntax: str
    study: str
    series: str
    offset: int
    length: int


def is_uid(text: str) -> bool:
    """Whether ``text`` may be a UID (PS3.5 9.1), and so a file name."""
    return _UID.fullmatch(text) is not None


def read_instance(path: Path) -> Instance:
    """The instance in a Part 10 file; raises :class:`~iodeep.errors.InputError` where it is none."""
    try:
        meta, offset = split_dataset(path)
        header = _header(path, offset, str(meta.get("TransferSyntaxUID", "")))
        length = path.stat().st_size - offset
        found = {
            "SOP Class UID": str(header.get("SOPClassUID", "")),
            "SOP Instance UID": str(header.get("SOPInstanceUID", "")),
            "Transfer Syntax UID": str(meta.get("TransferSyntaxUID", "")),
            "Study Instance UID": str(header.get("StudyInstanceUID", "")),
            "Series Instance UID": str(header.get("SeriesInstanceUID", "")),
        }
    except UNREADABLE as error:
        raise _not_dicom(path, str(error)) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", remedy="Check the path and its rights.") from error
    wrong = [name for name, uid in found.items() if not is_uid(uid)]
    if wrong:
        raise _not_dicom(path, f"it has no valid {', '.join(wrong)}")
    sop_class, uid, syntax, study, series = found.values()
    return Instance(path, sop_class, uid, syntax, study, series, offset, length)


def files_of(paths: Iterator[Path]) -> Iterator[Path]:
    """Each file, and each file below a folder, in order of name."""
    for path in paths:
        if path.is_dir():
            yield from sorted(entry for entry in path.rglob("*") if entry.is_file())
        else:
            yield path


def write_header(file: BinaryIO, sop_class: str, uid: str, transfer_syntax: str, sender: str = "") -> None:
    """Preamble and File Meta Information (PS3.10 7.1) of an instance whose data set follows; ``sender`` is an AE title."""
    template, at = _header_template(sop_class, len(uid), transfer_syntax, sender)
    file.write(template[:at] + uid.encode("ascii") + template[at + len(uid) :])


@lru_cache(maxsize=256)
def _header_template(sop_class: str, length: int, transfer_syntax: str, sender: str) -> tuple[bytes, int]:
    """The header of an instance whose UID has that length, and where the UID goes: a series' headers differ in it alone."""
    placeholder = "9" * length
    meta = create_file_meta(
        sop_class_uid=UID(sop_class),
        sop_instance_uid=UID(placeholder),
        transfer_syntax=UID(transfer_syntax),
        implementation_uid=UID(IMPLEMENTATION_CLASS_UID),
        implementation_version=IMPLEMENTATION_VERSION_NAME,
    )
    if sender:
        meta.SendingApplicationEntityTitle = sender
    encoded = bytes(128) + b"DICM" + encode_file_meta(meta)
    element = (
        _MEDIA_STORAGE_SOP_INSTANCE_UID + (length + length % 2).to_bytes(2, "little") + placeholder.encode("ascii")
    )
    return encoded, encoded.index(element) + len(element) - length


def is_rewritable(transfer_syntax: str) -> bool:
    """Whether a data set of that transfer syntax can be written uncompressed without touching its pixels."""
    return transfer_syntax in {*UNCOMPRESSED, str(DeflatedExplicitVRLittleEndian)}


def rewritten(instance: Instance, transfer_syntax: str, target: Path) -> Instance:
    """The instance in the other uncompressed transfer syntax, written to ``target``; the values stay byte for byte.

    The data set is held in memory meanwhile: only for archives that refuse what the file is written in.
    """
    assert is_rewritable(instance.transfer_syntax)
    dataset = dcmread(instance.path)
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    implicit = transfer_syntax == ImplicitVRLittleEndian
    dcmwrite(target, dataset, implicit_vr=implicit, little_endian=True)
    return read_instance(target)


def remove_quietly(path: Path) -> None:
    """Remove a file of ours that may not be there any more."""
    path.unlink(missing_ok=True)


def _header(path: Path, offset: int, transfer_syntax: str) -> Dataset:
    """The elements up to Series Instance UID."""
    deflated = transfer_syntax == DeflatedExplicitVRLittleEndian
    implicit = transfer_syntax == ImplicitVRLittleEndian
    with path.open("rb") as file:
        if deflated:
            _check_inflates(file, offset)
        file.seek(offset)
        content = BytesIO(_inflated_head(file)) if deflated else file
        return read_dataset(content, implicit, transfer_syntax != ExplicitVRBigEndian, stop_when=_after_series)


def _inflated_head(file: BinaryIO) -> bytes:
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read(_DEFLATED_HEAD), _INFLATED_HEAD)


def _check_inflates(file: BinaryIO, offset: int) -> None:
    """Errors: ValueError where a raw deflate stream (PS3.5 A.5) holds out of all proportion more than the file has bytes."""
    limit = max(_INFLATED_SMALL, (file.seek(0, 2) - offset) * _INFLATED_RATIO)
    file.seek(offset)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    total = 0
    while chunk := inflater.unconsumed_tail or file.read(_CHUNK):
        total += len(inflater.decompress(chunk, _INFLATED_HEAD))
        if total > limit:
            raise ValueError(f"it inflates to more than {limit:,} bytes")
        if inflater.eof:
            return


def _after_series(tag: BaseTag, vr: str | None, length: int) -> bool:  # noqa: ARG001 - pydicom's signature
    return int(tag) > _SERIES_INSTANCE_UID


def _not_dicom(path: Path, reason: str) -> InputError:
    return InputError(
        f"{path} is not a DICOM file that can be sent: {reason}",
        expected="the DICOM File Format (PS3.10 7.1), with SOP class, instance, study and series",
        remedy="Leave it out, or have it written anew by the system that it comes from.",
    )
