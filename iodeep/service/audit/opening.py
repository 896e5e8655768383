"""The audit log of a process of the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iodeep.service.audit.event import AuditSink

if TYPE_CHECKING:
    from iodeep.service.serving.context import DataFolders


def open_audit(folders: DataFolders, process: str) -> AuditSink:
    """Where ``process`` records events; safe from several threads and processes at once.

    Errors: :class:`iodeep.errors.LocalStorageError` where the folder or its key can't be used.
    """
    raise NotImplementedError
