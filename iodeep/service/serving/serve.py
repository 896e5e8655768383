"""`iodeep serve` from its start to its end: checks first, then the processes, then one line for each thing that it listens on or lacks."""

from __future__ import annotations

import fcntl
import gc
import getpass
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

from iodeep.errors import ExitCode, LocalStorageError
from iodeep.serve_settings import ServeRole
from iodeep.service.access import check_safe_to_serve
from iodeep.service.audit import AuditEvent, EventKind, open_audit
from iodeep.service.configuration import Configuration
from iodeep.service.containing import lacking_layers
from iodeep.service.serving.children import children_of
from iodeep.service.serving.composition import folders_of, job_board
from iodeep.service.serving.context import DataFolders
from iodeep.service.serving.logs import set_up_logging
from iodeep.service.serving.models_told import check_trials, models_told
from iodeep.service.serving.supervisor import Supervisor
from iodeep.trust_settings import TrustSettings

log = logging.getLogger(__name__)

Say = Callable[[str], None]


def serve(
    configuration: Configuration,
    roles: Sequence[ServeRole] = (ServeRole.ALL,),
    workers: int | None = None,
    say: Say = print,
) -> ExitCode:
    """Run this machine's part of the service until it is told to stop.

    Errors: :class:`iodeep.errors.SettingsError` for what must not be served, a clinical archive for trials among it, :class:`iodeep.errors.LocalStorageError` for a data folder
    or database that can't be used, or a data folder that another one serves.
    """
    settings = configuration.settings.serve
    set_up_logging(settings.log)
    folders = folders_of(configuration)
    for role in roles:
        check_safe_to_serve(settings, folders.api_keys, role)
    count = settings.jobs.workers if workers is None else workers
    children = children_of(roles, settings, count)
    with only_one(folders):
        _make_database(configuration, folders)
        check_trials(configuration, folders)
        _record(folders, EventKind.APPLICATION_START)
        gc.freeze()  # what is imported by now stays shared with the children
        try:
            return Supervisor(children, configuration, folders, lambda: _tell(configuration, folders, say)).run()
        finally:
            _record(folders, EventKind.APPLICATION_STOP)


def _record(folders: DataFolders, kind: EventKind) -> None:
    """Application Activity (PS3.15 A.5.3.1); the log is open only for this, so that no thread of it is there while children are made."""
    with closing(open_audit(folders, "serve")) as audit:
        audit.record(AuditEvent(kind, user=getpass.getuser()))


def _make_database(configuration: Configuration, folders: DataFolders) -> None:
    """The tables are there before anybody needs them; a server that is away is waited for by those who need it."""
    try:
        job_board(configuration, folders).close()
    except LocalStorageError as error:
        if not configuration.settings.serve.jobs.database:
            raise
        log.warning("%s", error)


@contextmanager
def only_one(folders: DataFolders) -> Iterator[None]:
    """A data folder is served once: what another process would write at the same time is not ours to guess."""
    with (folders.root / "serve.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LocalStorageError(
                f"the data folder {folders.root} is being served already",
                remedy="Stop the other `iodeep serve`, or give this one a --data folder of its own.",
            ) from error
        yield


def _tell(configuration: Configuration, folders: DataFolders, say: Say) -> None:
    """What is listened on, and what is lacking."""
    for path in sorted(folders.running.glob("*.ready")):
        told = json.loads(path.read_text(encoding="utf-8"))
        say(f"{path.stem}: {', '.join(f'{what} {where}' for what, where in told.items())}")
    for sentence in (*lacking(configuration), *models_told(configuration, folders)):
        say(sentence)
    say(f"ready; data in {folders.root}. Ctrl-C or SIGTERM stops it.")


def lacking(configuration: Configuration) -> Iterator[str]:
    """What a person should know who sees the service for the first time."""
    settings = configuration.settings
    if configuration.origin is None:
        yield "no iodeep.toml was found: defaults are used, and only this machine is listened to."
    if not settings.pacs:
        yield "no PACS is configured: jobs need one; add [pacs.NAME] to iodeep.toml."
    elif settings.default_pacs is None and len(settings.pacs) > 1:
        yield "several PACSs and no default_pacs: jobs have to name theirs."
    yield from _trusting(settings.trust)
    yield from (f"WARNING: {sentence}" for sentence in lacking_layers().values())
    if settings.serve.access.oidc is None and settings.serve.http.enabled:
        yield "no OIDC provider is configured: people come in with API keys (`iodeep keys add`)."


def _trusting(trust: TrustSettings | None) -> Iterator[str]:
    if trust is None:
        yield (
            "WARNING: there is no [trust] section in iodeep.toml: no model is run, because nobody's signature counts here."
            ' Name under [[trust.keys]] whose does, or let unsigned models run with unsigned = "warn" under [trust].'
        )
    elif trust.unsigned == "warn":
        yield 'WARNING: unsigned models are run too: unsigned is "warn" under [trust].'
