"""What the routes share: the board, the audit log, two pools of threads, the feed of changes, what is known of archives."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import Depends, Request

from iodeep.lifecycle_settings import states_count
from iodeep.ports import Archive
from iodeep.serve_settings import UserRole
from iodeep.service.access import Principal
from iodeep.service.access.guard import require
from iodeep.service.admitting import Admission
from iodeep.service.api.archive_health import ArchiveHealth
from iodeep.service.api.feed import JobFeed
from iodeep.service.api.offload import Offload
from iodeep.service.api.problems import NotFoundError
from iodeep.service.audit import AuditEvent, AuditSink
from iodeep.service.jobs import JobBoard
from iodeep.service.lifecycle.opening import open_register
from iodeep.service.model_alerts import ModelAlerts
from iodeep.service.selecting import SitePolicy, site_policy
from iodeep.service.serving import ServeContext
from iodeep.service.serving.shadow import is_shadow_archive
from iodeep.settings import Settings
from iodeep.trust.lifecycle import Register

_DATABASE_THREADS, _ARCHIVE_THREADS = 8, 8
_DATABASE_SECONDS, ARCHIVE_SECONDS = 20.0, 45.0
_WAITING = 4000


@dataclass(frozen=True)
class ApiState:
    """One for each application; nothing in it is replaced while it lives."""

    context: ServeContext
    board: JobBoard
    audit: AuditSink
    database: Offload
    archives: Offload
    feed: JobFeed
    health: ArchiveHealth
    register: Register | None
    """States of models; None where they need not be approved."""
    opened: ExitStack
    """What is closed last."""

    def policy(self) -> SitePolicy:
        """Which models may run, by the keys and lists that there are now; blocks on the disk."""
        admission = Admission(self.register, ModelAlerts(self.audit.record)) if self.register else None
        return site_policy(self.context.settings, serving=True, admission=admission)

    async def record(self, event: AuditEvent) -> None:
        """Durable in the audit log once this returns: what cannot be recorded isn't done."""
        await self.database.run(self.audit.record, event)

    def close(self) -> None:
        """End every stream, then let go of the database."""
        self.feed.close()
        self.database.close()
        self.archives.close()
        self.board.close()
        self.opened.close()


def open_state(context: ServeContext) -> ApiState:
    """Everything opened as the context has it."""
    board = context.open_board()
    database = Offload("database", threads=_DATABASE_THREADS, waiting=_WAITING, seconds=_DATABASE_SECONDS)
    archives = Offload("archive", threads=_ARCHIVE_THREADS, waiting=64, seconds=ARCHIVE_SECONDS)
    audit, opened = context.open_audit(), ExitStack()
    asked = states_count(context.settings.lifecycle, serving=True)
    return ApiState(
        context=context,
        board=board,
        audit=audit,
        database=database,
        archives=archives,
        feed=JobFeed(board, database),
        health=ArchiveHealth(partial(_opened, context), archive_names(context.settings), archives),
        register=opened.enter_context(open_register(context.configuration, context.folders, audit)) if asked else None,
        opened=opened,
    )


def _opened(context: ServeContext, name: str) -> Archive:
    return context.open_archive(name)


def archive_names(settings: Settings) -> tuple[str, ...]:
    """The archives that the service works with, by name: those of ``iodeep.toml``."""
    return tuple(sorted(settings.pacs))


def archive_name(settings: Settings, wanted: str | None) -> str:
    """The name of an archive that a caller may use: one of the site's own, never an address that the caller brings.

    That of trials is none of them: by what it holds nobody is to be treated. Errors: :class:`NotFoundError`.
    """
    shown = [each for each in archive_names(settings) if not is_shadow_archive(settings, each)]
    return _named(settings, wanted, shown)


def models_archive(settings: Settings) -> str:
    """The archive whose models are used."""
    return _named(settings, settings.serve.models_from or None, archive_names(settings))


def _named(settings: Settings, wanted: str | None, known: Sequence[str]) -> str:
    name = wanted or settings.default_pacs or (next(iter(settings.pacs)) if len(settings.pacs) == 1 else "")
    if name in known:
        return name
    raise NotFoundError(
        f"no archive is called {name!r}" if name else "no archive was named, and there is no default one",
        expected=", ".join(known) or "an archive in iodeep.toml, which names none",
        remedy="Name one of these, or have it added to iodeep.toml.",
    )


async def _state_of(request: Request) -> ApiState:
    state: ApiState = request.app.state.iodeep
    return state


State = Annotated[ApiState, Depends(_state_of)]
Viewer = Annotated[Principal, Depends(require(UserRole.VIEWER))]
Clinician = Annotated[Principal, Depends(require(UserRole.CLINICIAN))]
Administrator = Annotated[Principal, Depends(require(UserRole.ADMINISTRATOR))]
