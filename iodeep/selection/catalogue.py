"""The models in an archive: found by C-FIND on required keys, read from their small descriptors, filtered again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from iodeep.ports import Archive, ProgressSink, no_progress
from iodeep.selection.candidate import Candidate, UnusableModel


@dataclass(frozen=True)
class ModelRow:
    """One release as a table shows it."""

    name: str
    version: str
    modality: str
    regions: tuple[str, ...]
    conditions: tuple[str, ...]
    uid: str
    study_instance_uid: str
    where: str
    released: str
    total_bytes: int | None
    problem: str = ""


class Catalogue:
    """The models of one archive, with a local cache of their descriptors."""

    def __init__(self, archive: Archive, cache: Path) -> None:
        self._archive = archive
        self._cache = cache

    def candidates(
        self, modality: str = "", regions: Sequence[str] = (), *, progress: ProgressSink = no_progress
    ) -> list[Candidate | UnusableModel]:
        """Models that may fit: by C-FIND on the tokens of the modality, the regions and what contains them."""
        raise NotImplementedError


def list_models(
    archive: Archive,
    cache: Path,
    *,
    modality: str = "",
    anatomy: str = "",
    disease: str = "",
    name: str = "",
    progress: ProgressSink = no_progress,
) -> list[ModelRow]:
    """Every release in the archive that the filters let through, for ``iodeep models``."""
    raise NotImplementedError
