"""What the service offers below ``/dicom-web``: the gateway to its archives and the worklist, guarded and audited.

::

    dicomweb = DicomWeb(context, board, audit)
    dicomweb.install(app)
    dicomweb.start()      # the performer of the worklist, and one thread for each worklist that is pulled from
    ...
    dicomweb.close()
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import cast

import httpx
from fastapi import Depends, FastAPI, Request, WebSocket, WebSocketException
from fastapi.params import Depends as DependsParameter

from iodeep.errors import SettingsError
from iodeep.ports import Archive
from iodeep.serve_settings import PullSettings, UserRole
from iodeep.service.access.callers import address_of
from iodeep.service.access.guard import Guard, require
from iodeep.service.access.refusals import AccessRefusal
from iodeep.service.audit import AuditEvent, AuditSink, EventKind
from iodeep.service.configuration import secret
from iodeep.service.jobs import JobBoard
from iodeep.service.jobs.database import database_engine, database_url
from iodeep.service.serving import ServeContext
from iodeep.service.serving.shadow import is_shadow_archive
from iodeep.service.worklist import Performer, Puller, Worklist, worklist_router
from iodeep.service.worklist.pulling import TIMEOUT_S
from pacs_bridge.gateway import Access, Gateway

PREFIX = "/dicom-web"
_KINDS = {"query": EventKind.QUERY, "retrieve": EventKind.INSTANCES_ACCESSED, "store": EventKind.IMPORT}
_ACTIONS = {"query": "E", "retrieve": "R", "store": "C"}
_ONCE_IN_S = 600.0
_REMEMBERED = 4096
_POLICY_VIOLATION = 1008


class AccessLog:
    """Accesses as audit events; a series that somebody looks at image by image is one event in ten minutes."""

    def __init__(self, audit: AuditSink) -> None:
        self._audit = audit
        self._lock = threading.Lock()
        self._seen: OrderedDict[tuple[str, str, str, str], float] = OrderedDict()

    def __call__(self, request: Request, access: Access) -> None:
        """Durable once this returns."""
        user = getattr(getattr(request.state, "principal", None), "name", "")
        guard: Guard = request.app.state.access
        address = address_of(request, guard.http)
        if access.action == "retrieve" and not self._is_new((user, address, access.pacs, access.series)):
            return
        self._audit.record(
            AuditEvent(
                _KINDS[access.action],
                user=user,
                address=address,
                action=_ACTIONS[access.action],
                study_instance_uids=(access.study,) if access.study else (),
                instances=access.instances or None,
                detail=" ".join(part for part in (access.pacs, access.series, access.detail) if part),
            )
        )

    def _is_new(self, what: tuple[str, str, str, str]) -> bool:
        now = time.monotonic()
        with self._lock:
            last = self._seen.get(what)
            if last is not None and now - last < _ONCE_IN_S:
                return False
            self._seen[what] = now
            self._seen.move_to_end(what)
            while len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
        return True


class DicomWeb:
    """The gateway and the worklist of one API process."""

    def __init__(self, context: ServeContext, board: JobBoard, audit: AuditSink) -> None:
        http, jobs = context.serve.http, context.serve.jobs
        self._context = context
        self._board = board
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._closing = ExitStack()
        self.gateway = Gateway(
            _shown(context),
            context.folders.gateway,
            http.gateway_cache_bytes,
            max_body_bytes=http.max_body_bytes,
            public_url=http.public_url,
            accessed=AccessLog(audit),
        )
        self._closing.callback(self.gateway.close)
        self._engine = database_engine(database_url(secret(jobs.database), context.folders.database))
        self._closing.callback(self._engine.dispose)
        self.worklist = Worklist(self._engine) if context.serve.worklist.enabled else None

    def install(self, app: FastAPI) -> None:
        """The routes: viewers read, clinicians and systems also store and schedule."""
        reading = [cast("DependsParameter", Depends(require(UserRole.VIEWER)))]
        changing = [cast("DependsParameter", Depends(require(UserRole.CLINICIAN)))]
        app.include_router(self.gateway.router(reading, changing), prefix=PREFIX)
        if self.worklist is not None:
            hearing = [cast("DependsParameter", Depends(_hearing))]
            app.include_router(worklist_router(self.worklist, reading, changing, hearing), prefix=PREFIX)

    def start(self) -> None:
        """Begin to perform."""
        if self.worklist is None:
            return
        self.worklist.subscriptions.announce_restart()
        performer = Performer(self.worklist, self._board, self._context.settings)
        self._begin("worklist", performer.run)
        for pull in self._context.serve.worklist.pulls:
            self._begin("worklist-pull", self._puller(pull).run)

    def close(self) -> None:
        """End it; what is under way goes on after the next start."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._closing.close()

    def _puller(self, pull: PullSettings) -> Puller:
        token = secret(pull.token)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        verify = str(pull.ca) if pull.ca else True
        client = self._closing.enter_context(
            closing(httpx.Client(headers=headers, verify=verify, trust_env=False, timeout=TIMEOUT_S))
        )
        return Puller(pull, self._engine, self._board, self._context.settings, client)

    def _begin(self, name: str, run: Callable[[threading.Event], None]) -> None:
        thread = threading.Thread(target=run, args=(self._stop,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()


def _shown(context: ServeContext) -> Callable[[str], Archive]:
    """Archives as people may look at them: not that of trials, by whose results nobody is to be treated."""

    def opened(name: str) -> Archive:
        if is_shadow_archive(context.settings, name):
            raise SettingsError(f"the archive {name!r} holds results of trials, which are not shown")
        return context.open_archive(name)

    return opened


def _hearing(socket: WebSocket) -> None:
    """Who may hear of workitems: who may read them."""
    guard: Guard = socket.app.state.access
    try:
        allowed = guard.caller(cast("Request", socket)).may(UserRole.VIEWER)
    except AccessRefusal as refusal:
        raise WebSocketException(_POLICY_VIOLATION, refusal.problem) from refusal
    if not allowed:
        raise WebSocketException(_POLICY_VIOLATION, "this needs the role viewer")
