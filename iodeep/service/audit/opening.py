"""The audit log of a process of the service."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from iodeep.service.audit.files import key_file
from iodeep.service.audit.log import AuditLog

if TYPE_CHECKING:
    from iodeep.service.serving.context import DataFolders


def open_audit(folders: DataFolders, process: str) -> AuditLog:
    """Where ``process`` records events; safe from several threads and processes at once.

    Where a syslog receiver is set, a thread of one of the processes sends the log there, until that process ends or closes its log.

    Errors: :class:`iodeep.errors.LocalStorageError` where the folder or its key can't be used;
    :class:`iodeep.errors.SettingsError` where the receiver's address is none.
    """
    log = AuditLog(folders.audit, key_file(folders.root), process)
    settings = folders.settings.audit
    if settings.syslog:
        from iodeep.service.audit.forwarding import Forwarder
        from iodeep.service.audit.syslog import target_of

        target_of(settings.syslog)
        forward = Forwarder(folders.audit, settings).run
        threading.Thread(target=forward, args=(log.closed,), name="audit-syslog", daemon=True).start()
    return log
