"""What every process of `iodeep serve` is handed: it opens what it needs from here, and reads no setting elsewhere.

The processes share the database of jobs and the data folder, nothing else. A process is an entry function::

    def run_worker(context: ServeContext) -> None:
        with closing(context.open_board()) as board:
            context.announce({"worker": context.name})
            while not context.stop.wait(1):
                ...

It returns soon after ``stop`` is set, having ended what it began; raising is how it dies, and it is started again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from iodeep.ports import Archive
from iodeep.serve_settings import ServeSettings
from iodeep.service.audit import AuditSink
from iodeep.service.configuration import Configuration
from iodeep.service.jobs import JobBoard
from iodeep.settings import Settings


@dataclass(frozen=True)
class DataFolders:
    """Where the service keeps what it has to find again; all of it below ``root`` unless a setting says otherwise."""

    root: Path
    settings: ServeSettings = field(default_factory=ServeSettings)

    @property
    def database(self) -> Path:
        """The SQLite file of jobs, where no other database is named."""
        return self.root / "jobs.sqlite"

    @property
    def work(self) -> Path:
        """One folder for each job that is not finished: what its steps gave."""
        return self.root / "work"

    @property
    def spool(self) -> Path:
        """Series that came in and are waiting, or wait for their results to be confirmed."""
        return self.settings.arrivals.spool or self.root / "spool"

    @property
    def audit(self) -> Path:
        """The audit log."""
        return self.settings.audit.folder or self.root / "audit"

    @property
    def api_keys(self) -> Path:
        """Hashed API keys."""
        return self.settings.access.api_keys or self.root / "api-keys.json"

    @property
    def gateway(self) -> Path:
        """What the DICOMweb gateway keeps of what it fetched."""
        return self.root / "gateway"

    @property
    def running(self) -> Path:
        """Which processes run, and what each listens on (``NAME.pid``, ``NAME.ready``)."""
        return self.root / "running"


@dataclass(frozen=True)
class ServeContext:
    """Settings, folders, and the ways to everything else."""

    name: str
    """What this process is called: ``intake``, ``api``, ``worker-1``; the same after it was started again."""
    configuration: Configuration
    folders: DataFolders
    stop: threading.Event
    """Set when the process should end what it does and return."""
    open_board: Callable[[], JobBoard]
    """The jobs; each caller closes what it opened."""
    open_archive: Callable[[str], Archive]
    """An archive by its name in ``iodeep.toml``, a URL, or ``""`` for the default one."""
    open_audit: Callable[[], AuditSink]
    """Where events are recorded."""
    announce: Callable[[Mapping[str, str]], None]
    """Tell that the process is ready, and what it listens on (``{"http": "http://127.0.0.1:8080"}``)."""

    @property
    def settings(self) -> Settings:
        """Everything that ``iodeep.toml`` says."""
        return self.configuration.settings

    @property
    def serve(self) -> ServeSettings:
        """What it says about the service."""
        return self.configuration.settings.serve


Entry = Callable[[ServeContext], None]
"""What a process of the service does, from its start to its end."""
