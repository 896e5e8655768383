"""An event as the XML message of PS3.15 A.5: the schema is A.5.1, the codes are those of DCM (PS3.16 D), the tables A.5.3.

Patients take part as persons in the role of patient, studies as reports, model objects as processing elements: a model is never
somebody's image. The line of the log goes with the message (security resource), so that a receiver can tell a log written anew.
"""

from __future__ import annotations

import ipaddress
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from iodeep.service.audit.event import AuditEvent, EventKind
from iodeep.service.audit.reading import RecordedEvent

OURS = "99IODEEP"
APPLICATION_SERVER = "4"
"""Audit Source Type Code (PS3.15 A.5.1.2.1)."""


@dataclass(frozen=True)
class _Code:
    value: str
    meaning: str
    scheme: str = "DCM"

    def into(self, parent: Element, name: str) -> None:
        SubElement(parent, name, {"csd-code": self.value, "codeSystemName": self.scheme, "originalText": self.meaning})


_KINDS = {
    EventKind.APPLICATION_START: _Code("110100", "Application Activity"),
    EventKind.APPLICATION_STOP: _Code("110100", "Application Activity"),
    EventKind.QUERY: _Code("110112", "Query"),
    EventKind.INSTANCES_ACCESSED: _Code("110103", "DICOM Instances Accessed"),
    EventKind.INSTANCES_TRANSFERRED: _Code("110104", "DICOM Instances Transferred"),
    EventKind.EXPORT: _Code("110106", "Export"),
    EventKind.IMPORT: _Code("110107", "Import"),
    EventKind.USER_AUTHENTICATION: _Code("110114", "User Authentication"),
    EventKind.SECURITY_ALERT: _Code("110113", "Security Alert"),
    EventKind.JOB: _Code("JOB", "Job", OURS),
    EventKind.APPROVAL: _Code("APPROVAL", "Approval", OURS),
}
_USUAL_TYPES = {
    EventKind.APPLICATION_START: "110120",
    EventKind.APPLICATION_STOP: "110121",
    EventKind.USER_AUTHENTICATION: "110122",
    EventKind.SECURITY_ALERT: "110132",
}
_TYPES = {
    "110120": "Application Start",
    "110121": "Application Stop",
    "110122": "Login",
    "110123": "Logout",
    "110126": "Node Authentication",
    "110127": "Emergency Override Started",
    "110128": "Network Configuration",
    "110129": "Security Configuration",
    "110130": "Hardware Configuration",
    "110131": "Software Configuration",
    "110132": "Use of Restricted Function",
    "110133": "Audit Recording Stopped",
    "110134": "Audit Recording Started",
    "110135": "Object Security Attributes Changed",
    "110136": "Security Roles Changed",
    "110137": "User Security Attributes Changed",
}
_APPLICATION = _Code("110150", "Application")
_LAUNCHER = _Code("110151", "Application Launcher")
_DESTINATION = _Code("110152", "Destination Role ID")
_SOURCE = _Code("110153", "Source Role ID")
_ROLES = {
    EventKind.APPLICATION_START: (_LAUNCHER, _APPLICATION),
    EventKind.APPLICATION_STOP: (_LAUNCHER, _APPLICATION),
    EventKind.QUERY: (_SOURCE, _DESTINATION),
    EventKind.INSTANCES_TRANSFERRED: (_SOURCE, _DESTINATION),
    EventKind.IMPORT: (_SOURCE, _DESTINATION),
    EventKind.EXPORT: (_DESTINATION, _SOURCE),
}
"""What the other side and what this process is, where the message's table says so."""
_PATIENT = _Code("2", "Patient Number", "RFC-3881")
_STUDY = _Code("110180", "Study Instance UID")
_CLASS = _Code("110181", "SOP Class UID")
_MODEL = _Code("MODEL", "SOP Instance UID of a model's descriptor", OURS)
_LINE = _Code("LINE", "Line of the audit log", OURS)


def as_xml(recorded: RecordedEvent, site: str) -> bytes:
    """The message in UTF-8, without an XML declaration (PS3.15 A.6)."""
    event = recorded.event
    root = Element("AuditMessage")
    _identification(root, event)
    _participants(root, recorded)
    source = SubElement(root, "AuditSourceIdentification", AuditEnterpriseSiteID=site, AuditSourceID=recorded.process)
    SubElement(source, "AuditSourceTypeCode", {"csd-code": APPLICATION_SERVER})
    for add in (_patient, _studies, _query, _models):
        add(root, event)
    line = _object(root, _LINE, str(recorded.sequence), "2", "13")
    SubElement(line, "ParticipantObjectDetail", type="hash", value=b64encode(recorded.hash.encode()).decode())
    return bytes(tostring(root, encoding="utf-8", xml_declaration=False))


