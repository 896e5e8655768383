"""The record of who did what to whose data (PS3.15 A.5), kept so that an edit is found."""

from iodeep.service.audit.event import AuditEvent, AuditSink, EventKind, Outcome

__all__ = ["AuditEvent", "AuditSink", "EventKind", "Outcome"]
