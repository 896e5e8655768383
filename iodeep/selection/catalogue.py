"""The models in an archive: found by C-FIND on required keys, read from their small descriptors, filtered again.

Descriptors, which never change, are kept here; the list of releases is asked for each time, or kept for a while where a
site says so. A server that ignores a key and answers with everything does no harm: tokens are compared again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from iodeep.anatomy.regions import overlapping, places
from iodeep.errors import InputError
from iodeep.ports import Archive, Attributes, Level, Progress, ProgressSink, no_progress
from iodeep.selection.candidate import Candidate, UnusableModel
from iodeep.selection.descriptor_cache import DescriptorCache, Release
from iodeep.selection.ranking import is_about
from iodeep.selection.release_index import ReleaseIndex

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


@dataclass(frozen=True)
class TokenFilter:
    """Which models could fit, by the tokens of their Patient ID; an empty set lets every token through."""

    modalities: frozenset[str] = frozenset()
    bodies: frozenset[str] = frozenset()

    def patterns(self) -> tuple[str, ...]:
        """Patient ID keys to ask for; where they would be many, fewer and wider ones."""
        modalities = sorted(self.modalities) or ["*"]
        bodies = sorted(self.bodies) or ["*"]
        narrow = tuple(f"AIM1.{modality}.{body}.*" for modality in modalities for body in bodies)
        return narrow if len(narrow) <= _MOST_QUERIES else tuple(f"AIM1.{modality}.*" for modality in modalities)

    def lets_through(self, patient_id: str) -> bool:
        """Whether a model's tokens fit; a Patient ID that is not a model's never does."""
        kind, _, rest = patient_id.partition(".")
        modality, _, rest = rest.partition(".")
        body = rest.partition(".")[0]
        return (
            kind == "AIM1"
            and (not self.modalities or modality in self.modalities)
            and (not self.bodies or body in self.bodies)
        )


def filter_for(modality: str, regions: Sequence[str]) -> TokenFilter:
    """Models of a modality for regions that share a zone with these, and models for several of either (MULTI)."""
    near = {other for region in regions for other in overlapping(region)}
    return TokenFilter(
        frozenset({modality, "MULTI"} if modality else ()), frozenset({*near, "MULTI"} if regions else ())
    )


class Catalogue:
    """The models of one archive, with a local cache of their descriptors.

    ``max_age_s``: how old the list of an archive's releases may be before it is asked for again. 0 asks each time, which
    suits archives of some hundred models. What is chosen has to be fetched from the archive anyway before it is run.
    """

    def __init__(self, archive: Archive, cache: Path, *, max_age_s: float = 0.0) -> None:
        self._archive = archive
        self._descriptors = DescriptorCache(archive, cache / "descriptors")
        self._index = ReleaseIndex(cache / "releases", archive.name) if max_age_s > 0 else None
        self._max_age_s = max_age_s

    def candidates(
        self, modality: str = "", regions: Sequence[str] = (), *, progress: ProgressSink = no_progress
    ) -> list[Candidate | UnusableModel]:
        """Models that may fit: by C-FIND on the tokens of the modality, of regions that share a zone with these, and MULTI.

        A damaged or foreign object under these tokens is an :class:`UnusableModel`: it is shown and never chosen.
        Errors: :class:`iodeep.errors.ArchiveError` where the archive doesn't answer.
        """
        return self._read(self._releases(filter_for(modality, regions)), progress)

    def refresh(self, *, progress: ProgressSink = no_progress) -> int:
        """Ask for every release now and read the descriptors that are new; how many releases there are."""
        releases = self._list()
        self._read(releases, progress)
        return len(releases)

    def _releases(self, wanted: TokenFilter) -> list[Release]:
        if self._index is None:
            return self._ask(wanted)
        known = self._index.read(self._max_age_s)
        listed = self._list() if known is None else known
        return [release for release in listed if wanted.lets_through(release.patient_id)]

    def _list(self) -> list[Release]:
        releases = self._ask(TokenFilter())
        if self._index is not None:
            self._index.write(releases)
        return releases

    def _ask(self, wanted: TokenFilter) -> list[Release]:
        """One per study whose Patient ID fits, by UID so that the order never depends on the server."""
        releases: dict[str, Release] = {}
        for pattern in wanted.patterns():
            for answer in self._archive.find(Level.STUDY, {"PatientID": pattern}, _STUDY_KEYS):
                if wanted.lets_through(answer["PatientID"]):
                    releases[answer["StudyInstanceUID"]] = _release(answer)
        return [releases[uid] for uid in sorted(releases)]

    def _read(self, releases: Sequence[Release], progress: ProgressSink) -> list[Candidate | UnusableModel]:
        found: list[Candidate | UnusableModel] = []
        for candidate in self._descriptors.candidates(releases):
            found.append(candidate)
            progress(Progress("reading model descriptors", len(found), len(releases), "models"))
        return found


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
            if disease and not is_about(candidate.profile.need, disease):
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
