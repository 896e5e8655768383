"""A stream that hands out no more than it may: lengths that a file declares are not believed."""

from __future__ import annotations

from typing import BinaryIO


class TooLargeError(Exception):
    """More was asked for than is allowed."""


class Bounded:
    """``read``, ``readline``, ``seek`` and ``tell`` of a stream, at most ``limit`` bytes all together."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream = stream
        self._left = limit

    def read(self, size: int = -1) -> bytes:
        """As :meth:`io.BufferedIOBase.read`; reading all that there is is never allowed."""
        return self._stream.read(self._take(size))

    def readline(self) -> bytes:
        """One line, cut at what is left."""
        line = self._stream.readline(self._left)
        self._take(len(line))
        return line

    def seek(self, offset: int, whence: int = 0) -> int:
        """As :meth:`io.IOBase.seek`."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """As :meth:`io.IOBase.tell`."""
        return self._stream.tell()

    def _take(self, size: int) -> int:
        if not 0 <= size <= self._left:
            raise TooLargeError
        self._left -= size
        return size
