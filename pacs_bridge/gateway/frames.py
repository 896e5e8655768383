"""The frames of an instance as bytes: as they are stored, or decoded to what Explicit VR Little Endian holds.

A frame of an uncompressed image is read where it lies in the file, the others are not touched. Decoded colour comes as
RGB whatever the file's Photometric Interpretation is, because that is what the decoders give.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, ExplicitVRBigEndian

from iodeep.errors import InputError
from pacs_bridge.gateway.errors import NotAcceptableError, NotThereError
from pacs_bridge.part10 import UNREADABLE

_HEADER = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "NumberOfFrames", "PhotometricInterpretation")
_LONG_VRS = (b"OB", b"OW", b"OF", b"OD", b"UN")
_UNDEFINED = 0xFFFFFFFF
_UNDECODABLE = (*UNREADABLE, RuntimeError)
"""What pydicom and the decoders behind it raise over pixels that they cannot decode."""


@dataclass(frozen=True)
class Frames:
    """Where the pixel data of a file begin, and how long a frame is."""

    transfer_syntax: str
    count: int
    offset: int
    frame_bits: int
    encapsulated: bool

    @property
    def native(self) -> bool:
        """Whether a frame is a run of bytes of the file, in the byte order that is asked for."""
        return not self.encapsulated and self.frame_bits % 8 == 0 and self.transfer_syntax != ExplicitVRBigEndian


def frames_of(file: BinaryIO) -> Frames:
    """What a file holds; raises :class:`~pacs_bridge.gateway.errors.NotThereError` where it holds no pixels."""
    try:
        file.seek(0)
        header = dcmread(file, stop_before_pixels=True, specific_tags=list(_HEADER))
        syntax = UID(str(header.file_meta.TransferSyntaxUID))
        offset, length = _pixel_data(file, implicit=syntax.is_implicit_VR, little=syntax.is_little_endian)
        return Frames(
            str(syntax),
            int(header.get("NumberOfFrames") or 1),
            offset,
            _bits(header),
            encapsulated=length == _UNDEFINED,
        )
    except _UNDECODABLE as error:
        raise NotThereError("the instance has no frames", found=str(error)) from error


def stored(file: BinaryIO, frames: Frames, number: int) -> bytes:
    """Frame ``number``, counted from 1, as it is stored."""
    _check(frames, number)
    if frames.native:
        length = frames.frame_bits // 8
        file.seek(frames.offset + (number - 1) * length)
        found = file.read(length)
        if len(found) != length:
            raise NotThereError(f"the pixel data end before frame {number}")
        return found
    if not frames.encapsulated:
        return decoded(file, frames, number)
    try:
        file.seek(frames.offset)
        return bytes(get_frame(file, number - 1, number_of_frames=frames.count))
    except _UNDECODABLE as error:
        raise InputError(f"frame {number} cannot be found in the compressed pixel data", found=str(error)) from error


def decoded(file: BinaryIO, frames: Frames, number: int) -> bytes:
    """Frame ``number`` uncompressed, little endian; frames of single bits are packed, each from a byte's start."""
    _check(frames, number)
    if frames.native:
        return stored(file, frames, number)
    try:
        file.seek(0)
        array = pixel_array(file, index=number - 1)
    except _UNDECODABLE as error:
        raise NotAcceptableError(
            f"frames in {UID(frames.transfer_syntax).name} cannot be decoded here",
            found=str(error),
            remedy="Ask for them as they are stored (transfer-syntax=*).",
        ) from error
    if frames.frame_bits and array.dtype == np.uint8 and _single_bits(frames, array.size):
        return np.packbits(array.reshape(-1), bitorder="little").tobytes()
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"))).tobytes()


def _check(frames: Frames, number: int) -> None:
    if not 1 <= number <= frames.count:
        raise NotThereError(f"there is no frame {number}", expected=f"1 to {frames.count}")


def _single_bits(frames: Frames, pixels: int) -> bool:
    return frames.frame_bits == pixels


def _bits(header: Dataset) -> int:
    samples = int(header.get("SamplesPerPixel") or 1)
    if header.get("PhotometricInterpretation") == "YBR_FULL_422":  # two chroma samples for every two pixels
        samples = 2
    return int(header.Rows) * int(header.Columns) * samples * int(header.BitsAllocated)


def _pixel_data(file: BinaryIO, *, implicit: bool, little: bool) -> tuple[int, int]:
    """Where the value of the pixel data element at the file's position begins, and its length (PS3.5 7.1)."""
    order = "<" if little else ">"
    header = file.read(12)
    group, element = struct.unpack(order + "HH", header[:4])
    if group != 0x7FE0 or element not in (0x0008, 0x0009, 0x0010):
        raise ValueError("no pixel data")
    if implicit:
        return file.tell() - 4, struct.unpack(order + "L", header[4:8])[0]
    if header[4:6] not in _LONG_VRS:
        raise ValueError(f"pixel data with the value representation {header[4:6]!r}")
    return file.tell(), struct.unpack(order + "L", header[8:12])[0]
