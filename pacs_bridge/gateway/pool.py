"""Archives that are kept open between requests; each is used by one request at a time.

DICOMweb archives are not to be shared by threads, and DIMSE ones keep an association: so one is lent, and taken back.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from iodeep.errors import SettingsError
from iodeep.ports import Archive

ArchiveOf = Callable[[str], Archive]
"""Opens an archive by its name in ``iodeep.toml``; ``""`` is the default one. The gateway closes what it opened."""
_NAME = re.compile(r"[A-Za-z0-9_.-]{0,64}")
_IDLE = 4


class ArchivePool:
    """Archives by their names; may be shared by threads."""

    def __init__(self, archive_of: ArchiveOf) -> None:
        self._archive_of = archive_of
        self._lock = threading.Lock()
        self._idle: dict[str, list[Archive]] = defaultdict(list)
        self._closed = False

    @contextmanager
    def archive(self, name: str) -> Iterator[Archive]:
        """An archive for as long as the block lasts.

        A name comes out of a URL: it is never taken for an address. Raises :class:`iodeep.errors.SettingsError`.
        """
        if not _NAME.fullmatch(name):
            raise SettingsError(f"no PACS is called {name!r}", remedy="Use a name of iodeep.toml.")
        with self._lock:
            archive = self._idle[name].pop() if self._idle[name] else None
        archive = archive or self._archive_of(name)
        try:
            yield archive
        finally:
            self._take_back(name, archive)

    def close(self) -> None:
        """Close those that lie idle; those that are lent are closed when they come back."""
        with self._lock:
            self._closed = True
            idle = [archive for archives in self._idle.values() for archive in archives]
            self._idle.clear()
        for archive in idle:
            archive.close()

    def _take_back(self, name: str, archive: Archive) -> None:
        with self._lock:
            keep = not self._closed and len(self._idle[name]) < _IDLE
            if keep:
                self._idle[name].append(archive)
        if not keep:
            archive.close()
