"""The list of an archive's releases, kept on disk for a while: which studies are models, and their tokens.

It only saves asking. What it says is a hint: descriptors are checked when read, and a model is fetched from the archive
before it is run. A list that is damaged, too old or from another archive is asked for anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from iodeep.errors import LocalStorageError
from iodeep.selection.descriptor_cache import Release


class ReleaseIndex:
    """One archive's list, in a file of its own; read once and kept in memory while the file doesn't change."""

    def __init__(self, folder: Path, archive: str) -> None:
        self._archive = archive
        self._path = folder / f"{hashlib.sha256(archive.encode()).hexdigest()[:16]}.json"
        self._read: tuple[int, list[Release]] | None = None

    def read(self, max_age_s: float) -> list[Release] | None:
        """The list, None where it is missing, damaged, or older than ``max_age_s`` seconds."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        age = time.time() - status.st_mtime
        if not 0 <= age <= max_age_s:
            return None
        if self._read is None or self._read[0] != status.st_mtime_ns:
            releases = self._parsed()
            self._read = (status.st_mtime_ns, releases) if releases is not None else None
        return self._read[1] if self._read else None

    def write(self, releases: Sequence[Release]) -> None:
        """Keep the list, whole or not at all."""
        rows = [[release.study_instance_uid, release.patient_id, release.name] for release in releases]
        document = json.dumps({"archive": self._archive, "releases": rows})
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._path.parent, suffix=".part")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(document)
            Path(name).replace(self._path)
        except OSError as error:
            raise LocalStorageError(f"the list of releases cannot be kept at {self._path}: {error.strerror}") from error

    def _parsed(self) -> list[Release] | None:
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
            if document["archive"] != self._archive:
                return None
            return [Release(str(study), str(patient), str(name)) for study, patient, name in document["releases"]]
        except (OSError, ValueError, KeyError, TypeError):
            return None
