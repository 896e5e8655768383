"""Event reports of a workitem (PS3.4 table CC.2.4-1), as they go through the WebSocket (PS3.18 8.10.5, 11.13)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iodeep.service.worklist.documents import Document, document, items, tag_of
from iodeep.service.worklist.rules import PUSH_SOP_CLASS

STATE_REPORT, CANCEL_REQUESTED, PROGRESS_REPORT, SCP_STATUS, ASSIGNED = 1, 2, 3, 4, 5
_FROM_REQUEST = ("ReasonForCancellation", "ProcedureStepDiscontinuationReasonCodeSequence", "ContactURI")
_STATION = "ScheduledStationNameCodeSequence"
_PEOPLE = "ScheduledHumanPerformersSequence"


def state_report(uid: str, held: Mapping[str, Any]) -> Document:
    """UPS State Report."""
    report = _event(STATE_REPORT, uid) | _copied(held, "ProcedureStepState", "InputReadinessState")
    for progress in items(held, "ProcedureStepProgressInformationSequence"):
        report |= _copied(progress, "ReasonForCancellation", "ProcedureStepDiscontinuationReasonCodeSequence")
    return report


def cancel_requested(uid: str, requester: str, request: Mapping[str, Any]) -> Document:
    """UPS Cancel Requested."""
    asked = document(RequestingAE=requester[:16] or None)
    return _event(CANCEL_REQUESTED, uid) | asked | _copied(request, *_FROM_REQUEST, "ContactDisplayName")


def progress_report(uid: str, held: Mapping[str, Any]) -> Document:
    """UPS Progress Report."""
    return _event(PROGRESS_REPORT, uid) | _copied(held, "ProcedureStepProgressInformationSequence")


def assigned(uid: str, held: Mapping[str, Any]) -> Document:
    """UPS Assigned."""
    report = _event(ASSIGNED, uid) | _copied(held, _STATION)
    for person in items(held, _PEOPLE):
        report |= _copied(person, "HumanPerformerCodeSequence", "HumanPerformerOrganization")
    return report


def scp_status(status: str, uid: str) -> Document:
    """SCP Status Change: after a restart, with everything kept."""
    return _event(SCP_STATUS, uid) | document(
        SCPStatus=status, SubscriptionListStatus="WARM START", UnifiedProcedureStepListStatus="WARM START"
    )


def of_change(uid: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Document]:
    """The reports that a change calls for (PS3.4 CC.2.4.3)."""

    def differs(*keywords: str) -> bool:
        return any(before.get(tag_of(keyword)) != after.get(tag_of(keyword)) for keyword in keywords)

    reports = []
    if differs("ProcedureStepState", "InputReadinessState"):
        reports.append(state_report(uid, after))
    if differs("ProcedureStepProgressInformationSequence"):
        reports.append(progress_report(uid, after))
    if differs(_STATION, _PEOPLE):
        reports.append(assigned(uid, after))
    return reports


def of_creation(uid: str, held: Mapping[str, Any]) -> list[Document]:
    """What those who subscribed to the worklist learn of a new step."""
    named = any(items(held, _STATION)) or any(items(held, _PEOPLE))
    return [state_report(uid, held), *([assigned(uid, held)] if named else [])]


def _event(kind: int, uid: str) -> Document:
    return {
        "00000002": {"vr": "UI", "Value": [PUSH_SOP_CLASS]},
        "00001000": {"vr": "UI", "Value": [uid]},
        "00001002": {"vr": "US", "Value": [kind]},
    }


def _copied(held: Mapping[str, Any], *keywords: str) -> Document:
    return {tag: held[tag] for tag in map(tag_of, keywords) if held.get(tag, {}).get("Value")}
