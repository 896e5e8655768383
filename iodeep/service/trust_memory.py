"""Where a site keeps what its trust policy has seen: one small file in the data folder, replaced as one act.

Commands of users who cannot write to the service's data folder keep a memory of their own.
"""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import platformdirs

from iodeep.errors import NotTrustedError
from iodeep.service.audit.files import locked
from iodeep.service.configuration import data_folder_of
from iodeep.service.private_files import write_private
from iodeep.settings import Settings
from iodeep.trust.memory import Seen

FILE, LOCK, FOLDER = "seen.json", "seen.lock", "trust"
ENOUGH = timedelta(minutes=1)
"""A moment that is so little later than the one that is kept is not written down."""


def memory_folder(settings: Settings) -> Path:
    """The folder for what is remembered and for lists out of archives; it need not be there yet."""
    folder = data_folder_of(settings) / FOLDER
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    return folder if os.access(there, os.W_OK | os.X_OK) else platformdirs.user_data_path("iodeep") / FOLDER


class FileMemory:
    """A :class:`iodeep.trust.memory.Memory` in a folder; several processes may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def where(self) -> str:
        """The file."""
        return str(self._folder / FILE)

    def seen(self) -> Seen:
        """All of it; nothing where there is no file yet."""
        try:
            return _seen_of(json.loads((self._folder / FILE).read_bytes()))
        except FileNotFoundError:
            return Seen()
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise NotTrustedError(
                f"what was seen before, {self.where}, cannot be read: {_why(error)}",
                remedy="Give it to this user; if it was damaged, find out by whom, and remove it. Until then no model runs",
            ) from error

    def keep(self, seen: Seen) -> None:
        """Add to it, as one act; what says next to nothing new is not written."""
        if _is_news(seen, self.seen()):
            try:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                with locked(self._folder / LOCK):
                    write_private(self._folder / FILE, _encoded(self.seen().with_more(seen)))
            except OSError as error:
                raise NotTrustedError(
                    f"what was seen cannot be written to {self.where}: {error.strerror or error}",
                    remedy="Make room, or give the folder to this user. Until then no model runs",
                ) from error


def _is_news(seen: Seen, known: Seen) -> bool:
    if seen.moment is not None and (known.moment is None or seen.moment > known.moment + ENOUGH):
        return True
    return known.with_more(Seen(known.moment, seen.lists)) != known


def _seen_of(document: Any) -> Seen:
    moment = document["moment"]
    lists = {str(issuer): _moment(issued_at) for issuer, issued_at in document["lists"].items()}
    return Seen(_moment(moment) if moment else None, lists)


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.utcoffset() is None:
        raise ValueError("a moment has no time zone")
    return found


def _encoded(seen: Seen) -> bytes:
    lists = {issuer: issued_at.isoformat() for issuer, issued_at in sorted(seen.lists.items())}
    return json.dumps({"moment": seen.moment.isoformat() if seen.moment else None, "lists": lists}).encode() + b"\n"


def _why(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not what was written"
