"""What arrived, looked at before anything is read or written: names, kinds, sizes and counts of a folder or a ZIP file.

Whoever made the media may mean harm, so doubt is a refusal that names the entry: nothing of a refused media is unpacked.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from itertools import pairwise
from pathlib import Path

from iodeep.errors import ObjectError

MAX_ENTRIES = 60_000
"""Files and folders: the most parts of a model, and room for what lies beside them."""
MAX_DEPTH = 8
"""Components of a name (PS3.10 8.2)."""
MAX_RATIO = 200
"""Unpacked bytes for each packed one; weights and DICOM headers stay far below."""
MAX_UNPACKED_BYTES = (1 << 44) + (1 << 30)
MAX_LISTING_BYTES = 16 << 20
"""Of a ZIP file's central directory."""
_SMALL = 1 << 20
"""Up to this size a file may be packed as well as it can be: it does no harm."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_REMEDY = "Do not use this media; ask the hospital that gave it for another copy."


@dataclass(frozen=True)
class Entry:
    """One file of the media: its name's components, and its length as the media says it."""

    parts: tuple[str, ...]
    length: int

    @property
    def name(self) -> str:
        """As shown to people."""
        return "/".join(self.parts)


def list_folder(folder: Path) -> list[Entry]:
    """Every file below ``folder``, whatever its name: nothing is written under it. Links are refused. Raises ObjectError."""
    entries: list[Entry] = []
    for path, status in _walked(folder):
        parts = path.relative_to(folder).parts
        if stat.S_ISLNK(status.st_mode):
            raise _refused("/".join(parts), "it is a symbolic link: it leads to files that are not on the media")
        if not stat.S_ISREG(status.st_mode):
            raise _refused("/".join(parts), "it is neither a file nor a folder")
        entries.append(Entry(parts, status.st_size))
        _check_count(len(entries))
    _check_collisions(entries)
    return entries


def list_zip(archive: zipfile.ZipFile) -> list[tuple[Entry, zipfile.ZipInfo]]:
    """Every file of the ZIP file, from its central directory alone. Raises ObjectError."""
    infos = archive.infolist()
    _check_count(len(infos))
    for info in infos:
        _check_name(_components(info))
    listed = [(_entry_of(info), info) for info in infos if not info.is_dir()]
    _check_collisions(entry for entry, _ in listed)
    _check_overlaps(infos)
    total = sum(entry.length for entry, _ in listed)
    if total > MAX_UNPACKED_BYTES:
        raise ObjectError("the ZIP file is too large", expected=f"{MAX_UNPACKED_BYTES} bytes", found=f"{total} bytes")
    return listed


@contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """The ZIP file, its central directory no longer than :data:`MAX_LISTING_BYTES`. Raises ObjectError."""
    with _BoundedReads(path) as file:
        try:
            archive = zipfile.ZipFile(file)
        except _TooMuchError as error:
            raise ObjectError(f"{path.name} lists too many files", remedy=_REMEDY) from error
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError) as error:
            raise ObjectError(f"{path.name} is not a ZIP file that can be read: {error}", remedy=_REMEDY) from error
        with archive:
            yield archive


class _TooMuchError(Exception):
    """More was asked for at once than a listing may have."""


class _BoundedReads(FileIO):
    """A file of which no more is read at once than :data:`MAX_LISTING_BYTES`: lengths in it are not believed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(os.fstat(self.fileno()).st_size - self.tell(), 0)
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > MAX_LISTING_BYTES:
            raise _TooMuchError
        return super().read(wanted) or b""


def _walked(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """What is no folder, with what the file system says of it."""
    waiting, seen = [folder], 0
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                seen += 1
                _check_count(seen)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                else:
                    yield Path(entry.path), entry.stat(follow_symlinks=False)


def _entry_of(info: zipfile.ZipInfo) -> Entry:
    """APPNOTE 4.4.15: the upper half of the external attributes is Unix's mode where a Unix made the file."""
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
        raise _refused(info.filename, f"it is {kind}")
    if info.flag_bits & _ENCRYPTED:
        raise _refused(info.filename, "it is encrypted with a password, which protects little")
    if info.compress_type not in _METHODS:
        raise _refused(info.filename, "it is packed by a method other than Deflate")
    if info.file_size > _SMALL and info.file_size > MAX_RATIO * max(info.compress_size, 1):
        raise _refused(
            info.filename,
            f"it would unpack to {info.file_size} bytes out of {info.compress_size}: a decompression bomb",
        )
    return Entry(_components(info), info.file_size)


def _components(info: zipfile.ZipInfo) -> tuple[str, ...]:
    if info.orig_filename != info.filename:
        raise _refused(info.orig_filename, "its name holds characters that a name does not have")
    return tuple(info.filename.removesuffix("/").split("/"))


def _check_collisions(entries: Iterable[Entry]) -> None:
    """No two names that a file system could take for one."""
    files: dict[str, Entry] = {}
    folders: set[str] = set()
    for entry in entries:
        folded = entry.name.casefold()
        if folded in files:
            raise _refused(entry.name, f"{files[folded].name} is there as well, and some systems take the two for one")
        files[folded] = entry
        folders.update("/".join(entry.parts[:depth]).casefold() for depth in range(1, len(entry.parts)))
    both = folders & files.keys()
    if both:
        raise _refused(files[min(both)].name, "it is a file and a folder at once")


def _check_name(parts: tuple[str, ...]) -> None:
    shown = "/".join(parts)
    if len(parts) > MAX_DEPTH:
        raise _refused(shown, f"it lies more than {MAX_DEPTH} folders deep")
    for part in parts:
        if not _NAME.fullmatch(part) or part.endswith(".") or _RESERVED.fullmatch(part):
            raise _refused(shown, "its name leads elsewhere, or holds what names on media do not have")


def _check_overlaps(infos: list[zipfile.ZipInfo]) -> None:
    """Entries that share their packed bytes unpack to far more than the file holds."""
    placed = sorted(infos, key=lambda info: info.header_offset)
    for first, second in pairwise(placed):
        if first.header_offset + first.compress_size > second.header_offset:
            raise _refused(second.filename, f"it shares its bytes with {first.filename[:200]}: a decompression bomb")


def _check_count(count: int) -> None:
    if count > MAX_ENTRIES:
        raise ObjectError(
            "the media holds too many files", expected=f"at most {MAX_ENTRIES}", found=f"{count}", remedy=_REMEDY
        )


def _refused(name: str, reason: str) -> ObjectError:
    shown = name.encode("unicode_escape").decode("ascii")[:200]
    return ObjectError(f"{shown!r} on the media is refused: {reason}", remedy=_REMEDY)
