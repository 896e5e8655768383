"""Whether the log is what was written: every line at its place, every seal, and the anchor at its end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from iodeep.service.audit.chain import START, Link, holds, read_line
from iodeep.service.audit.files import LOCK, locked, log_files, read_key
from iodeep.service.audit.head import BEGINNING, HEAD, Head, read_head


@dataclass(frozen=True)
class Break:
    """One place where the log is not what was written."""

    file: str
    line: int
    """From 1; 0 where it is about the file or the anchor."""
    problem: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.problem}" if self.line else f"{self.file}: {self.problem}"


@dataclass(frozen=True)
class LogCheck:
    """What was found."""

    lines: int
    last_sequence: int
    last_hash: str
    breaks: tuple[Break, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing was edited, removed, added or moved."""
        return not self.breaks


class _Walk:
    """The chain as far as it was walked."""

    def __init__(self, key: bytes, expected: tuple[int, str] | None) -> None:
        self.key = key
        self.expected = expected
        self.met = expected is None
        self.lines = 0
        self.sequence = 0
        self.hash = START

    def problems(self, line: bytes) -> Iterator[str]:
        """What is wrong with the next line; the walk goes on behind it."""
        self.lines += 1
        link = read_line(line)
        if link is None:
            yield "is no line of the log"
            return
        if not holds(self.key, line):
            yield f"was edited (its seal does not hold; it says that it is number {link.sequence})"
        yield from self._place(link)
        self.sequence, self.hash = link.sequence, link.hash
        self.met = self.met or self.expected == (link.sequence, link.hash)

    def stands_at(self, head: Head) -> bool:
        """Whether the last line is the one that the anchor names."""
        return (self.sequence, self.hash) == (head.sequence, head.hash)

    def _place(self, link: Link) -> Iterator[str]:
        if link.sequence != self.sequence + 1:
            yield f"is number {link.sequence} where {self.sequence + 1} follows: lines were removed, added or moved"
        elif link.previous != self.hash:
            yield f"number {link.sequence} does not follow from the line before it"


def verify_log(folder: Path, key: Path, expected: tuple[int, str] | None = None) -> LogCheck:
    """Read the whole log; ``expected`` is a number and hash that a syslog receiver keeps, which has to be in it.

    Errors: :class:`iodeep.errors.LocalStorageError` where the key or a file can't be read.
    """
    secret = read_key(key)
    walk = _Walk(secret, expected)
    breaks: list[Break] = []
    anchored, sizes = _snapshot(folder, secret)
    anchor_met = anchored == BEGINNING
    for path, size in sizes:
        for number, line in _lines(path, size):
            found = list(walk.problems(line[:-1])) if line.endswith(b"\n") else ["ends in the middle: it was cut off"]
            breaks += [Break(path.name, number, problem) for problem in found]
            anchor_met = anchor_met or (anchored is not None and walk.stands_at(anchored))
    if anchored is None:
        breaks.append(Break(HEAD, 0, "the anchor is missing or was edited: lines at the end may be missing"))
    elif not anchor_met:
        breaks.append(
            Break(HEAD, 0, f"line {anchored.sequence}, which the anchor names, is not there: the end was cut off")
        )
    if not walk.met and expected is not None:
        breaks.append(Break("expected", 0, f"line {expected[0]} with that hash is not in the log: it was written anew"))
    return LogCheck(walk.lines, walk.sequence, walk.hash, tuple(breaks))


def _snapshot(folder: Path, key: bytes) -> tuple[Head | None, list[tuple[Path, int]]]:
    """The anchor and the files' sizes at one moment, while nobody writes; a copy on a read-only disk has no writers."""
    with locked(folder / LOCK) if os.access(folder, os.W_OK) else nullcontext():
        return read_head(folder, key), [(path, path.stat().st_size) for path in log_files(folder)]


def _lines(path: Path, size: int) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            size -= len(line)
            if size < 0:
                return
            yield number, line
