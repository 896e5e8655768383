"""One DICOM file: its header, and where its pixels lie. Whatever the file declares is held against its real size first."""

from __future__ import annotations

import warnings
import zlib
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from struct import unpack
from typing import BinaryIO

from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage

from iodeep.errors import InputError

_PIXEL_TAGS = {"FloatPixelData": 0x7FE00008, "DoubleFloatPixelData": 0x7FE00009, "PixelData": 0x7FE00010}
_FIRST_PIXEL_TAG = 0x7FE00008
_UNDEFINED_LENGTH = 0xFFFFFFFF
_ITEM, _SEQUENCE_DELIMITER = 0xFFFEE000, 0xFFFEE0DD
_INFLATE_LIMIT = 1 << 30
_INFLATE_SMALL = 1 << 26
_INFLATE_RATIO = 200
"""Inflated bytes for each deflated one, of what is not small; images stay far below."""
_IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality")
_LOOKED_AT = (
    *("PatientID", "PatientName", "PatientBirthDate", "IssuerOfPatientID", "FrameOfReferenceUID", "ImageType"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation", "InstanceNumber"),
)
"""What is converted while the file is at hand, so that garbage in it is told of the file and not met later."""
_SEND_AGAIN = "Send or export the file again."


class LeftOut(Enum):
    """Why a file is no part of an image series."""

    NOT_DICOM = "no DICOM file"
    NOT_AN_IMAGE = "a DICOM file without an image"


@dataclass(frozen=True)
class PixelElement:
    """Where the pixel data of a file starts (bytes from its begin), how long its value is, how it is encoded.

    ``offset`` is None in a deflated file, ``fragments`` None where the pixels are not encapsulated (PS3.5 A.4).
    ``length`` is what the fragments hold together where they are.
    """

    keyword: str
    transfer_syntax: UID
    offset: int | None
    length: int
    fragments: int | None = None


@dataclass(frozen=True)
class ImageFile:
    """A readable image file; ``header`` holds no pixel data, ``size`` is the file's in bytes."""

    path: Path
    header: Dataset
    pixels: PixelElement
    size: int


def read_image_file(path: Path) -> ImageFile | LeftOut:
    """The image in a file, or why the file is left out.

    Errors: :class:`InputError` where it is a DICOM file that is truncated, garbled, lacks its identity or can't be opened.
    """
    try:
        return _image_file(path)
    except InputError:
        raise
    except Exception as error:  # the boundary of one file: pydicom answers garbled bytes with any exception
        raise InputError(f"{path} cannot be read: {error or type(error).__name__}", remedy=_SEND_AGAIN) from error


def _image_file(path: Path) -> ImageFile | LeftOut:
    found = _read_header(path) if path.name != "DICOMDIR" else None
    if found is None:
        return LeftOut.NOT_DICOM
    header, pixels, size = found
    if header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        return LeftOut.NOT_AN_IMAGE
    if pixels is None and _ends_early(header):
        raise InputError(f"{path} is truncated: it ends before its pixel data", remedy=_SEND_AGAIN)
    if "Rows" not in header:
        return LeftOut.NOT_AN_IMAGE
    missing = [keyword for keyword in _IDENTITY if not header.get(keyword)]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}", remedy=_SEND_AGAIN)
    for keyword in _LOOKED_AT:
        header.get(keyword)
    if pixels is None:  # such as an RT Dose or a Segmentation without
        raise InputError(f"{path} is truncated: it ends before its pixel data", remedy=_SEND_AGAIN)
    return ImageFile(path, header, pixels, size)


def _ends_early(header: FileDataset) -> bool:
    """Whether a data set without pixels is the begin of something longer: its last value is short, or it should be an image."""
    last = header.get_item(max(header.keys())) if len(header) else None
    if isinstance(last, RawDataElement) and last.value is not None and len(last.value) < last.length:
        return last.length != _UNDEFINED_LENGTH
    kind = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID")
    return kind is None or "Image Storage" in kind.name


