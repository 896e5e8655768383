"""Folders that inputs are written to and read from."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.hostile.judging import Mutant


def emptied(folder: Path) -> Path:
    """The folder, new."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def written(folder: Path, mutant: Mutant) -> Path:
    """The folder with these files and no others."""
    emptied(folder)
    for name, content in mutant.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
