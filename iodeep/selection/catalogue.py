"""The models in an archive: found by C-FIND on required keys, read from their small descriptors, filtered again.

What descriptors say, which never changes, is kept in a local index; the list of releases is asked for each time, or kept
for a while where a site says so. A server that ignores a key and answers with everything does no harm: tokens are compared
again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from iodeep.anatomy.regions import overlapping, places
from iodeep.card import ModelCard
from iodeep.errors import InputError, IntegrityError
from iodeep.ports import Archive, Attributes, Level, Progress, ProgressSink, no_progress
from iodeep.selection.candidate import Candidate, UnusableModel
from iodeep.selection.descriptor_reader import DescriptorReader, ReadRelease
from iodeep.selection.index_rows import Release, Row
from iodeep.selection.ranking import is_about
from iodeep.selection.release_index import ReleaseIndex

_STUDY_KEYS = ("PatientID", "PatientName", "StudyInstanceUID")
_KEPT_TOGETHER = 1000
"""Descriptors that are read between two times of keeping: what is lost where somebody interrupts the first reading."""
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
    """The models of one archive, with a local index of them.

    ``max_age_s``: how old the list of an archive's releases may be before it is asked for again. 0 asks each time, by
    tokens, which suits archives of some hundred models; else all releases are listed and those that are new are read.
    What is chosen has to be fetched from the archive anyway before it is run.
    """

    def __init__(self, archive: Archive, cache: Path, *, max_age_s: float = 0.0) -> None:
        self._archive = archive
        self._reader = DescriptorReader(archive, cache / "releases")
        self._index = ReleaseIndex(cache / "releases", archive.name)
        self._max_age_s = max_age_s

    def candidates(
        self, modality: str = "", regions: Sequence[str] = (), *, progress: ProgressSink = no_progress
    ) -> list[Candidate | UnusableModel]:
        """Models that may fit: by the tokens of the modality, of regions that share a zone with these, and MULTI.

        A damaged or foreign object under these tokens is an :class:`UnusableModel`: it is shown and never chosen.
        Errors: :class:`iodeep.errors.ArchiveError` where the archive doesn't answer.
        """
        wanted = filter_for(modality, regions)
        rows = self._index.listed(wanted.lets_through, self._max_age_s) if self._max_age_s > 0 else None
        if rows is None:
            rows = self._ask_all(progress) if self._max_age_s > 0 else self._asked(wanted, progress)
            rows = [row for row in rows if wanted.lets_through(row.release.patient_id)]
        rows.sort(key=_study)
        return [row.candidate(self._archive.name, self._card) for row in rows]

    def refresh(self, *, progress: ProgressSink = no_progress) -> int:
        """Ask for every release now and read the descriptors that are new; how many releases there are."""
        return len(self._ask_all(progress))

    def _ask_all(self, progress: ProgressSink) -> list[Row]:
        """Every release; what the archive has no longer is forgotten."""
        asked_at = time.time()
        rows = self._asked(TokenFilter(), progress)
        self._index.keep_only(frozenset(map(_study, rows)), asked_at)
        return rows

    def _asked(self, wanted: TokenFilter, progress: ProgressSink) -> list[Row]:
        """The releases that the archive has now, as they are known; those that are new, or could not be read, are read."""
        releases = self._ask(wanted)
        shelves = {release.shelf for release in releases}
        known = {row.release: row for row in self._index.rows(shelves.__contains__)}
        missing = [release for release in releases if release not in known or known[release].problem]
        done = len(releases) - len(missing)
        reading = self._reader.read(missing)
        while fresh := list(islice(self._counted(reading, done, len(releases), progress), _KEPT_TOGETHER)):
            self._keep([read for read in fresh if read.row != known.get(read.row.release)])
            known |= {read.row.release: read.row for read in fresh}
            done += len(fresh)
        return [known[release] for release in releases]

    def _counted(
        self, reading: Iterator[ReadRelease], done: int, total: int, progress: ProgressSink
    ) -> Iterator[ReadRelease]:
        for number, read in enumerate(reading, start=done + 1):
            progress(Progress("reading model descriptors", number, total, "models"))
            yield read

    def _keep(self, fresh: Sequence[ReadRelease]) -> None:
        cards = {_study(read.row): read.encoded_card for read in fresh if read.encoded_card}
        if fresh:
            self._index.add([read.row for read in fresh], cards)

    def _ask(self, wanted: TokenFilter) -> list[Release]:
        """One per study whose Patient ID fits, by UID so that the order never depends on the server."""
        releases: dict[str, Release] = {}
        for pattern in wanted.patterns():
            for answer in self._archive.find(Level.STUDY, {"PatientID": pattern}, _STUDY_KEYS):
                if wanted.lets_through(answer["PatientID"]):
                    releases[answer["StudyInstanceUID"]] = _release(answer)
        return [releases[uid] for uid in sorted(releases)]

    def _card(self, row: Row) -> ModelCard:
        """The card of a kept row; read from the archive again where the index lost it."""
        card = self._index.card(row)
        if card is not None:
            return card
        (read,) = self._reader.read([row.release])
        if read.card is None or read.row.identity != row.identity:
            raise IntegrityError(
                f"{row.release.name} in {self._archive.name} is not what it was when it was indexed",
                expected=f"the descriptor of study {row.release.study_instance_uid}, unchanged",
                found=read.row.problem or "another descriptor",
                remedy="Find out who replaced it: a release is never changed. Run `iodeep verify` on it.",
            )
        return read.card


def list_models(
    archive: Archive,
    cache: Path,
    *,
    modality: str = "",
    anatomy: str = "",
    disease: str = "",
    name: str = "",
    max_age_s: float = 0.0,
    judged: Callable[[Candidate], Candidate] = lambda candidate: candidate,
    progress: ProgressSink = no_progress,
) -> list[ModelRow]:
    """Every release in the archive that the filters let through, for ``iodeep models``.

    ``max_age_s``: see :class:`Catalogue`. ``judged``: gives a model back with why the site does not trust it.
    ``anatomy``: a defined term; models for it, for what contains it, and for what lies in it.
    Errors: :class:`iodeep.errors.InputError` for an ``anatomy`` that is no defined term.
    """
    region = anatomy.strip().upper()
    if region and region not in places():
        raise InputError(
            f"{anatomy!r} is not a region", expected="a Body Part Examined defined term (PS3.16 Annex L), such as HEAD"
        )
    candidates = Catalogue(archive, cache, max_age_s=max_age_s).candidates(
        modality.strip().upper(), (region,) if region else (), progress=progress
    )
    listed = _filtered(candidates, modality.strip().upper(), region, disease, name)
    rows = [_row(judged(each) if isinstance(each, Candidate) else each) for each in listed]
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
            if modality and modality not in candidate.profile.need.modalities:
                continue
            if region and not set(candidate.profile.need.regions) & set(overlapping(region)):
                continue
        elif disease:
            continue
        yield candidate


def _searchable(candidate: Candidate | UnusableModel) -> str:
    token = candidate.profile.token if isinstance(candidate, Candidate) else ""
    return f"{candidate.name} {token}".casefold()


def _study(row: Row) -> str:
    return row.release.study_instance_uid


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
        problem=candidate.retired or candidate.distrusted or candidate.unapproved,
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split(".") if number.isdigit())
