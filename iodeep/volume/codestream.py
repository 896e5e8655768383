"""What size a compressed frame says it has, read before any codec allocates for it."""

from __future__ import annotations

from struct import unpack_from

from pydicom.uid import UID, JPEG2000TransferSyntaxes, RLELossless

_J2K_START = b"\xff\x4f\xff\x51"
_START_OF_FRAME = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7}
"""SOF0 ... SOF15 (ISO/IEC 10918-1 B.1.1.3) and JPEG-LS SOF55 (ISO/IEC 14495-1 C.1.1)."""


def coded_size(frame: bytes, syntax: UID) -> tuple[int, int] | None:
    """Rows and columns in the frame's own header; None where there is none to be found. RLE has no size."""
    if syntax in JPEG2000TransferSyntaxes:
        return _jpeg_2000_size(frame)
    return _jpeg_size(frame)


def states_size(syntax: UID) -> bool:
    """Whether frames of this transfer syntax carry a header with their size."""
    return syntax.is_encapsulated and syntax != RLELossless


def _jpeg_2000_size(frame: bytes) -> tuple[int, int] | None:
    """Xsiz, Ysiz and offsets of the SIZ marker (ISO/IEC 15444-1 A.5.1), in a bare codestream or in a JP2 file."""
    start = frame.find(_J2K_START, 0, 1024)
    if start < 0 or len(frame) < start + 24:
        return None
    right, bottom, left, top = unpack_from(">4L", frame, start + 8)
    return bottom - top, right - left


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(frame):
        if frame[at] != 0xFF:
            return None
        marker = frame[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        length, _, rows, columns = unpack_from(">HBHH", frame, at + 2)
        if marker in _START_OF_FRAME:
            return rows, columns
        at += 2 + length
    return None
