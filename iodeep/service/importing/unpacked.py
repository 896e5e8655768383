"""A zip is unpacked within bounds: names stay below the folder, sizes are counted while they are written, links are none."""

from __future__ import annotations

import stat
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

from iodeep.errors import InputError

MOST_ENTRIES = 10_000
MOST_BYTES = 16 << 30


def unpacked(source: Path, into: Path) -> Path:
    """The folder with what a zip holds, or ``source`` itself where it is none; a zip with one folder gives that folder."""
    if source.is_dir() or source.suffix.lower() != ".zip":
        return source
    try:
        with zipfile.ZipFile(source) as archive:
            _extract(archive, source.name, into)
    except zipfile.BadZipFile as error:
        raise InputError(f"{source.name} is no zip, or is damaged: {error}") from error
    found = sorted(into.iterdir())
    return found[0] if len(found) == 1 and found[0].is_dir() else into


def _extract(archive: zipfile.ZipFile, name: str, into: Path) -> None:
    entries = archive.infolist()
    if len(entries) > MOST_ENTRIES:
        raise InputError(f"{name} holds too many files", expected=f"at most {MOST_ENTRIES}", found=f"{len(entries)}")
    names = [entry.filename.rstrip("/") for entry in entries]
    if twice := [each for each, count in Counter(names).items() if count > 1]:
        raise InputError(f"{name} holds {twice[0][:80]!r} twice", remedy="Which of the two counts is not guessed.")
    left = MOST_BYTES
    for entry in entries:
        path = into / _safe(entry, name)
        if entry.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        left -= _copied(archive, entry, path, left)


def _safe(entry: zipfile.ZipInfo, name: str) -> PurePosixPath:
    path = PurePosixPath(entry.filename)
    kind = stat.S_IFMT(entry.external_attr >> 16)
    inside = not path.is_absolute() and ".." not in path.parts and "\\" not in entry.filename and path.parts
    if not inside or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise InputError(
            f"{name} holds {entry.filename[:80]!r}, which would be written outside of the folder, or is no file",
            remedy="Don't trust where it came from. A zip of a bundle holds files and folders of it only.",
        )
    return path


def _copied(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, most: int) -> int:
    """Bytes written; what an entry says of its size is not believed."""
    written = 0
    with archive.open(entry) as packed, path.open("xb") as file:
        while block := packed.read(1 << 20):
            written += len(block)
            if written > most:
                raise InputError("the zip is too large", expected=f"at most {MOST_BYTES >> 30} GiB unpacked")
            file.write(block)
    return written
