"""Where the service's parts are put together: what a :class:`ServeContext` holds, made out of a configuration."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from iodeep.errors import LocalStorageError
from iodeep.ports import Archive
from iodeep.service.audit import AuditSink
from iodeep.service.configuration import Configuration, data_folder, secret
from iodeep.service.serving.context import DataFolders, ServeContext
from pacs_bridge import open_archive

if TYPE_CHECKING:
    from iodeep.service.jobs.kept_board import KeptBoard


def folders_of(configuration: Configuration) -> DataFolders:
    """The data folder, made where it isn't there, readable by its owner alone."""
    folders = DataFolders(data_folder(configuration), configuration.settings.serve)
    for folder in (folders.root, folders.work, folders.running):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise LocalStorageError(
                f"the data folder {folder} cannot be made: {error.strerror}",
                remedy="Give --data, set data under [serve] in iodeep.toml, or make it and give it to this user.",
            ) from error
    return folders


def job_board(configuration: Configuration, folders: DataFolders) -> KeptBoard:
    """The jobs in the database that the settings name."""
    from iodeep.service.jobs.database import database_url
    from iodeep.service.jobs.kept_board import open_board

    jobs = configuration.settings.serve.jobs
    url = database_url(secret(jobs.database), folders.database)
    return open_board(url, batch_delay_s=jobs.batch_delay_s, dead_after_s=jobs.dead_after_s)


def context_for(name: str, configuration: Configuration, folders: DataFolders, stop: threading.Event) -> ServeContext:
    """What the process called ``name`` is handed."""

    def archive(named: str) -> Archive:
        return open_archive(configuration.settings.archive(named or None))

    def audit() -> AuditSink:
        from iodeep.service.audit import open_audit

        return open_audit(folders, name)

    return ServeContext(
        name=name,
        configuration=configuration,
        folders=folders,
        stop=stop,
        open_board=lambda: job_board(configuration, folders),
        open_archive=archive,
        open_audit=audit,
        announce=_announcing(name, folders),
    )


def _announcing(name: str, folders: DataFolders) -> Callable[[Mapping[str, str]], None]:
    def announce(told: Mapping[str, str]) -> None:
        partial = folders.running / f"{name}.ready.partial"
        partial.write_text(json.dumps(dict(told)), encoding="utf-8")
        partial.replace(folders.running / f"{name}.ready")

    return announce
