"""What a step asks for, as requests for jobs: one for each series of its Input Information Sequence.

A step is work for us by its Scheduled Workitem Code. The model is the one that its code stands for in the settings, the
one that its Scheduled Processing Parameters name, or the one that selection chooses, in this order.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from iodeep.errors import InputError, Refusal
from iodeep.service.jobs import JobRequest, Origin, Priority
from iodeep.service.worklist.documents import code_of, items, text
from iodeep.settings import PacsSettings, Settings
from pacs_bridge.part10 import is_uid

MODEL_CONCEPT = "99IODEEP:MODEL"
"""Concept of the content item in Scheduled Processing Parameters that names a model (text)."""
CONDITION_CONCEPT = "99IODEEP:CONDITION"
_PRIORITIES = {"HIGH": Priority.STAT, "MEDIUM": Priority.ROUTINE, "LOW": Priority.BATCH}
_READY = "READY"


def is_for_us(held: Mapping[str, Any], settings: Settings) -> bool:
    """Whether one of its codes is one of ours."""
    worklist = settings.serve.worklist
    codes = {code_of(item) for item in items(held, "ScheduledWorkitemCodeSequence")}
    return bool(codes & {*worklist.codes, *worklist.models})


def is_due(held: Mapping[str, Any], now: datetime) -> bool:
    """Whether its input is ready and its scheduled start has come; a start that cannot be read is due."""
    if text(held, "InputReadinessState") != _READY:
        return False
    start = text(held, "ScheduledProcedureStepStartDateTime")
    moment = start.split("+")[0].split("-")[0].split(".")[0][:14]
    try:
        scheduled = datetime.strptime(moment.ljust(14, "0"), "%Y%m%d%H%M%S")
        if "+" in start or "-" in start:
            zone = datetime.strptime(start[-5:], "%z").tzinfo
            return scheduled.replace(tzinfo=zone) <= now
    except ValueError:
        return True
    return scheduled <= now.astimezone().replace(tzinfo=None)


def requests_of(held: Mapping[str, Any], settings: Settings, uid: str) -> tuple[JobRequest, ...]:
    """The jobs; raises :class:`iodeep.errors.InputError` or :class:`iodeep.errors.Refusal` saying what is missing."""
    inputs = list(items(held, "InputInformationSequence"))
    series = {_series(item): item for item in inputs}
    if not series:
        raise InputError(
            "the step names no series", expected="Study and Series Instance UID in its Input Information Sequence"
        )
    model = _model(held, settings)
    return tuple(
        JobRequest(
            study_instance_uid=study,
            series_instance_uid=one,
            pacs=(pacs := _pacs_of(item, settings)),
            results_to=_results_to(held, settings, pacs),
            model=model,
            condition=_parameter(held, CONDITION_CONCEPT),
            priority=_PRIORITIES.get(text(held, "ScheduledProcedureStepPriority"), Priority.ROUTINE),
            origin=Origin.WORKLIST,
            requested_by=f"UPS {uid}",
        )
        for (study, one), item in series.items()
    )


def _series(item: Mapping[str, Any]) -> tuple[str, str]:
    study, series = text(item, "StudyInstanceUID"), text(item, "SeriesInstanceUID")
    if not (is_uid(study) and is_uid(series)):
        raise InputError(
            "an input of the step is no series",
            expected="Study Instance UID and Series Instance UID in each item of Input Information Sequence",
            found=f"study {study or 'none'}, series {series or 'none'}",
        )
    return study, series


def _model(held: Mapping[str, Any], settings: Settings) -> str | None:
    models = settings.serve.worklist.models
    codes = [code_of(item) for item in items(held, "ScheduledWorkitemCodeSequence")]
    meant = {models[code] for code in codes if code in models}
    named = _parameter(held, MODEL_CONCEPT)
    if named:
        meant.add(named)
    if len(meant) > 1:
        raise Refusal("the step means several models", found=", ".join(sorted(meant)), remedy="Schedule one step each.")
    return next(iter(meant), None)


def _parameter(held: Mapping[str, Any], concept: str) -> str | None:
    for item in items(held, "ScheduledProcessingParametersSequence"):
        if any(code_of(name) == concept for name in items(item, "ConceptNameCodeSequence")):
            return text(item, "TextValue") or None
    return None


def _pacs_of(item: Mapping[str, Any], settings: Settings) -> str:
    """The archive that the input is to be fetched from; an AE title that we don't know is refused."""
    titles = [text(way, "RetrieveAETitle") for way in items(item, "DICOMRetrievalSequence")]
    titles = [title for title in titles if title]
    return _called(titles, settings, "Retrieve AE Title") if titles else settings.archive(None).name


def _results_to(held: Mapping[str, Any], settings: Settings, pacs: str) -> str:
    destinations = [
        text(storage, "DestinationAE")
        for destination in items(held, "OutputDestinationSequence")
        for storage in items(destination, "DICOMStorageSequence")
    ]
    titles = [title for title in destinations if title]
    return _called(titles, settings, "Destination AE") if titles else settings.serve.results_to or pacs


def _called(titles: list[str], settings: Settings, what: str) -> str:
    known: dict[str | None, PacsSettings] = {pacs.aet: pacs for pacs in settings.pacs.values()}
    for title in titles:
        if title in known:
            return known[title].name
    raise Refusal(
        f"no archive of ours has the step's {what}",
        expected=", ".join(sorted(str(aet) for aet in known if aet)),
        found=", ".join(titles),
        remedy="Add it to iodeep.toml, or schedule the step with an archive that is there.",
    )
