"""What had come of a series whose files are deleted: one that comes late is then known to be one more of many.

A small file for each series (``.done/SERIES.json`` in the spool) with the SOP Instance UIDs; written whole, before any
file is deleted, and forgotten after some days.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_FOLDER = ".done"


class Remembered:
    """The instances that came before, by series."""

    def __init__(self, spool: Path, keep_s: float) -> None:
        self._folder = spool / _FOLDER
        self._keep_s = keep_s

    def instances(self, series: str) -> frozenset[str]:
        """SOP Instance UIDs; none where nothing of the series was deleted, or long ago."""
        try:
            return frozenset(json.loads(self._path(series).read_text(encoding="ascii")))
        except (OSError, ValueError):
            return frozenset()

    def remember(self, series: str, instances: Iterable[str]) -> None:
        """Add ``instances`` to what is known of the series."""
        self._folder.mkdir(exist_ok=True)
        fresh = self._path(series).with_suffix(".new")
        fresh.write_text(json.dumps(sorted(self.instances(series) | set(instances))), encoding="ascii")
        fresh.replace(self._path(series))

    def forget_old(self) -> None:
        """Remove what is older than it is kept."""
        with suppress(FileNotFoundError):
            for path in list(self._folder.iterdir()):
                if time.time() - path.stat().st_mtime > self._keep_s:
                    path.unlink(missing_ok=True)

    def _path(self, series: str) -> Path:
        return self._folder / f"{series}.json"
