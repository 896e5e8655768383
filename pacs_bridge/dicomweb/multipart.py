"""multipart/related (RFC 2387, PS3.18 8.6.1) in both directions, never with a whole part in memory.

dicomweb-client collects whole parts before it hands them over; parts here are as large as a network.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path

from iodeep.errors import InputError

CHUNK = 1 << 20
_HEADER_LIMIT = 1 << 14
_DICOM = "application/dicom"


class MultipartError(Exception):
    """A body that breaks the rules of multipart, or ends too soon; says how."""


@dataclass(frozen=True)
class Outgoing:
    """DICOM files as one request body: its length is known, its bytes are read while they are sent."""

    paths: Sequence[Path]
    sent: Callable[[int], None]
    """Told the bytes of files read so far since the last call; may raise to end the sending."""
    boundary: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def content_type(self) -> str:
        """The request's Content-Type."""
        return f'multipart/related; type="{_DICOM}"; boundary={self.boundary}'

    def __len__(self) -> int:
        opening = len(self._opening())
        return sum(opening + _size(path) + 2 for path in self.paths) + len(self._closing())

    def __iter__(self) -> Iterator[bytes]:
        for path in self.paths:
            yield self._opening()
            yield from self._content(path)
            yield b"\r\n"
        yield self._closing()

    def _opening(self) -> bytes:
        return f"--{self.boundary}\r\nContent-Type: {_DICOM}\r\n\r\n".encode()

    def _closing(self) -> bytes:
        return f"--{self.boundary}--\r\n".encode()

    def _content(self, path: Path) -> Iterator[bytes]:
        """A file's bytes; one that changes its length under us would be taken for another part's."""
        try:
            with path.open("rb") as file:
                left = _size(path)
                while left:
                    chunk = file.read(min(CHUNK, left))
                    if not chunk:
                        raise InputError(f"{path} became shorter while it was sent", remedy="Send it again.")
                    left -= len(chunk)
                    self.sent(len(chunk))
                    yield chunk
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def parameters_of(content_type: str) -> tuple[str, dict[str, str]]:
    """A media type in lower case and its parameters."""
    message = Message()
    message["Content-Type"] = content_type
    parameters = {name.lower(): str(value) for name, value in message.get_params(failobj=[])[1:]}
    return message.get_content_type(), parameters


class PartReader:
    """The parts of a multipart body, one after the other, out of chunks that fall anywhere.

    For each :meth:`next_part` the whole of :meth:`body` has to be read. Raises :class:`MultipartError`.
    """

    def __init__(self, chunks: Iterable[bytes], boundary: str) -> None:
        self._chunks = iter(chunks)
        self._delimiter = b"\r\n--" + boundary.encode()
        self._buffer = bytearray(b"\r\n")  # so that a boundary at the very start is found like any other
        self._in_preamble = True

    def next_part(self) -> Mapping[str, str] | None:
        """The next part's header fields (names in lower case), or None after the final boundary."""
        if self._in_preamble:
            self._in_preamble = False
            for _ in self.body():
                pass
        self._need(2)
        if self._buffer.startswith(b"--"):
            return None
        return self._header()

    def body(self) -> Iterator[bytes]:
        """The part's content up to its boundary."""
        keep = len(self._delimiter) - 1
        while (at := self._buffer.find(self._delimiter)) < 0:
            if len(self._buffer) > keep:
                yield bytes(memoryview(self._buffer)[:-keep])
                del self._buffer[:-keep]
            self._fill()
        if at:
            yield bytes(memoryview(self._buffer)[:at])
        del self._buffer[: at + len(self._delimiter)]

    def _header(self) -> Mapping[str, str]:
        """Lines up to an empty one; blanks may stand between the boundary and its line's end (RFC 2046 5.1.1)."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _HEADER_LIMIT:
                raise MultipartError("the header of a part has no end")
            self._fill()
        lines = bytes(self._buffer[:end]).split(b"\r\n")
        if lines[0].strip(b" \t"):
            raise MultipartError("something stands behind a boundary")
        del self._buffer[: end + 4]
        fields = (line.decode("utf-8", "replace").partition(":") for line in lines[1:])
        return {name.strip().lower(): value.strip() for name, _, value in fields}

    def _need(self, count: int) -> None:
        while len(self._buffer) < count:
            self._fill()

    def _fill(self) -> None:
        chunk = next(self._chunks, b"")
        if not chunk:
            raise MultipartError("it ends without its final boundary")
        self._buffer += chunk
