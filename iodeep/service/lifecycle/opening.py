"""The register of a data folder, or of a database that several machines share."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from iodeep.service.audit import AuditSink
from iodeep.service.configuration import Configuration

if TYPE_CHECKING:
    from iodeep.service.serving.context import DataFolders
    from iodeep.trust.lifecycle import Register


def open_register(
    configuration: Configuration, folders: DataFolders, audit: AuditSink
) -> AbstractContextManager[Register]:
    """The register in the database that ``[serve.jobs] database`` names; every change is an event of ``audit`` first.

    The caller closes it (``with``). It may be used by several threads.
    """
    raise NotImplementedError
