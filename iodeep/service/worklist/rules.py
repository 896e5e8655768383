"""What PS3.4 table CC.2.5-3 asks of a workitem when it is created, when it is changed, and before it ends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from iodeep.errors import InputError
from iodeep.service.worklist.documents import Document, document, element, items, moment, tag_of, text, values
from iodeep.service.worklist.states import State

PUSH_SOP_CLASS = "1.2.840.10008.5.1.4.34.6.1"
"""Every step is an instance of UPS Push."""
DEFAULT_LABEL = "IODeep"
PRIORITIES = ("HIGH", "MEDIUM", "LOW")
READINESS = ("INCOMPLETE", "UNAVAILABLE", "READY")

_REQUIRED = (
    "ScheduledProcedureStepPriority",
    "ProcedureStepLabel",
    "ScheduledProcedureStepStartDateTime",
    "InputReadinessState",
    "ProcedureStepState",
)
_PRESENT = (
    "ScheduledProcessingParametersSequence",
    "ScheduledStationNameCodeSequence",
    "ScheduledStationClassCodeSequence",
    "ScheduledStationGeographicLocationCodeSequence",
    "ScheduledWorkitemCodeSequence",
    "CommentsOnTheScheduledProcedureStep",
    "InputInformationSequence",
    "PatientName",
    "OtherPatientIDsSequence",
    "PatientBirthDate",
    "PatientSex",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    "AdmittingDiagnosesDescription",
    "AdmittingDiagnosesCodeSequence",
    "ReferencedRequestSequence",
)
"""Type 2: a request that leaves one out gets it, empty, and is told so."""
_EMPTY = (
    "TransactionUID",
    "ProcedureStepProgressInformationSequence",
    "UnifiedProcedureStepPerformedProcedureSequence",
)
_FIXED = (
    "TransactionUID",
    "SOPClassUID",
    "SOPInstanceUID",
    "ProcedureStepState",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    "AdmittingDiagnosesDescription",
    "AdmittingDiagnosesCodeSequence",
    "ReferencedRequestSequence",
    "ReplacedProcedureStepSequence",
)
"""Not allowed in N-SET."""
_FINAL = (
    "SOPClassUID",
    "SOPInstanceUID",
    "ScheduledProcedureStepPriority",
    "ScheduledProcedureStepModificationDateTime",
    "ScheduledProcedureStepStartDateTime",
    "InputReadinessState",
    "ProcedureStepState",
)
_PERFORMED = (
    "PerformedStationNameCodeSequence",
    "PerformedProcedureStepStartDateTime",
    "PerformedWorkitemCodeSequence",
    "PerformedProcedureStepEndDateTime",
)
_CANCELED = ("ProcedureStepCancellationDateTime", "ProcedureStepDiscontinuationReasonCodeSequence")


def created(given: Document, uid: str, now: datetime) -> tuple[Document, bool]:
    """The new workitem, and whether it had to be made whole; raises :class:`iodeep.errors.InputError`."""
    if missing := [keyword for keyword in _REQUIRED if not values(given, keyword)]:
        raise InputError("the workitem lacks required attributes", found=f"no {', '.join(missing)}")
    if filled := [keyword for keyword in _EMPTY if values(given, keyword)]:
        raise InputError("attributes of a new workitem have to be empty", found=", ".join(filled))
    if text(given, "ProcedureStepState") != State.SCHEDULED:
        raise InputError("a workitem is created SCHEDULED", found=text(given, "ProcedureStepState"))
    _check_values(given)
    absent = [keyword for keyword in _PRESENT if tag_of(keyword) not in given]
    whole = dict(given)
    for keyword in (*absent, *_EMPTY):
        whole |= element(keyword)
    whole |= document(
        SOPClassUID=PUSH_SOP_CLASS, SOPInstanceUID=uid, ScheduledProcedureStepModificationDateTime=moment(now)
    )
    if not text(whole, "WorklistLabel"):
        whole |= element("WorklistLabel", DEFAULT_LABEL)
    return dict(sorted(whole.items())), bool(absent)


def updated(held: Document, changes: Document, now: datetime) -> Document:
    """The workitem with its changes; raises :class:`iodeep.errors.InputError` for what must not change."""
    if wrong := [keyword for keyword in _FIXED if tag_of(keyword) in changes]:
        raise InputError("attributes of a workitem that cannot be changed", found=", ".join(wrong))
    emptied = [keyword for keyword in _REQUIRED if tag_of(keyword) in changes and not values(changes, keyword)]
    if emptied:
        raise InputError("required attributes cannot be emptied", found=", ".join(emptied))
    _check_values(changes)
    changed = held | changes
    if any(tag.startswith(("0040", "0074")) and tag not in _PROGRESS for tag in changes):
        changed |= element("ScheduledProcedureStepModificationDateTime", moment(now))
    return dict(sorted(changed.items()))


_PROGRESS = frozenset(
    map(tag_of, ("ProcedureStepProgressInformationSequence", "UnifiedProcedureStepPerformedProcedureSequence"))
)


def lacking(held: Mapping[str, Any], wanted: State) -> tuple[str, ...]:
    """What the final state requires and the workitem does not have (codes R, P and X of the table)."""
    missing = [keyword for keyword in _FINAL if not values(held, keyword)]
    if wanted is State.COMPLETED:
        performed = next(items(held, "UnifiedProcedureStepPerformedProcedureSequence"), {})
        missing += [keyword for keyword in _PERFORMED if not values(performed, keyword)]
        if tag_of("OutputInformationSequence") not in performed:  # empty where there is no output
            missing.append("OutputInformationSequence")
    if wanted is State.CANCELED:
        progress = next(items(held, "ProcedureStepProgressInformationSequence"), {})
        missing += [keyword for keyword in _CANCELED if not values(progress, keyword)]
    return tuple(missing)


def cancelled_before_start(held: Document, reason: Document, now: datetime) -> Document:
    """The workitem with what CANCELED requires, for one that nobody has begun (PS3.4 CC.2.2.3)."""
    why = next(items(reason, "ProcedureStepDiscontinuationReasonCodeSequence"), UNSPECIFIED)
    progress = document(
        ProcedureStepCancellationDateTime=moment(now), ProcedureStepDiscontinuationReasonCodeSequence=why
    )
    if said := text(reason, "ReasonForCancellation"):
        progress |= element("ReasonForCancellation", said)
    return held | element("ProcedureStepProgressInformationSequence", progress)


UNSPECIFIED = document(
    CodeValue="110513", CodingSchemeDesignator="DCM", CodeMeaning="Discontinued for unspecified reason"
)
"""CID 9300 (PS3.16)."""


def _check_values(given: Document) -> None:
    for keyword, allowed in (("ScheduledProcedureStepPriority", PRIORITIES), ("InputReadinessState", READINESS)):
        found = text(given, keyword)
        if found and found not in allowed:
            raise InputError(f"{keyword} has no such value", expected=" or ".join(allowed), found=found)