def _identification(root: Element, event: AuditEvent) -> None:
    identification = SubElement(
        root,
        "EventIdentification",
        EventActionCode=event.action,
        EventDateTime=event.when.isoformat(timespec="milliseconds"),
        EventOutcomeIndicator=event.outcome.value,
    )
    _KINDS[event.kind].into(identification, "EventID")
    if kind := event.event_type or _USUAL_TYPES.get(event.kind):
        _Code(kind, _TYPES.get(kind, kind)).into(identification, "EventTypeCode")
    if event.detail:
        SubElement(identification, "EventOutcomeDescription").text = _text(event.detail)


def _participants(root: Element, recorded: RecordedEvent) -> None:
    event = recorded.event
    theirs, ours = _ROLES.get(event.kind, (None, None))
    other = SubElement(root, "ActiveParticipant", UserID=_text(event.user or "unknown"), UserIsRequestor="true")
    if event.address:
        other.set("NetworkAccessPointID", _text(event.address))
        other.set("NetworkAccessPointTypeCode", "2" if _is_ip(event.address) else "1")
    process, _, host = recorded.process.partition("@")
    us = SubElement(root, "ActiveParticipant", UserID=f"iodeep {process}", UserIsRequestor="false")
    us.set("NetworkAccessPointID", host.partition("[")[0])
    us.set("NetworkAccessPointTypeCode", "1")
    for participant, role in ((other, theirs), (us, ours)):
        if role is not None:
            role.into(participant, "RoleIDCode")


def _patient(root: Element, event: AuditEvent) -> None:
    if event.patient_id or event.patient_name:
        _object(root, _PATIENT, event.patient_id, "1", "1", name=event.patient_name)


def _studies(root: Element, event: AuditEvent) -> None:
    for uid in event.study_instance_uids:
        study = _object(root, _STUDY, uid, "2", "3")
        if len(event.sop_class_uids) == 1 and len(event.study_instance_uids) == 1 and event.instances is not None:
            described = SubElement(study, "ParticipantObjectDescription")
            SubElement(described, "SOPClass", UID=event.sop_class_uids[0], NumberOfInstances=str(event.instances))
            continue
        for kind, value in _sums(event):
            SubElement(study, "ParticipantObjectDetail", type=kind, value=b64encode(value.encode()).decode())


def _sums(event: AuditEvent) -> Iterator[tuple[str, str]]:
    """What is known of all studies and classes together, and not of each."""
    if event.sop_class_uids:
        yield "SOPClassUIDs", "\\".join(event.sop_class_uids)
    if event.instances is not None:
        yield "NumberOfInstances", str(event.instances)


def _query(root: Element, event: AuditEvent) -> None:
    """The query itself (PS3.15 A.5.3.10): the class that was asked, and what the event tells of the keys."""
    if event.kind is EventKind.QUERY:
        asked = event.sop_class_uids[0] if event.sop_class_uids else "unknown"
        _object(root, _CLASS, asked, "2", "3", query=event.detail)


def _models(root: Element, event: AuditEvent) -> None:
    for uid in event.model_uids:
        _object(root, _MODEL, uid, "2", "26")


def _object(
    root: Element,
    id_type: _Code,
    identifier: str,
    kind: str,
    role: str,
    *,
    name: str | None = None,
    query: str | None = None,
) -> Element:
    """A participant object; the schema wants a name or a query in each."""
    made = SubElement(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=_text(identifier),
        ParticipantObjectTypeCode=kind,
        ParticipantObjectTypeCodeRole=role,
    )
    id_type.into(made, "ParticipantObjectIDTypeCode")
    if query is not None:
        SubElement(made, "ParticipantObjectQuery").text = b64encode(query.encode("utf-8", "replace")).decode()
    else:
        SubElement(made, "ParticipantObjectName").text = _text(name if name is not None else identifier)
    return made


def _text(value: str) -> str:
    """What XML 1.0 can carry: a name may come from a damaged object, and no message may be lost for it."""
    return "".join(each if _is_xml(ord(each)) else "�" for each in value)


def _is_xml(code: int) -> bool:
    return code in (9, 10, 13) or 0x20 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or code > 0xFFFF


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True
