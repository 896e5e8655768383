"""A syslog receiver over TLS or TCP that can be stopped and begun again at the same port."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Queue


class Receiver:
    """What came in, message by message."""

    def __init__(self, context: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.messages: Queue[bytes] = Queue()
        self._context = context
        self._server = socket.create_server(("127.0.0.1", port))
        self.port: int = self._server.getsockname()[1]
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
                secured = self._context.wrap_socket(connection, server_side=True) if self._context else connection
            except ssl.SSLError:
                continue
            except OSError:
                return
            self._connections.append(secured)
            thread = threading.Thread(target=self._read, args=(secured,))
            self._threads.append(thread)
            thread.start()

    def _read(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError), connection.makefile("rb") as stream:
            while length := _length(stream):
                self.messages.put(stream.read(length))


def _length(stream: object) -> int:
    digits = b""
    while (byte := stream.read(1)) not in (b" ", b""):  # type: ignore[attr-defined]
        digits += byte
    return int(digits) if digits else 0


@contextmanager
def receiving(context: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Receiver]:
    """A receiver, ended with the block."""
    receiver = Receiver(context, port)
    try:
        yield receiver
    finally:
        receiver.close()
