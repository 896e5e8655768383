"""Messages between the engine and its process: one line of JSON each, with open files beside it. Never a pickle.

Voxels travel as anonymous memory that both sides map (or, where the system has none, as a file that was deleted when it
was made): patient data has no name on any disk, and when both processes are gone so is it.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import tempfile
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

MAX_LINE = 16 << 20
MAX_FILES = 253
"""The kernel's own bound on what one message carries (SCM_MAX_FD in include/net/scm.h)."""
Array = np.ndarray[Any, Any]


class Broken(Exception):  # noqa: N818 - it says in what state the line is
    """The other side is gone, or says what it must not."""


def send(line: socket.socket, message: Mapping[str, Any], files: Sequence[int] = ()) -> None:
    """Send a message and the files that belong to it."""
    content = json.dumps(message, allow_nan=False).encode() + b"\n"
    sent = socket.send_fds(line, [content], list(files)) if files else 0
    line.sendall(content[sent:])


class Receiver:
    """Takes a stream of bytes apart into messages and the files that came with them."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._rest = b""
        self._files: list[int] = []

    def waiting(self) -> tuple[dict[str, Any], list[int]] | None:
        """A message that is already here, with its files; None where none is complete."""
        content, separator, rest = self._rest.partition(b"\n")
        if not separator:
            if len(self._rest) > MAX_LINE:
                raise Broken("a message without an end")
            return None
        self._rest = rest
        files, self._files = self._files, []
        try:
            message = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise Broken("a message that is not JSON") from error
        if not isinstance(message, dict):
            raise Broken("a message that is not an object")
        return message, files

    def read(self) -> None:
        """Take what has arrived, waiting for at least one byte."""
        content, files, _, _ = socket.recv_fds(self._line, 1 << 16, MAX_FILES)
        self._files += files
        if not content:
            raise Broken("the end of all messages")
        self._rest += content

    def next(self) -> tuple[dict[str, Any], list[int]]:
        """The next message, waited for."""
        while (found := self.waiting()) is None:
            self.read()
        return found


def new_memory(size: int) -> int:
    """A descriptor of ``size`` bytes of memory, all of it reserved; OSError where there is not enough."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("iodeep")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        os.posix_fallocate(descriptor, 0, max(size, 1))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def mapped(descriptor: int, dtype: str, shape: Sequence[int]) -> Array:
    """The memory behind ``descriptor`` as an array; both sides see what either writes."""
    kind = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    if kind.hasobject or os.fstat(descriptor).st_size < size:
        raise Broken("an array that is not what was announced")
    return np.frombuffer(mmap.mmap(descriptor, size), kind).reshape(shape)


def read_copy(descriptor: int, dtype: type[np.generic], shape: Sequence[int]) -> Array:
    """A copy that the other side can no longer change or cut short."""
    out = np.empty(shape, dtype)
    content = memoryview(out.data).cast("B")
    done = 0
    while done < len(content):
        count = os.preadv(descriptor, [content[done:]], done)
        if not count:
            raise Broken("an array that is not what was announced")
        done += count
    return out


def by_attribute(value: Any) -> Any:
    """JSON values to be read as a card is: ``card.network.files``.

    The process gets the card as JSON that the engine made of a valid :class:`iodeep.card.ModelCard`, and reads it by
    attribute; validating it once more would cost each run a fifth of a second for importing pydantic.
    """
    if isinstance(value, dict):
        return SimpleNamespace(**{key: by_attribute(entry) for key, entry in value.items()})
    if isinstance(value, list):
        return tuple(by_attribute(entry) for entry in value)
    return value
