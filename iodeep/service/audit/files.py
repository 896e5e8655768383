"""The files of the log: one a day, in the order of their names; a lock that processes share; the key."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from iodeep.errors import LocalStorageError
from iodeep.service.private_files import open_private, write_private

KEY_BYTES = 32
LOCK = "lock"
_BLOCK = 1 << 16


def key_file(root: Path) -> Path:
    """The key, beside the folder of the log and not in it: who copies the log does not copy the key."""
    return root / "audit.key"


def log_files(folder: Path) -> list[Path]:
    """The files, oldest first."""
    return sorted(folder.glob("audit-????-??-??.jsonl"))


def file_of_today(existing: list[Path]) -> str:
    """Today's file in UTC, or the newest where the clock went back: the order of names stays that of the chain."""
    today = f"audit-{datetime.now(UTC):%Y-%m-%d}.jsonl"
    return max([today, *(path.name for path in existing[-1:])])


def read_key(path: Path) -> bytes:
    """The key.

    Errors: :class:`LocalStorageError` where it is missing, not readable, or not a key.
    """
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise LocalStorageError(
            f"the key of the audit log cannot be read: {error}",
            expected=f"64 hexadecimal digits in {path}",
            remedy="Run this as the user of the service, or name the data folder that the log was written from.",
        ) from error
    if len(key) != KEY_BYTES:
        raise LocalStorageError(
            "the key of the audit log is damaged", expected="64 hexadecimal digits", found=str(path)
        )
    return key


def new_key() -> bytes:
    """A key for a new log."""
    return secrets.token_bytes(KEY_BYTES)


def write_key(path: Path, key: bytes) -> None:
    """Keep the key, for its owner's eyes alone (mode 0600)."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(path, key.hex().encode("ascii"))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock, which ends with the process that holds it whatever its end is."""
    descriptor = open_private(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def lines_backwards(path: Path) -> Iterator[bytes]:
    """Complete lines of a file, last first, without reading more of it than is asked for."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        rest = b""
        while end > 0:
            start = max(0, end - _BLOCK)
            file.seek(start)
            first, *others = (file.read(end - start) + rest).split(b"\n")
            yield from (line for line in reversed(others) if line)
            rest, end = first, start
        if rest:
            yield rest
