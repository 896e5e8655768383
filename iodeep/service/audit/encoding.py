"""Events as JSON documents, and back."""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from iodeep.service.audit.event import AuditEvent, EventKind, Outcome

_TUPLES = {field.name for field in fields(AuditEvent) if isinstance(field.default, tuple)}


def as_document(event: AuditEvent) -> dict[str, Any]:
    """What is set, for a line of the log and for ``--json``."""
    document = {name: value for name, value in asdict(event).items() if value not in ("", (), None)}
    return document | {"when": event.when.isoformat()}


def of_document(document: dict[str, Any]) -> AuditEvent:
    """The event of a line."""
    named: dict[str, Any] = {name: tuple(value) if name in _TUPLES else value for name, value in document.items()}
    named["kind"] = EventKind(document["kind"])
    named["outcome"] = Outcome(document["outcome"])
    named["when"] = datetime.fromisoformat(document["when"])
    return AuditEvent(**named)
