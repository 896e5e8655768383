"""A source is copied as bytes: regular files below its folder only, bounded, and no link is followed."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from iodeep.errors import InputError
from iodeep.service.importing.unpacked import MOST_BYTES, MOST_ENTRIES


def copied(source: Path, into: Path) -> str:
    """Copy ``source`` to ``into``; the name that it has there."""
    files = _files(source)
    total = sum(path.stat().st_size for path in files)
    if len(files) > MOST_ENTRIES or total > MOST_BYTES:
        raise InputError(
            f"{source} is too large for one network",
            expected=f"at most {MOST_ENTRIES} files of {MOST_BYTES >> 30} GiB together",
            found=f"{len(files)} files, {total} bytes",
        )
    name = source.resolve().name or "source"
    root = into / name
    for path in files:
        target = root / path.relative_to(source) if source.is_dir() else root
        target.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as read, target.open("xb") as written:
            shutil.copyfileobj(read, written, 1 << 20)
    if source.is_dir():
        root.mkdir(exist_ok=True)
    return name


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source.resolve()]
    found = sorted(source.rglob("*"))
    for path in found:
        if not stat.S_ISDIR(mode := path.lstat().st_mode) and not stat.S_ISREG(mode):
            raise InputError(
                f"{path.relative_to(source)} in {source} is a link or no file at all",
                remedy="Copy the file itself to where the link is, if you know it; a source holds files and folders only.",
            )
    return [path for path in found if path.is_file() and ".git" not in path.relative_to(source).parts]
