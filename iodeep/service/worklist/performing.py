"""What the jobs of a step mean for it: its progress, and what it has to hold when it ends (PS3.4 CC.2.5.1.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from iodeep.service.jobs import JobRecord, JobState
from iodeep.service.jobs.record import ResultRef, Step
from iodeep.service.worklist.documents import Document, code, document, items, moment
from iodeep.service.worklist.orders import MODEL_CONCEPT
from iodeep.service.worklist.rules import UNSPECIFIED
from iodeep.service.worklist.states import State

_BEGUN = frozenset({JobState.RUNNING, JobState.RETRYING, JobState.DONE, JobState.REFUSED, JobState.FAILED})
_STEPS = tuple(Step)


def has_begun(jobs: Sequence[JobRecord]) -> bool:
    """Whether one of the jobs has been begun."""
    return any(job.state in _BEGUN or job.started is not None for job in jobs)


def outcome(jobs: Sequence[JobRecord]) -> State | None:
    """COMPLETED when all are done, CANCELED when all have ended otherwise, None before."""
    if not all(job.state.final for job in jobs):
        return None
    return State.COMPLETED if all(job.state is JobState.DONE for job in jobs) else State.CANCELED


def progress(jobs: Sequence[JobRecord]) -> Document:
    """Progress Information: percent over all jobs, and a line that says what is done."""
    percent = sum(_percent(job) for job in jobs) // max(1, len(jobs))
    running = next((job.progress.step.value for job in jobs if job.progress and not job.state.final), "")
    words = running or jobs[0].state.value
    item = document(ProcedureStepProgress=str(percent), ProcedureStepProgressDescription=words[:1024])
    return document(ProcedureStepProgressInformationSequence=item)


def completed(held: Mapping[str, Any], jobs: Sequence[JobRecord], station: str, now: datetime) -> Document:
    """The Performed Procedure Sequence with its Output Information Sequence: each SEG and SR, and where it is."""
    outputs = [_output(result, job.request.results_to) for job in jobs for result in job.results]
    performed = _performed(held, jobs, station, now)
    performed |= document(OutputInformationSequence=_joined(outputs))
    return document(UnifiedProcedureStepPerformedProcedureSequence=performed)


def canceled(held: Mapping[str, Any], jobs: Sequence[JobRecord], why: str, station: str, now: datetime) -> Document:
    """The reason for CANCELED; and what was performed up to then, where something was."""
    reason = document(
        ProcedureStepCancellationDateTime=moment(now),
        ReasonForCancellation=why[:1024],
        ProcedureStepDiscontinuationReasonCodeSequence=UNSPECIFIED,
    )
    changes = document(ProcedureStepProgressInformationSequence=reason)
    return changes | completed(held, jobs, station, now) if jobs and has_begun(jobs) else changes


def why_ended(jobs: Sequence[JobRecord]) -> str:
    """Why it was not completed, in the words of the first job that was not done."""
    ended = next((job for job in jobs if job.state is not JobState.DONE), None)
    if ended is None:
        return ""
    if ended.failure is None:
        return {JobState.CANCELLED: "cancelled", JobState.REFUSED: "no model fits"}.get(ended.state, ended.state.value)
    failure = ended.failure
    return ". ".join(part for part in (failure.problem, failure.found, failure.remedy) if part)


def _percent(job: JobRecord) -> int:
    if job.state.final:
        return 100
    if job.progress is None:
        return 0
    done, total = job.progress.done, job.progress.total
    share = min(1.0, done / total) if total else 0.0
    return int(100 * (_STEPS.index(job.progress.step) + share) / len(_STEPS))


def _performed(held: Mapping[str, Any], jobs: Sequence[JobRecord], station: str, now: datetime) -> Document:
    starts = [job.started for job in jobs if job.started]
    ends = [job.finished for job in jobs if job.finished]
    models = [f"{job.model_name} {job.model_version or ''}".strip() for job in jobs if job.model_name]
    return document(
        PerformedStationNameCodeSequence=code(station[:16] or "IODEEP", "99IODEEP", station[:64] or "IODeep"),
        PerformedProcedureStepStartDateTime=moment(min(starts, default=now)),
        PerformedWorkitemCodeSequence=list(items(held, "ScheduledWorkitemCodeSequence")),
        PerformedProcessingParametersSequence=[_model_item(model) for model in dict.fromkeys(models)],
        PerformedProcedureStepEndDateTime=moment(max(ends, default=now)),
    )


def _model_item(model: str) -> Document:
    scheme, _, value = MODEL_CONCEPT.partition(":")
    return document(ValueType="TEXT", ConceptNameCodeSequence=code(value, scheme, "Model"), TextValue=model)


def _output(result: ResultRef, archive: str) -> Document:
    """An item of the Referenced Instances and Access macro (PS3.4 table CC.2.5-2c)."""
    instance = document(ReferencedSOPClassUID=result.sop_class_uid, ReferencedSOPInstanceUID=result.sop_instance_uid)
    return document(
        TypeOfInstances="DICOM",
        StudyInstanceUID=result.study_instance_uid,
        SeriesInstanceUID=result.series_instance_uid,
        ReferencedSOPSequence=instance,
        DICOMRetrievalSequence=document(RetrieveAETitle=archive),
    )


def _joined(outputs: list[Document]) -> list[Document]:
    """Each series once, with its instances."""
    series: dict[str, Document] = {}
    for output in outputs:
        key = str(output["0020000E"]["Value"][0])
        if key in series:
            series[key]["00081199"]["Value"] += output["00081199"]["Value"]
        else:
            series[key] = output
    return list(series.values())
