"""Files of ours: written whole or not at all, read in small pieces, and what the disk says told in a sentence."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from iodeep.errors import InputError, LocalStorageError

CHUNK_BYTES = 1 << 20


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that takes its place when the block ends well, and is removed when it doesn't."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            f"{out} exists already", expected="a folder that is new or empty", remedy="Name another one, or remove it."
        )
    part = out.with_name(f".{out.name}.{uuid.uuid4().hex}.partial")
    try:
        with storage_errors(out):
            part.mkdir(parents=True)
        yield part
        with storage_errors(out):
            part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """A file that takes ``target``'s place when the block ends well, and is removed when it doesn't."""
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex}.partial")
    try:
        with storage_errors(target):
            with part.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def storage_errors(target: Path) -> Iterator[None]:
    """What the disk refuses while ``target`` is written, as a LocalStorageError."""
    try:
        yield
    except OSError as error:
        remedy = (
            "Free some space, or name a folder on another disk."
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else "Name a folder that can be written to."
        )
        raise LocalStorageError(
            f"{target} cannot be written: {error.strerror or error}", found="nothing was left behind", remedy=remedy
        ) from error


def read_range(file: BufferedReader, offset: int, length: int) -> Iterator[memoryview]:
    """``length`` bytes from ``offset`` in pieces that share one buffer: use each before asking for the next.

    Ends early where the file does.
    """
    buffer = memoryview(bytearray(min(CHUNK_BYTES, max(length, 1))))
    file.seek(offset)
    while length > 0:
        try:
            count = file.readinto(buffer[: min(length, len(buffer))])
        except OSError as error:
            raise InputError(f"{file.name} cannot be read: {error.strerror or error}") from error
        if not count:
            return
        yield buffer[:count]
        length -= count


def sha256_of_range(
    file: BufferedReader, offset: int, length: int, advance: Callable[[int], None] = lambda _: None
) -> str:
    """SHA-256 of a range as hexadecimal digits; ``advance`` is told the bytes of each piece."""
    digest = hashlib.sha256()
    for piece in read_range(file, offset, length):
        digest.update(piece)
        advance(len(piece))
    return digest.hexdigest()


def open_input(path: Path) -> BufferedReader:
    """A file to read from; InputError where it cannot be opened."""
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