def _read_header(path: Path) -> tuple[FileDataset, PixelElement | None, int] | None:
    """Data set without pixel data, its pixel element where it has one, the file's size; None for no DICOM file (PS3.10 7.1).

    Errors: :class:`InputError` for a truncated file; whatever pydicom raises for a garbled one.
    """
    with path.open("rb") as stream:
        prefix = stream.read(1024)
        if prefix[128:132] != b"DICM":
            return None
        size = stream.seek(0, 2)
        stream.seek(0)
        if DeflatedExplicitVRLittleEndian.encode() in prefix:
            return *_read_deflated(path, stream), size
        with warnings.catch_warnings():
            # A stray command element (group 0000) before the data set, as DCMTK sends zeros that filled up a file.
            warnings.filterwarnings("ignore", message="Expected implicit VR, but found explicit VR")
            header = read_partial(stream, _StopAtPixels(path, size))
        return header, _pixel_element(path, header, stream, size), size


class _StopAtPixels:
    """Ends reading where pixel data (or a private payload behind it) starts, and at a length that the file cannot hold."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size

    def __call__(self, tag: BaseTag, _: str | None, length: int) -> bool:
        if tag >= _FIRST_PIXEL_TAG:
            return True
        if self._size < length != _UNDEFINED_LENGTH:
            raise InputError(
                f"{self._path} is truncated or garbled",
                expected=f"{length:,} bytes in {tag}",
                found=f"a file of {self._size:,} bytes",
                remedy=_SEND_AGAIN,
            )
        return False


def _pixel_element(path: Path, header: FileDataset, stream: BinaryIO, size: int) -> PixelElement | None:
    """Read the head of the element that the stream stands at."""
    syntax = header.file_meta.TransferSyntaxUID
    order = "<" if syntax.is_little_endian else ">"
    head = stream.read(8 if syntax.is_implicit_VR else 12)
    if len(head) < 8:
        return None
    group, element = unpack(f"{order}HH", head[:4])
    keyword = next((name for name, tag in _PIXEL_TAGS.items() if tag == group << 16 | element), None)
    if keyword is None:
        return None
    (length,) = unpack(f"{order}L", head[-4:])
    offset = stream.tell()
    encapsulated = length == _UNDEFINED_LENGTH
    if encapsulated != syntax.is_encapsulated:
        raise InputError(f"{path}: how its pixel data is stored contradicts its transfer syntax {syntax.name}")
    if encapsulated:
        fragments, length = _measure_fragments(path, stream)
        return PixelElement(keyword, syntax, offset, length, fragments)
    if offset + length > size:
        raise InputError(
            f"{path} is truncated",
            expected=f"{length:,} bytes of pixel data",
            found=f"{size - offset:,}",
            remedy=_SEND_AGAIN,
        )
    return PixelElement(keyword, syntax, offset, length)


def _measure_fragments(path: Path, stream: BinaryIO) -> tuple[int, int]:
    """Number of fragments and their bytes; items are walked to the Sequence Delimitation Item (PS3.5 A.4)."""
    count = total = 0
    while len(head := stream.read(8)) == 8:
        group, element, length = unpack("<HHL", head)
        tag = group << 16 | element
        if tag == _SEQUENCE_DELIMITER:
            return count - 1, total
        if tag != _ITEM:
            raise InputError(f"{path} is garbled: its compressed pixel data is not made of items", remedy=_SEND_AGAIN)
        total += length if count else 0
        count += 1
        stream.seek(length, 1)
    raise InputError(f"{path} is truncated: its compressed pixel data has no end", remedy=_SEND_AGAIN)


def _read_deflated(path: Path, stream: BinaryIO) -> tuple[FileDataset, PixelElement | None]:
    """A deflated data set (PS3.5 A.5) is read whole, once it is known that it doesn't inflate without bound."""
    _check_inflated_size(path, stream)
    header = dcmread(path)
    keyword = next((name for name in _PIXEL_TAGS if name in header), None)
    if keyword is None:
        return header, None
    length = len(header[keyword].value)
    del header[keyword]
    return header, PixelElement(keyword, DeflatedExplicitVRLittleEndian, None, length)


def _check_inflated_size(path: Path, stream: BinaryIO) -> None:
    stream.seek(140)
    (meta_length,) = unpack("<L", stream.read(4))
    stream.seek(144 + meta_length)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    limit = min(_INFLATE_LIMIT, max(_INFLATE_SMALL, path.stat().st_size * _INFLATE_RATIO))
    total = 0
    while chunk := inflater.unconsumed_tail or stream.read(1 << 16):
        total += len(inflater.decompress(chunk, 1 << 20))
        if total > limit:
            raise InputError(f"{path} inflates to more than {limit:,} bytes and is not read")
