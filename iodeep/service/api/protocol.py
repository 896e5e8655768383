"""HTTP/1.1 as uvicorn and httptools speak it, with an end to what comes before a body: they themselves would take any length.

Request line and headers of whoever calls, known or not, are held in memory until they are whole; beyond :data:`MOST_BYTES` the
connection is answered with 400 and closed.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_BYTES = 64 << 10
"""Of a request line and all headers; tokens with many claims take some 10 KiB."""


class TooLongError(Exception):
    """Request line and headers are longer than anybody's."""


class BoundedHead(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head = 0
        self._waiting = 0
        self._whole = self._began = False

    def data_received(self, data: bytes) -> None:
        """What came, as long as what is still to become a head isn't too long."""
        self._began = False
        super().data_received(data)
        if self._whole or self._began:
            self._waiting = 0  # what of these bytes belongs to a head that began among them is not known, nor much
        else:
            self._waiting += len(data)
        if self._waiting > MOST_BYTES and not self.transport.is_closing():
            self.send_400_response("The request's headers are too long.")

    def on_message_begin(self) -> None:
        """Another request."""
        self._head, self._whole, self._began = 0, False, True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A piece of the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._count(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._whole = True
        super().on_headers_complete()

    def _count(self, count: int) -> None:
        """TooLongError, which the parser tells as a malformed request."""
        self._head += count
        if self._head > MOST_BYTES:
            raise TooLongError
