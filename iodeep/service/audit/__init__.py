"""The record of who did what to whose data (PS3.15 A.5), kept so that an edit is found."""

from iodeep.service.audit.event import AuditEvent, AuditSink, EventKind, Outcome
from iodeep.service.audit.opening import open_audit
from iodeep.service.audit.reading import AuditFilter, RecordedEvent, read_events
from iodeep.service.audit.verifying import Break, LogCheck, verify_log

__all__ = [
    "AuditEvent",
    "AuditFilter",
    "AuditSink",
    "Break",
    "EventKind",
    "LogCheck",
    "Outcome",
    "RecordedEvent",
    "open_audit",
    "read_events",
    "verify_log",
]
