"""How an application is guarded: install it once, then each route names the role that it needs.

::

    guard = install_access(app, folders, audit)

    @router.get("/jobs")
    def jobs(caller: Annotated[Principal, Depends(require(UserRole.VIEWER))]) -> ...
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from starlette.requests import HTTPConnection

from iodeep.serve_settings import HttpSettings, UserRole
from iodeep.service.access.answers import refusal_response
from iodeep.service.access.authenticator import Authenticator
from iodeep.service.access.callers import address_of, credentials_of, refuse_foreign_pages
from iodeep.service.access.limits import RateLimits, weight_of
from iodeep.service.access.middleware import Doorway
from iodeep.service.access.principal import ANONYMOUS, Principal
from iodeep.service.access.refusals import AccessRefusal, NotAllowed, NotAuthenticated
from iodeep.service.audit import AuditEvent, AuditSink, EventKind, Outcome

if TYPE_CHECKING:
    from iodeep.service.serving.context import DataFolders

NODE_AUTHENTICATION = "110126"
RESTRICTED_FUNCTION = "110132"


@dataclass(frozen=True)
class Guard:
    """What routes, sign-in and dependencies share."""

    authenticator: Authenticator
    limits: RateLimits
    http: HttpSettings
    audit: AuditSink

    def close(self) -> None:
        """Let go of connections to the provider."""
        self.authenticator.close()

    def caller(self, request: HTTPConnection) -> Principal:
        """Who calls, counted and not a page of another site.

        Errors: :class:`AccessRefusal`.
        """
        address = address_of(request, self.http)
        credentials = credentials_of(request, self.http)
        self.limits.check_failures(address)
        try:
            principal = self.authenticator.authenticate(credentials)
        except NotAuthenticated as refusal:
            if refusal.error:
                self.note_failure(address, refusal)
            raise
        self.limits.count_caller(f"{principal.proof} {principal.subject or principal.name}", weight_of(request))
        refuse_foreign_pages(request, principal, by_cookie=not credentials.bearer and principal.proof != ANONYMOUS)
        return principal

    def note_failure(self, address: str, refusal: AccessRefusal) -> None:
        """Count and record a credential that did not hold (PS3.15 A.5.3.11: User Authentication)."""
        self.limits.count_failure(address)
        self.audit.record(
            AuditEvent(EventKind.USER_AUTHENTICATION, Outcome.MINOR_FAILURE, address=address, detail=refusal.problem)
        )

    def note_refused(self, request: Request, principal: Principal, role: UserRole) -> None:
        """Record that somebody tried what only others may (Security Alert, Use of Restricted Function)."""
        self.audit.record(
            AuditEvent(
                EventKind.SECURITY_ALERT,
                Outcome.MINOR_FAILURE,
                user=principal.name,
                address=address_of(request, self.http),
                event_type=RESTRICTED_FUNCTION,
                detail=f"{request.method} {request.url.path} is for the role {role.value}",
            )
        )


def install_access(app: FastAPI, folders: DataFolders, audit: AuditSink) -> Guard:
    """Add security headers, the Host check, limits, sign-in and sign-out (``/auth/...``) and refusals as problem+json.

    To be called after the application's other middleware was added, so that nothing stands before the doorway.
    """
    from iodeep.service.access.signing_in import router  # it needs the guard that is made here

    http = folders.settings.http
    guard = Guard(Authenticator(folders.settings.access, folders.api_keys), RateLimits(http), http, audit)
    app.state.access = guard
    app.add_exception_handler(AccessRefusal, _answer)
    app.include_router(router)
    app.add_middleware(Doorway, settings=http, limits=guard.limits)
    return guard


def require(role: UserRole) -> Callable[[Request], Principal]:
    """A dependency that gives the caller, or answers with 401 or 403; the caller is in ``request.state.principal`` too."""

    def caller_who_may(request: Request) -> Principal:
        guard = guard_of(request)
        principal = guard.caller(request)
        if not principal.may(role):
            guard.note_refused(request, principal, role)
            raise NotAllowed(f"this needs the role {role.value}", remedy="Ask your administrator for it.")
        request.state.principal = principal
        return principal

    return caller_who_may


def guard_of(request: Request) -> Guard:
    """The guard of the application that serves the request."""
    guard: Guard = request.app.state.access
    return guard


async def _answer(request: Request, error: Exception) -> Response:
    assert isinstance(error, AccessRefusal)
    return refusal_response(error, str(request.scope.get("iodeep.correlation_id", "")))
