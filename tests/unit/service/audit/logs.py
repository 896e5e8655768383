"""A log in a folder of its own, and hands that change it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iodeep.service.audit import AuditEvent, EventKind, LogCheck, verify_log
from iodeep.service.audit.files import log_files
from iodeep.service.audit.log import AuditLog


@dataclass(frozen=True)
class Place:
    """The folder of a log and its key."""

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "audit"

    @property
    def key(self) -> Path:
        return self.root / "audit.key"

    @property
    def file(self) -> Path:
        """The newest file."""
        return log_files(self.folder)[-1]

    def open(self, process: str = "api") -> AuditLog:
        return AuditLog(self.folder, self.key, process)

    def write(self, count: int) -> None:
        log = self.open()
        for number in range(count):
            log.record(AuditEvent(EventKind.QUERY, user=f"user {number}", patient_id="4711"))

    def check(self, expected: tuple[int, str] | None = None) -> LogCheck:
        return verify_log(self.folder, self.key, expected)

    def lines(self) -> list[bytes]:
        return self.file.read_bytes().splitlines(keepends=True)
