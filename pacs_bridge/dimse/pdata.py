"""P-DATA-TF PDUs (PS3.8 9.3.5): one fragment each, cut so that the peer's longest PDU is kept.

Sending: one buffer holds many PDUs whose headers stay in place; the file is read into the gaps between them. So a data
set goes from disk to connection with one call for each megabyte, also to a peer that takes PDUs of 16 KB.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from iodeep.errors import InputError

P_DATA_TF = 4
COMMAND, LAST = 1, 2
"""Message control header (PS3.8 E.2)."""
PDV = struct.Struct(">LBB")
"""Item length, presentation context ID, message control header."""
_PDU_AND_PDV = struct.Struct(">BxLLBB")
_MAX_SENT_PDU = 1 << 17
_SLAB = 1 << 20


def fragment_size(peer_max_pdu: int) -> int:
    """Bytes of content in one PDU for a peer that takes ``peer_max_pdu`` (0: any), even as PS3.8 E.1 wants it."""
    longest = min(peer_max_pdu or _MAX_SENT_PDU, _MAX_SENT_PDU)
    return max(longest - PDV.size, 2) & ~1


def pdus(context_id: int, content: bytes, kind: int, fragment: int) -> Iterator[bytes]:
    """A small command or data set as PDUs."""
    for start in range(0, len(content), fragment):
        piece = content[start : start + fragment]
        last = LAST if start + fragment >= len(content) else 0
        yield _header(context_id, len(piece), kind | last) + piece


def _header(context_id: int, length: int, control: int) -> bytes:
    return _PDU_AND_PDV.pack(P_DATA_TF, length + PDV.size, length + 2, context_id, control)


class Slab:
    """About a megabyte of PDUs of one presentation context, filled again and again."""

    def __init__(self, context_id: int, fragment: int) -> None:
        self._context_id = context_id
        self._fragment = fragment
        self._stride = _PDU_AND_PDV.size + fragment
        count = max(_SLAB // self._stride, 1)
        self._memory = memoryview(bytearray(count * self._stride))
        for start in range(0, len(self._memory), self._stride):
            self._memory[start : start + _PDU_AND_PDV.size] = _header(context_id, fragment, 0)
        self._capacity = count * fragment

    def fill(self, content: BinaryIO, left: int) -> tuple[memoryview, int]:
        """The next PDUs of a data set of which ``left`` bytes are left, and how many of those they hold."""
        taken = min(left, self._capacity)
        whole, rest = divmod(taken, self._fragment)
        if taken == left:
            whole, rest = (whole, rest) if rest else (whole - 1, self._fragment)
        for index in range(whole):
            self._read(content, index, self._fragment)
        end = whole * self._stride
        if taken == left:
            self._memory[end : end + _PDU_AND_PDV.size] = _header(self._context_id, rest, LAST)
            self._read(content, whole, rest)
            end += _PDU_AND_PDV.size + rest
        return self._memory[:end], taken

    def _read(self, content: BinaryIO, index: int, length: int) -> None:
        start = index * self._stride + _PDU_AND_PDV.size
        gap = self._memory[start : start + length]
        if content.readinto(gap) != length:  # type: ignore[attr-defined]
            raise InputError(
                "a file became shorter while it was sent", remedy="Send it again when nothing writes to it."
            )
