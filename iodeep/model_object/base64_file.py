"""Base64 text inside a file, read as the bytes that it stands for: seekable, and never in memory as a whole."""

from __future__ import annotations

import base64
import binascii
import io

from iodeep.errors import InputError


class Base64File(io.RawIOBase):
    """The decoded bytes of ``length`` characters at ``offset``: four characters are three bytes (RFC 4648 4)."""

    def __init__(self, file: io.BufferedReader, offset: int, length: int) -> None:
        self._file = file
        self._offset = offset
        file.seek(offset + max(length - 4, 0))
        end = file.read(min(length, 4)).rstrip(b"\0 ")
        characters = length - (4 - len(end)) if length >= 4 else len(end)
        file.seek(offset + max(characters - 2, 0))
        padding = file.read(min(characters, 2)).count(b"=")
        self._characters = characters
        self.length = max(characters // 4 * 3 - padding, 0)
        self._position = 0

    def readable(self) -> bool:
        """It is only read."""
        return True

    def seekable(self) -> bool:
        """ZIP archives are read from their end."""
        return True

    def tell(self) -> int:
        """Position in the decoded bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As :meth:`io.IOBase.seek`, in decoded bytes."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.length}[whence]
        self._position = max(start + offset, 0)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Decode what covers the range; InputError where it is not base64."""
        wanted = min(len(buffer), self.length - self._position)
        if wanted <= 0:
            return 0
        first, last = self._position // 3, -(-(self._position + wanted) // 3)
        self._file.seek(self._offset + first * 4)
        try:
            decoded = base64.b64decode(self._file.read(last * 4 - first * 4), validate=True)
        except binascii.Error as error:
            raise InputError(f"text that should be base64 is not: {error}") from error
        skip = self._position - first * 3
        piece = decoded[skip : skip + wanted]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)
