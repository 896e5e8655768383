"""The record of who did what to whose data (PS3.15 A.5), kept so that an edit is found."""

from iodeep.service.audit.event import AuditEvent, AuditSink, EventKind, Outcome
from iodeep.service.audit.opening import open_audit
from iodeep.service.audit.reading import AuditFilter, RecordedEvent, read_events

__all__ = [
    "AuditEvent",
    "AuditFilter",
    "AuditSink",
    "EventKind",
    "Outcome",
    "RecordedEvent",
    "open_audit",
    "read_events",
]
