"""What a process does that reading input never needs, told by Python's audit events (PEP 578).

The hook can't be taken away again, so only processes of the bench's own install it.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NEVER = frozenset(
    {
        "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.startfile", "pty.spawn",
        "pickle.find_class", "marshal.loads", "marshal.load", "ctypes.dlopen", "code.__new__", "socket.connect",
        "socket.bind", "socket.getaddrinfo", "urllib.Request", "http.client.connect", "shutil.unpack_archive",
        "os.chmod", "os.symlink", "os.link", "os.putenv",
    }
)  # fmt: skip
_LINKS = frozenset({"os.symlink", "os.link", "os.chmod"})
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_INFERENCE = ["-I", "-m", "iodeep.inference.worker"]
_OWN = ("tests", "iodeep", "pacs_bridge")


class Watch:
    """Audit events while a block runs, as sentences."""

    def __init__(self, folder: Path, secret: Path, *, network: bool = False) -> None:
        self._folder = os.path.realpath(folder)
        self._secret = os.path.realpath(secret)
        self._network = network
        self._known = {*sys.stdlib_module_names, *importlib.metadata.packages_distributions(), *_OWN}
        self._seen: list[str] | None = None
        sys.addaudithook(self._event)

    @contextmanager
    def watching(self) -> Iterator[list[str]]:
        """The sentences on what was seen, filled as it happens."""
        seen: list[str] = []
        self._seen = seen
        try:
            yield seen
        finally:
            self._seen = None

    def _event(self, name: str, arguments: tuple[Any, ...]) -> None:
        if self._seen is None:
            return
        if name in _LINKS and self._inside(arguments):
            return
        if name in _NEVER and not (self._network and name.startswith(("socket.", "http.client."))):
            if name != "marshal.loads" and name != "code.__new__":
                self._seen.append(f"{name}{arguments!r}"[:300])
        elif name == "open":
            self._opened(*arguments)
        elif name == "import":
            self._imported(str(arguments[0]))
        elif name == "subprocess.Popen" and list(arguments[1][1:4]) != _INFERENCE:
            self._seen.append(f"it started {arguments[1]!r}"[:300])

    def _inside(self, arguments: tuple[Any, ...]) -> bool:
        """A link or mode in our own folder: specimens are made there."""
        paths = [Path(os.fsdecode(each)) for each in arguments if isinstance(each, str | bytes | os.PathLike)]
        return os.path.realpath(paths[-1].parent).startswith(self._folder)

    def _opened(self, path: object, mode: object, flags: object) -> None:
        assert self._seen is not None
        if not isinstance(path, str | bytes | os.PathLike):
            return
        real = os.path.realpath(os.fsdecode(path))
        if real == self._secret:
            self._seen.append("it opened the secret")
        elif isinstance(flags, int) and flags & _WRITES and not self._may_write(real):
            self._seen.append(f"it opened {real} to write")

    def _may_write(self, real: str) -> bool:
        return real.startswith(self._folder + os.sep) or real == os.devnull or "__pycache__" in real

    def _imported(self, module: str) -> None:
        assert self._seen is not None
        if module.partition(".")[0] not in self._known:
            self._seen.append(f"it imported {module}"[:200])
