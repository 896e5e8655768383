"""What the local index keeps of a release, as text: everything that a decision reads, and the digest of the card.

Models that ask for the same share their need, written once; so much of thousands of models is read in milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from iodeep.card import ContrastPhase, Laterality, ModelCard, Range, Sequence, SlicePlane
from iodeep.model_object.identity import ModelIdentity
from iodeep.selection.candidate import Candidate, UnusableModel
from iodeep.selection.profile import InputNeed, Need, Profile

FORMAT = 1
"""Of the rows; one more whenever what is written here, or how, changes."""


@dataclass(frozen=True)
class Release:
    """A study in the archive that claims to be a model."""

    study_instance_uid: str
    patient_id: str
    name: str

    @property
    def shelf(self) -> str:
        """The tokens that a search is narrowed by, which releases are kept together under: ``AIM1.MR.HEAD``."""
        return ".".join(self.patient_id.split(".")[:3])


@dataclass(frozen=True)
class Row:
    """A release with what was read of its descriptor; ``problem`` where it cannot be used."""

    release: Release
    profile: Profile | None = None
    identity: tuple[str, ...] = ()
    """The fields of :class:`ModelIdentity`, in its order."""
    total_bytes: int = 0
    card_sha256: str = ""
    problem: str = ""

    def candidate(self, where: str, card_of: Callable[[Row], ModelCard]) -> Candidate | UnusableModel:
        """What a decision is given; the card is only read where somebody asks for it."""
        if self.profile is None:
            study = self.release.study_instance_uid
            return UnusableModel(self.release.name, study, where, self.problem, study_instance_uid=study)
        return KeptCandidate.of(self, where, card_of)


class KeptCandidate(Candidate):
    """A candidate whose profile was kept and whose card is read when it is asked for.

    A copy with something replaced (:func:`dataclasses.replace`) reads it, and is made like any candidate.
    """

    @classmethod
    def of(cls, row: Row, where: str, card_of: Callable[[Row], ModelCard]) -> Self:
        """The candidate of a row that can be used."""
        assert row.profile is not None
        kept = cls.__new__(cls)
        kept.__dict__.update(
            row=row,
            card_of=card_of,
            profile=row.profile,
            uid=row.identity[_SOP_INSTANCE_UID],
            where=where,
            total_bytes=row.total_bytes,
            study_instance_uid=row.release.study_instance_uid,
            retired="",
            distrusted="",
            unapproved="",
        )
        return kept

    row: Row
    card_of: Callable[[Row], ModelCard]

    @cached_property
    def card(self) -> ModelCard:
        """The card, checked against the digest in the row."""
        return self.card_of(self.row)

    @cached_property
    def identity(self) -> ModelIdentity:
        """The name by which results point to it."""
        return ModelIdentity(*self.row.identity)


_IDENTITY = tuple(ModelIdentity.__dataclass_fields__)
_SOP_INSTANCE_UID = _IDENTITY.index("sop_instance_uid")


def identity_row(identity: ModelIdentity) -> tuple[str, ...]:
    """An identity's fields, in its order."""
    return tuple(getattr(identity, name) for name in _IDENTITY)


def encoded_rows(rows: Iterable[Row]) -> bytes:
    """Rows as one JSON document."""
    needs: dict[str, int] = {}
    written = [_row_document(row, needs) for row in rows]
    document = {"needs": [json.loads(need) for need in needs], "rows": written}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def decoded_rows(content: bytes) -> list[Row]:
    """What :func:`encoded_rows` wrote; KeyError, ValueError, TypeError or IndexError where it is anything else."""
    document = json.loads(content)
    needs = [_need(written) for written in document["needs"]]
    return [_row(written, needs) for written in document["rows"]]


def _row_document(row: Row, needs: dict[str, int]) -> list[Any]:
    release = [row.release.study_instance_uid, row.release.patient_id, row.release.name]
    model = row.profile
    if model is None:
        return [*release, row.problem]
    need = needs.setdefault(json.dumps(_need_document(model.need)), len(needs))
    profile = [model.name, model.token, model.version, model.number, model.cases, need]
    return [*release, "", profile, row.identity, row.total_bytes, row.card_sha256]


def _row(written: list[Any], needs: list[Need]) -> Row:
    study, patient, name, problem, *usable = written
    release = Release(study, patient, name)
    if not usable:
        return Row(release, problem=problem)
    (model, token, version, number, cases, need), identity, total_bytes, card_sha256 = usable
    profile = Profile(model, token, version, number, cases, needs[need])
    return Row(release, profile, tuple(identity), total_bytes, card_sha256)


_RANGES = ("slice_count", "slice_spacing_mm", "pixel_spacing_mm", "coverage_mm")


def _need_document(need: Need) -> dict[str, Any]:
    return {
        "regions": need.regions,
        "laterality": need.laterality,
        "conditions": need.conditions,
        "condition_token": need.condition_token,
        "inputs": [_input_document(wanted) for wanted in need.inputs],
    }


def _input_document(wanted: InputNeed) -> dict[str, Any]:
    ranges = {name: getattr(wanted, name) for name in _RANGES}
    return {
        "name": wanted.name,
        "modality": wanted.modality,
        "sequences": wanted.sequences,
        "phases": wanted.phases,
        **{name: [value.min, value.max] for name, value in ranges.items()},
        "planes": wanted.planes,
        "image_type_required": wanted.image_type_required,
        "image_type_forbidden": wanted.image_type_forbidden,
        "derived": wanted.derived,
    }


def _need(written: dict[str, Any]) -> Need:
    laterality = written["laterality"]
    return Need(
        regions=tuple(written["regions"]),
        laterality=Laterality(laterality) if laterality else None,
        conditions=tuple((value, meaning) for value, meaning in written["conditions"]),
        condition_token=written["condition_token"],
        inputs=tuple(map(_input, written["inputs"])),
    )


def _input(written: dict[str, Any]) -> InputNeed:
    ranges = {name: Range(min=low, max=high) for name in _RANGES for low, high in [written[name]]}
    return InputNeed(
        name=written["name"],
        modality=written["modality"],
        sequences=tuple(map(Sequence, written["sequences"])),
        phases=tuple(map(ContrastPhase, written["phases"])),
        **ranges,
        planes=tuple(map(SlicePlane, written["planes"])),
        image_type_required=tuple(written["image_type_required"]),
        image_type_forbidden=tuple(written["image_type_forbidden"]),
        derived=written["derived"],
    )
