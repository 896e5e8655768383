"""What is read from archives for the API, each in one function that blocks: run it in a thread.

Nothing here retrieves an image: C-FIND (PS3.4 C.4.1) or QIDO-RS, and the small descriptors of models, which are cached.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

from iodeep.card import card_document
from iodeep.ports import Archive, Attributes, Level
from iodeep.selection import (
    Candidate,
    Catalogue,
    Decision,
    ModelRow,
    UnusableModel,
    decide,
    facts_of_attributes,
    list_models,
)
from iodeep.selection.catalogue import TokenFilter
from iodeep.service.api.parameters import PacsName, Uid, Words, no_such
from iodeep.service.api.problems import NotFoundError
from iodeep.service.selecting import SitePolicy
from iodeep.service.serving import ServeContext
from iodeep.service.subjects import NOT_IMAGES
from iodeep.service.trusting import decided_by_trust

_STUDY_KEYS = (
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "AccessionNumber",
    "PatientID",
    "PatientName",
    "ModalitiesInStudy",
    "NumberOfStudyRelatedSeries",
    "NumberOfStudyRelatedInstances",
)
_SERIES_KEYS = (
    "Modality",
    "SeriesNumber",
    "SeriesDescription",
    "BodyPartExamined",
    "ProtocolName",
    "NumberOfSeriesRelatedInstances",
)
_UNASKED_DAYS = 7
PolicyNow = Callable[[], SitePolicy]
"""The site's policy, with its keys as they are at the moment."""

is_model = TokenFilter().lets_through
"""Whether a Patient ID is a model's token, and no patient's."""


class StudyOut(BaseModel):
    """A study, as the archive describes it; "" where it says nothing."""

    study_instance_uid: str
    study_date: str
    study_time: str
    study_description: str
    accession_number: str
    patient_id: str
    patient_name: str
    modalities: list[str]
    series: int | None
    instances: int | None


class SeriesOut(BaseModel):
    """A series, as the archive describes it."""

    series_instance_uid: str
    modality: str
    series_number: str
    series_description: str
    body_part_examined: str
    protocol_name: str
    instances: int | None
    has_images: bool = Field(description="Whether it may hold images that a model could be given.")


class ModelOut(BaseModel):
    """A release of a model."""

    name: str
    version: str
    modality: str
    regions: list[str]
    conditions: list[str]
    released: str
    payload_bytes: int | None
    sop_instance_uid: str
    study_instance_uid: str
    problem: str | None = Field(description="Why it cannot be chosen.")
    state: str | None = Field(description="Where it stands at this site; null where that is not known.")


class ModelCardOut(BaseModel):
    """A release with its card (docs/card.md)."""

    sop_instance_uid: str
    study_instance_uid: str
    where: str
    payload_bytes: int | None
    problem: str | None
    state: str | None
    card: dict[str, Any]


class SelectionAsk(BaseModel):
    """The series that a model is looked for."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "study_instance_uid": "1.2.826.0.1.3680043.8.498.1",
                    "series_instance_uid": "1.2.826.0.1.3680043.8.498.2",
                }
            ]
        },
    )

    study_instance_uid: Uid
    series_instance_uid: Uid
    pacs: PacsName | None = Field(default=None, description="The archive with the series; the default one.")
    model: Words | None = Field(default=None, description="Only this model: name, token or UID.")
    condition: Words | None = Field(default=None, description="The disease that is asked about.")
    every_candidate: bool = Field(default=False, description="Each model of the archive with its reasons.")


@dataclass(frozen=True)
class StudyAsk:
    """Filters for studies."""

    patient_id: str | None = None
    patient_name: str | None = None
    accession_number: str | None = None
    modality: str | None = None
    date: str | None = None
    study: str | None = None

    def match(self) -> dict[str, str]:
        """As DICOM keys; without any, the last seven days, so that nobody asks for a whole archive by mistake."""
        keys = {
            "PatientID": self.patient_id,
            "PatientName": self.patient_name,
            "AccessionNumber": self.accession_number,
            "ModalitiesInStudy": self.modality,
            "StudyDate": self.date,
            "StudyInstanceUID": self.study,
        }
        asked = {keyword: value for keyword, value in keys.items() if value}
        first = date.today() - timedelta(days=_UNASKED_DAYS)
        return asked or {"StudyDate": f"{first:%Y%m%d}-"}

    def query(self, pacs: str) -> str:
        """The query that asked."""
        return urlencode({"pacs": pacs, **{name: value for name, value in asdict(self).items() if value}})


def studies_matching(context: ServeContext, pacs: str, ask: StudyAsk) -> list[StudyOut]:
    """Studies of patients, the newest first."""
    with closing(context.open_archive(pacs)) as archive:
        rows = archive.find(Level.STUDY, ask.match(), _STUDY_KEYS)
    found = [_study(row) for row in rows if not is_model(row.get("PatientID", ""))]
    return sorted(found, key=lambda row: (row.study_date, row.study_time, row.study_instance_uid), reverse=True)


def series_of_study(context: ServeContext, pacs: str, study: str) -> list[SeriesOut]:
    """The series of a patient's study. Errors: :class:`NotFoundError`."""
    with closing(context.open_archive(pacs)) as archive:
        rows = _series_rows(archive, pacs, study)
    return sorted(
        (_series(row) for row in rows), key=lambda row: (_number(row.series_number) or 0, row.series_instance_uid)
    )


