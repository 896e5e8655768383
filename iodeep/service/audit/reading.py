"""The audit log read back: newest first, as far as a filter lets it through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from iodeep.service.audit.event import AuditEvent, EventKind


@dataclass(frozen=True)
class AuditFilter:
    """Which events are wanted; None or empty lets everything through."""

    since: datetime | None = None
    until: datetime | None = None
    user: str = ""
    patient_id: str = ""
    study_instance_uid: str = ""
    kinds: frozenset[EventKind] = frozenset()


@dataclass(frozen=True)
class RecordedEvent:
    """An event with its place in the chain."""

    sequence: int
    hash: str
    process: str
    event: AuditEvent


def read_events(folder: Path, wanted: AuditFilter | None = None, limit: int = 100) -> Sequence[RecordedEvent]:
    """The newest events first; reading checks nothing, :func:`iodeep.service.audit.verify_log` does."""
    raise NotImplementedError
