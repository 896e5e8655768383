"""What hostile input is tempted with: a file to make, a secret to read, a socket to call. Each tells whether it was touched."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

SECRET = b"the secret that nobody may read: 7d1f0c52"


class Canary:
    """A marker that must not come to be, a secret that must not be shown, a port that nobody may call."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.marker = folder / "marker"
        self.secret = folder / "secret"
        self.secret.write_bytes(SECRET)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)

    @property
    def port(self) -> int:
        """Where nobody may call."""
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        """The same as an address."""
        return f"http://127.0.0.1:{self.port}/"

    def touched(self) -> str:
        """What hostile input got at since the last time; empty where nothing."""
        if self.marker.exists():
            self.marker.unlink()
            return "the marker file was made"
        with suppress(BlockingIOError):
            connection, _ = self._socket.accept()
            connection.close()
            return "a connection was made to the outside"
        return ""

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()

    def __enter__(self) -> Self:
        """The canary."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Listen no more."""
        self.close()
