"""Studies and series in the PACS, and what was found in a series; model objects never stand among patients."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from iodeep.service.access import Principal
from iodeep.service.api.archive_reads import SeriesOut, StudyAsk, StudyOut, series_of_study, studies_matching
from iodeep.service.api.openapi import PREFIX
from iodeep.service.api.parameters import Limit, Offset, Pacs, SeriesUid, StudyUid, Uid, Words, next_page
from iodeep.service.api.state import ApiState, State, Viewer, archive_name
from iodeep.service.audit import AuditEvent, EventKind
from iodeep.service.jobs import JobFilter, JobRecord, ResultRef

router = APIRouter(tags=["archive"])


class StudyPage(BaseModel):
    """Some studies, the newest first."""

    archive: str
    items: list[StudyOut]
    next: str | None = Field(description="Address of the next page, for the same filters.")


class SeriesList(BaseModel):
    """The series of a study."""

    archive: str
    study_instance_uid: str
    items: list[SeriesOut]


class SeriesResult(BaseModel):
    """What one job gave for the series."""

    job_id: str
    model: str | None
    version: str | None
    finished: str | None
    results: list[ResultRef]
    findings: list[str]


class SeriesResults(BaseModel):
    """Everything that jobs found in a series, the newest first."""

    series_instance_uid: str
    items: list[SeriesResult]


async def _audited(state: ApiState, request: Request, caller: Principal, detail: str, studies: tuple[str, ...]) -> None:
    await state.record(
        AuditEvent(
            EventKind.QUERY,
            user=caller.name,
            address=request.client.host if request.client else "",
            action="E",
            study_instance_uids=studies,
            detail=detail,
        )
    )


@router.get(
    "/studies",
    operation_id="listStudies",
    summary="Find studies",
    responses={404: {"description": "No such archive."}},
)
async def studies(
    request: Request,
    state: State,
    caller: Viewer,
    pacs: Pacs = None,
    patient_id: Annotated[Words | None, Query(description="`*` and `?` match anything.")] = None,
    patient_name: Annotated[Words | None, Query(description="`*` and `?` match anything.")] = None,
    accession_number: Annotated[Words | None, Query(max_length=16)] = None,
    modality: Annotated[str | None, Query(max_length=16, pattern="^[A-Z0-9_ ]+$")] = None,
    date: Annotated[
        str | None,
        Query(
            pattern=r"^([0-9]{8})?-?([0-9]{8})?$",
            min_length=8,
            max_length=17,
            description="Study Date, or a range of it (PS3.4 C.2.2.2.5). Without any filter: the last seven days.",
            examples=["20261114-20261121"],
        ),
    ] = None,
    study: Annotated[Uid | None, Query(description="Study Instance UID")] = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> StudyPage:
    """Studies of patients that the archive names for these filters."""
    archive = archive_name(state.context.settings, pacs)
    ask = StudyAsk(patient_id, patient_name, accession_number, modality, date, study)
    await _audited(state, request, caller, f"studies in {archive}", (study,) if study else ())
    rows = await state.archives.run(studies_matching, state.context, archive, ask)
    following = next_page(f"{PREFIX}/studies", offset, limit, len(rows) > offset + limit, ask.query(archive))
    return StudyPage(archive=archive, items=rows[offset : offset + limit], next=following)


@router.get(
    "/studies/{study}/series",
    operation_id="listSeries",
    summary="The series of a study",
    responses={404: {"description": "No such study or archive."}},
)
async def series(study: StudyUid, request: Request, state: State, caller: Viewer, pacs: Pacs = None) -> SeriesList:
    """The study's series as the archive describes them; those that hold no images a model could take say so."""
    archive = archive_name(state.context.settings, pacs)
    await _audited(state, request, caller, f"series of a study in {archive}", (study,))
    rows = await state.archives.run(series_of_study, state.context, archive, study)
    return SeriesList(archive=archive, study_instance_uid=study, items=rows)


@router.get("/series/{series}/results", operation_id="getSeriesResults", summary="What was found in a series")
async def series_results(series: SeriesUid, state: State, _caller: Viewer) -> SeriesResults:
    """What jobs stored for the series, the newest first; empty where none did. What trials gave is never among it."""
    wanted = JobFilter(series_instance_uid=series, shadow=False)
    rows = await state.database.run(state.board.list, wanted, limit=500)
    return SeriesResults(series_instance_uid=series, items=[_result(row) for row in rows if row.results])


def _result(row: JobRecord) -> SeriesResult:
    return SeriesResult(
        job_id=row.job_id,
        model=row.model_name,
        version=row.model_version,
        finished=row.finished.isoformat() if row.finished else None,
        results=list(row.results),
        findings=list(row.findings),
    )