def _series_rows(archive: Archive, pacs: str, study: str) -> list[Attributes]:
    """What the archive says of the study's series, each with the words of its study."""
    described = archive.find(Level.STUDY, {"StudyInstanceUID": study}, ("StudyDescription", "PatientID"))
    if not described or is_model(described[0].get("PatientID", "")):
        raise no_such("study", study, pacs)
    words = described[0].get("StudyDescription", "")
    rows = archive.find(Level.SERIES, {"StudyInstanceUID": study}, ("SeriesInstanceUID", *_SERIES_KEYS))
    return [{**row, "StudyInstanceUID": study, "StudyDescription": words} for row in rows]


def decide_without_images(
    context: ServeContext, policy_now: PolicyNow, pacs: str, models_from: str, ask: SelectionAsk
) -> dict[str, Any]:
    """The decision for a series from what C-FIND says of it. Errors: :class:`NotFoundError`."""
    policy = policy_now()
    with closing(context.open_archive(pacs)) as archive:
        rows = [row for row in _series_rows(archive, pacs, ask.study_instance_uid) if row["Modality"] not in NOT_IMAGES]
    asked = [row for row in rows if row["SeriesInstanceUID"] == ask.series_instance_uid]
    if not asked:
        raise no_such("image series", ask.series_instance_uid, pacs)
    facts = facts_of_attributes(asked[0])
    with closing(context.open_archive(models_from)) as archive:
        catalogue = _catalogue(context, archive)
        regions: Sequence[str] = () if ask.every_candidate else policy.resolver.resolve(facts.evidence).regions
        modality = "" if ask.every_candidate else facts.modality
        candidates = catalogue.candidates(modality, sorted(regions))

        def decided(among: Sequence[Candidate | UnusableModel]) -> Decision:
            return decide(
                facts,
                among,
                study=[facts_of_attributes(row) for row in rows if row not in asked],
                wanted_model=ask.model,
                condition=ask.condition,
                rules=policy.rules,
                resolver=policy.resolver,
            )

        judge = policy.judge(archive, context.configuration.cache)
        return decided_by_trust(decided, candidates, judge, every_candidate=ask.every_candidate).as_document()


def models_of(
    context: ServeContext,
    policy_now: PolicyNow,
    pacs: str,
    *,
    modality: str,
    anatomy: str,
    disease: str,
    name: str,
) -> list[ModelOut]:
    """The releases that the filters let through; an empty one lets all through."""
    policy = policy_now()
    with closing(context.open_archive(pacs)) as archive:
        rows = list_models(
            archive,
            context.configuration.cache,
            modality=modality,
            anatomy=anatomy,
            disease=disease,
            name=name,
            max_age_s=context.settings.selection.catalogue_max_age_s,
            judged=policy.judge(archive, context.configuration.cache).judged,
        )
    states = _states(policy)
    return [_model(row, states.get(row.uid)) for row in rows]


def model_with_card(context: ServeContext, policy_now: PolicyNow, pacs: str, uid: str) -> ModelCardOut:
    """The release that ``uid`` (descriptor or study) names. Errors: :class:`NotFoundError`."""
    policy = policy_now()
    with closing(context.open_archive(pacs)) as archive:
        judge = policy.judge(archive, context.configuration.cache)
        named = [
            judge.judged(each)
            for each in _catalogue(context, archive).candidates()
            if isinstance(each, Candidate) and uid in (each.uid, each.study_instance_uid)
        ]
    for each in named:
        return ModelCardOut(
            sop_instance_uid=each.uid,
            study_instance_uid=each.study_instance_uid,
            where=each.where,
            payload_bytes=each.total_bytes,
            problem=each.retired or each.distrusted or each.unapproved or None,
            state=_states(policy).get(each.uid),
            card=card_document(each.card),
        )
    raise NotFoundError(f"{pacs} holds no usable model {uid}", remedy="GET /api/v1/models lists those that it holds.")


def _states(policy: SitePolicy) -> Mapping[str, str]:
    return policy.admission.states() if policy.admission else {}


def _catalogue(context: ServeContext, archive: Archive) -> Catalogue:
    max_age_s = context.settings.selection.catalogue_max_age_s
    return Catalogue(archive, context.configuration.cache, max_age_s=max_age_s)


def _study(row: Attributes) -> StudyOut:
    return StudyOut(
        study_instance_uid=row["StudyInstanceUID"],
        study_date=row.get("StudyDate", ""),
        study_time=row.get("StudyTime", ""),
        study_description=row.get("StudyDescription", ""),
        accession_number=row.get("AccessionNumber", ""),
        patient_id=row.get("PatientID", ""),
        patient_name=row.get("PatientName", ""),
        modalities=[each for each in row.get("ModalitiesInStudy", "").split("\\") if each],
        series=_number(row.get("NumberOfStudyRelatedSeries", "")),
        instances=_number(row.get("NumberOfStudyRelatedInstances", "")),
    )


def _series(row: Attributes) -> SeriesOut:
    return SeriesOut(
        series_instance_uid=row["SeriesInstanceUID"],
        modality=row.get("Modality", ""),
        series_number=row.get("SeriesNumber", ""),
        series_description=row.get("SeriesDescription", ""),
        body_part_examined=row.get("BodyPartExamined", ""),
        protocol_name=row.get("ProtocolName", ""),
        instances=_number(row.get("NumberOfSeriesRelatedInstances", "")),
        has_images=row.get("Modality", "") not in NOT_IMAGES,
    )


def _model(row: ModelRow, state: str | None) -> ModelOut:
    return ModelOut(
        name=row.name,
        version=row.version,
        modality=row.modality,
        regions=list(row.regions),
        conditions=list(row.conditions),
        released=row.released,
        payload_bytes=row.total_bytes,
        sop_instance_uid=row.uid,
        study_instance_uid=row.study_instance_uid,
        problem=row.problem or None,
        state=state,
    )


def _number(text: str) -> int | None:
    return int(text) if text.strip().isdecimal() else None
