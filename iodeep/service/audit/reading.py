"""The audit log read back: newest first, as far as a filter lets it through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from iodeep.service.audit.chain import Link, read_line
from iodeep.service.audit.encoding import of_document
from iodeep.service.audit.event import AuditEvent, EventKind
from iodeep.service.audit.files import lines_backwards, log_files


@dataclass(frozen=True)
class AuditFilter:
    """Which events are wanted; None or empty lets everything through."""

    since: datetime | None = None
    """With a time zone, as ``until``."""
    until: datetime | None = None
    user: str = ""
    patient_id: str = ""
    study_instance_uid: str = ""
    kinds: frozenset[EventKind] = frozenset()

    def lets_through(self, event: AuditEvent) -> bool:
        """Whether the event is wanted."""
        return (
            (self.since is None or event.when >= self.since)
            and (self.until is None or event.when < self.until)
            and self.user in ("", event.user)
            and self.patient_id in ("", event.patient_id)
            and (not self.study_instance_uid or self.study_instance_uid in event.study_instance_uids)
            and (not self.kinds or event.kind in self.kinds)
        )


@dataclass(frozen=True)
class RecordedEvent:
    """An event with its place in the chain."""

    sequence: int
    hash: str
    process: str
    """``api@host[pid]``."""
    event: AuditEvent


def read_events(folder: Path, wanted: AuditFilter | None = None, limit: int = 100) -> Sequence[RecordedEvent]:
    """The newest events first; reading checks nothing, :func:`iodeep.service.audit.verify_log` does."""
    wanted = wanted or AuditFilter()
    return list(islice((each for each in _backwards(folder) if wanted.lets_through(each.event)), limit))


def _backwards(folder: Path) -> Iterator[RecordedEvent]:
    for path in reversed(log_files(folder)):
        for line in lines_backwards(path):
            if (each := readable(line)) is not None:
                yield each


def readable(line: bytes) -> RecordedEvent | None:
    """The event of a line; None where an edit left none in it (which ``verify_log`` tells)."""
    link = read_line(line)
    try:
        return _recorded(link) if link else None
    except (KeyError, TypeError, ValueError):
        return None


def _recorded(link: Link) -> RecordedEvent:
    document = link.document
    process = f"{document['process']}@{document['host']}[{document['pid']}]"
    return RecordedEvent(link.sequence, link.hash, process, of_document(document["event"]))
