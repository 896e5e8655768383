"""The audit log of a process of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iodeep.service.audit.event import AuditSink
from iodeep.service.audit.files import key_file
from iodeep.service.audit.log import AuditLog

if TYPE_CHECKING:
    from iodeep.service.serving.context import DataFolders


def open_audit(folders: DataFolders, process: str) -> AuditSink:
    """Where ``process`` records events; safe from several threads and processes at once.

    Errors: :class:`iodeep.errors.LocalStorageError` where the folder or its key can't be used.
    """
    return AuditLog(folders.audit, key_file(folders.root), process)
