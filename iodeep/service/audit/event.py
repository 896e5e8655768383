"""One thing that happened, before it is written as a message of PS3.15 A.5."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class EventKind(StrEnum):
    """The audit messages that we write (PS3.15 A.5.3), and what our own state changes are recorded as."""

    APPLICATION_START = "application start"
    APPLICATION_STOP = "application stop"
    QUERY = "query"
    INSTANCES_ACCESSED = "instances accessed"
    INSTANCES_TRANSFERRED = "instances transferred"
    EXPORT = "export"
    IMPORT = "import"
    USER_AUTHENTICATION = "user authentication"
    SECURITY_ALERT = "security alert"
    JOB = "job"
    APPROVAL = "approval"


class Outcome(StrEnum):
    """Event Outcome Indicator: success, minor failure, serious failure."""

    SUCCESS = "0"
    MINOR_FAILURE = "4"
    SERIOUS_FAILURE = "8"


@dataclass(frozen=True)
class AuditEvent:
    """Who did what to which patient's or model's objects, from where and with what outcome."""

    kind: EventKind
    outcome: Outcome = Outcome.SUCCESS
    user: str = ""
    """Principal name, AE title or process."""
    address: str = ""
    """Network address of the other side, where there is one."""
    action: str = "E"
    """C, R, U, D or E (create, read, update, delete, execute)."""
    event_type: str = ""
    """DCM code of the Event Type Code where the kind has several (110122 login, 110123 logout, 110126 node authentication, 110132
    use of a restricted function); empty: the kind's usual one."""
    patient_id: str = ""
    patient_name: str = ""
    study_instance_uids: tuple[str, ...] = ()
    sop_class_uids: tuple[str, ...] = ()
    instances: int | None = None
    model_uids: tuple[str, ...] = ()
    """Model objects take part as such, never as somebody's images."""
    detail: str = ""
    when: datetime = field(default_factory=lambda: datetime.now().astimezone())


class AuditSink(Protocol):
    """Where events go; writing one never fails silently: what can't be recorded isn't done."""

    def record(self, event: AuditEvent) -> None:
        """Durable in the local log once this returns.

        Errors: :class:`iodeep.errors.LocalStorageError` where the log can't be written.
        """
