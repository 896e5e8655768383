"""The models in an archive: found by C-FIND on required keys, read from their small descriptors, filtered again.

The archive is asked every time, so a model that was taken out is gone at once; only descriptors, which never change,
are kept here. A server that ignores a key and answers with everything does no harm: tokens are compared again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from iodeep.anatomy.regions import overlapping, places
from iodeep.errors import InputError
from iodeep.ports import Archive, Attributes, Level, Progress, ProgressSink, no_progress
from iodeep.selection.candidate import Candidate, UnusableModel
from iodeep.selection.descriptor_cache import DescriptorCache, Release
from iodeep.selection.ranking import is_about

_STUDY_KEYS = ("PatientID", "PatientName", "StudyInstanceUID", "StudyID", "StudyDate")
_MOST_QUERIES = 12
"""More tokens than this are asked for with one wildcard and compared here."""


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
        self._descriptors = DescriptorCache(archive, cache / "descriptors")

    def candidates(
        self, modality: str = "", regions: Sequence[str] = (), *, progress: ProgressSink = no_progress
    ) -> list[Candidate | UnusableModel]:
        """Models that may fit: by C-FIND on the tokens of the modality, of regions that share a zone with these, and MULTI.

        A damaged or foreign object under these tokens is an :class:`UnusableModel`: it is shown and never chosen.
        Errors: :class:`iodeep.errors.ArchiveError` where the archive doesn't answer.
        """
        releases = self._releases(token_patterns(modality, regions))
        found: list[Candidate | UnusableModel] = []
        for number, release in enumerate(releases, start=1):
            found.append(self._descriptors.candidate(release))
            progress(Progress("reading model descriptors", number, len(releases), "models"))
        return found

    def _releases(self, patterns: Sequence[str]) -> list[Release]:
        """One per study whose Patient ID fits a pattern, by UID so that the order never depends on the server."""
        asked = patterns if len(patterns) <= _MOST_QUERIES else _wider(patterns)
        releases: dict[str, Release] = {}
        for pattern in asked:
            for answer in self._archive.find(Level.STUDY, {"PatientID": pattern}, _STUDY_KEYS):
                if any(fnmatchcase(answer["PatientID"], wanted) for wanted in patterns):
                    releases[answer["StudyInstanceUID"]] = _release(answer)
        return [releases[uid] for uid in sorted(releases)]


def token_patterns(modality: str, regions: Sequence[str]) -> tuple[str, ...]:
    """Patient ID patterns (``AIM1.<MODALITY>.<BODYPART>.*``) that cover every model that could fit."""
    modalities = (modality, "MULTI") if modality else ("*",)
    wanted = sorted({near for region in regions for near in overlapping(region)}) if regions else []
    bodies = (*wanted, "MULTI") if regions else ("*",)
    return tuple(f"AIM1.{kind}.{body}.*" for kind in modalities for body in bodies)


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
    """Every release in the archive that the filters let through, for ``iodeep models``.

    ``anatomy``: a defined term; models for it, for what contains it, and for what lies in it.
    Errors: :class:`iodeep.errors.InputError` for an ``anatomy`` that is no defined term.
    """
    region = anatomy.strip().upper()
    if region and region not in places():
        raise InputError(
            f"{anatomy!r} is not a region", expected="a Body Part Examined defined term (PS3.16 Annex L), such as HEAD"
        )
    candidates = Catalogue(archive, cache).candidates(
        modality.strip().upper(), (region,) if region else (), progress=progress
    )
    rows = [_row(candidate) for candidate in _filtered(candidates, modality.strip().upper(), region, disease, name)]
    return sorted(rows, key=lambda row: (row.name.casefold(), row.name, _numbers(row.version), row.uid))


def _filtered(
    candidates: Iterable[Candidate | UnusableModel], modality: str, region: str, disease: str, name: str
) -> Iterator[Candidate | UnusableModel]:
    for candidate in candidates:
        if name and name.casefold() not in _searchable(candidate):
            continue
        if isinstance(candidate, Candidate):
            if disease and not is_about(candidate.card, disease):
                continue
            if modality and modality not in {entry.modality for entry in candidate.card.inputs}:
                continue
            if region and not set(candidate.card.target.regions) & set(overlapping(region)):
                continue
        elif disease:
            continue
        yield candidate


def _searchable(candidate: Candidate | UnusableModel) -> str:
    token = candidate.card.token if isinstance(candidate, Candidate) else ""
    return f"{candidate.name} {token}".casefold()


def _wider(patterns: Sequence[str]) -> tuple[str, ...]:
    """One pattern a modality: ``AIM1.CT.*``."""
    return tuple(dict.fromkeys(f"AIM1.{pattern.split('.')[1]}.*" for pattern in patterns))


def _release(answer: Attributes) -> Release:
    return Release(
        study_instance_uid=answer["StudyInstanceUID"],
        patient_id=answer["PatientID"],
        name=(answer.get("PatientName") or "").replace("AIMODEL^", "").strip("^ ") or answer["PatientID"],
    )


def _row(candidate: Candidate | UnusableModel) -> ModelRow:
    if isinstance(candidate, UnusableModel):
        return ModelRow(
            candidate.name,
            "",
            "",
            (),
            (),
            candidate.uid,
            candidate.study_instance_uid,
            candidate.where,
            "",
            None,
            problem=candidate.reason,
        )
    card = candidate.card
    return ModelRow(
        name=card.name,
        version=str(card.version),
        modality=card.modality,
        regions=card.target.regions,
        conditions=tuple(term.meaning for term in card.target.conditions),
        uid=candidate.uid,
        study_instance_uid=candidate.study_instance_uid,
        where=candidate.where,
        released=card.released.isoformat(),
        total_bytes=candidate.total_bytes,
        problem=candidate.retired or candidate.distrusted,
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".") if number.isdigit())
