"""Signing in and out of the pages: with an API key, or at the site's provider (authorization code with PKCE).

The cookie is HttpOnly and SameSite=Strict; a change asked for by it needs the header ``X-IODeep-Request`` besides.
"""

from __future__ import annotations

import hmac
from html import escape
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.datastructures import MutableHeaders

from iodeep.serve_settings import UserRole
from iodeep.service.access.callers import (
    CSRF_HEADER,
    address_of,
    cookie_name,
    credentials_of,
    is_secure,
    refuse_foreign_origin,
)
from iodeep.service.access.flows import Flow
from iodeep.service.access.guard import Guard, guard_of, require
from iodeep.service.access.oidc import refused
from iodeep.service.access.principal import Principal
from iodeep.service.access.refusals import NotAllowed, NotAuthenticated
from iodeep.service.audit import AuditEvent, EventKind

LOGIN, LOGOUT = "110122", "110123"
_FLOW_COOKIE = "iodeep-sign-in"
_MOST_FORM_BYTES = 4096

router = APIRouter(prefix="/auth", tags=["sign-in"])


@router.get("/sign-in", response_class=HTMLResponse)
async def page(request: Request, then: str = "/") -> HTMLResponse:
    """A form for an API key, and a link to the provider where there is one."""
    guard = guard_of(request)
    target = escape(_local(then), quote=True)
    link = (
        f'<p><a href="/auth/oidc/start?then={target}">Sign in at your provider</a></p>' if _has_provider(guard) else ""
    )
    return HTMLResponse(_PAGE.format(link=link, then=target))


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Begin a session with an API key: fields ``key`` and ``then`` of a form."""
    guard = guard_of(request)
    refuse_foreign_origin(request)
    form = parse_qs((await _small_body(request)).decode("utf-8", "replace"))
    address = address_of(request, guard.http)
    guard.limits.check_failures(address)
    number, principal = await run_in_threadpool(_with_key, guard, form.get("key", [""])[0].strip(), address)
    response = RedirectResponse(_local(form.get("then", ["/"])[0]), status_code=303)
    _set_session(response, guard, number)
    await run_in_threadpool(_note, guard, principal, address, LOGIN)
    return response


@router.get("/oidc/start")
def start(request: Request, then: str = "/") -> Response:
    """Send the browser to the provider."""
    guard = guard_of(request)
    oidc, provider = guard.authenticator.oidc, guard.authenticator.provider
    if oidc is None or provider is None or not oidc.client_id:
        raise NotAllowed("no sign-in at a provider is configured", remedy="Set access.oidc.client_id.")
    flow = guard.authenticator.flows.begin(_redirect_uri(request, guard), _local(then))
    response = RedirectResponse(flow.url(provider.metadata().authorize_at, oidc.client_id), status_code=303)
    response.set_cookie(
        _FLOW_COOKIE,
        flow.state,
        max_age=600,
        httponly=True,
        secure=is_secure(guard.http),
        samesite="lax",
        path="/auth/oidc",
    )
    return response


@router.get("/oidc/callback")
def callback(request: Request, code: str = "", state: str = "", error: str = "") -> Response:
    """Back from the provider: the code becomes a session, in the browser that began the sign-in alone."""
    guard, address = guard_of(request), address_of(request, guard_of(request).http)
    try:
        flow = _flow_of(request, guard, state)
        principal = _signed_in(guard, flow, code, error)
    except NotAuthenticated as refusal:
        guard.note_failure(address, refusal)
        raise
    # not a redirect: a SameSite=Strict cookie isn't sent along a chain that another site began
    response = HTMLResponse(_GO_ON.format(then=escape(flow.then, quote=True)))
    _set_session(response, guard, guard.authenticator.sessions.begin(principal))
    response.delete_cookie(_FLOW_COOKIE, path="/auth/oidc")
    _note(guard, principal, address, LOGIN)
    return response


@router.post("/sign-out", status_code=204)
def sign_out(request: Request) -> Response:
    """End the session; nothing opens with its cookie any more."""
    guard = guard_of(request)
    refuse_foreign_origin(request)
    principal = guard.authenticator.sessions.end(credentials_of(request, guard.http).session)
    if principal is not None:
        _note(guard, principal, address_of(request, guard.http), LOGOUT)
    response = Response(status_code=204)
    response.delete_cookie(cookie_name(guard.http), secure=is_secure(guard.http), httponly=True, samesite="strict")
    MutableHeaders(raw=response.raw_headers)["Clear-Site-Data"] = '"cache", "storage"'
    return response


@router.get("/me")
def me(caller: Annotated[Principal, Depends(require(UserRole.VIEWER))]) -> JSONResponse:
    """Who is signed in, and the header that changes need."""
    return JSONResponse(
        {"name": caller.name, "roles": sorted(caller.roles), "proof": caller.proof, "csrf_header": CSRF_HEADER}
    )


def _with_key(guard: Guard, key: str, address: str) -> tuple[str, Principal]:
    try:
        return guard.authenticator.sign_in(key)
    except NotAuthenticated as refusal:
        guard.note_failure(address, refusal)
        raise


def _flow_of(request: Request, guard: Guard, state: str) -> Flow:
    kept = request.cookies.get(_FLOW_COOKIE, "")
    flow = guard.authenticator.flows.take(state)
    if flow is None or not hmac.compare_digest(kept.encode(), state.encode()):
        raise refused("this sign-in was not begun here, or took too long")
    return flow


def _signed_in(guard: Guard, flow: Flow, code: str, error: str) -> Principal:
    oidc, provider, tokens = guard.authenticator.oidc, guard.authenticator.provider, guard.authenticator.tokens
    if error or not code or oidc is None or provider is None or tokens is None:
        raise refused("the provider did not sign you in")
    answer = provider.exchange(
        {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": flow.redirect_uri,
            "client_id": oidc.client_id,
            "code_verifier": flow.verifier,
        }
    )
    if "error" in answer:
        raise refused("the provider took back its code")
    return tokens.principal_of_sign_in(answer, flow.nonce)


def _has_provider(guard: Guard) -> bool:
    return guard.authenticator.oidc is not None and bool(guard.authenticator.oidc.client_id)


def _redirect_uri(request: Request, guard: Guard) -> str:
    root = guard.http.public_url.rstrip("/") or str(request.base_url).rstrip("/")
    return f"{root}/auth/oidc/callback"


def _local(then: str) -> str:
    """A path of ours, or the first page: nobody is sent to another site."""
    ours = then.startswith("/") and not then.startswith(("//", "/\\")) and then.isprintable() and "\\" not in then
    return then if ours else "/"


def _set_session(response: Response, guard: Guard, number: str) -> None:
    response.set_cookie(
        cookie_name(guard.http), number, httponly=True, secure=is_secure(guard.http), samesite="strict", path="/"
    )


def _note(guard: Guard, principal: Principal, address: str, event_type: str) -> None:
    guard.audit.record(
        AuditEvent(
            EventKind.USER_AUTHENTICATION,
            user=principal.name,
            address=address,
            event_type=event_type,
            detail=f"by {principal.proof}",
        )
    )


async def _small_body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_FORM_BYTES:
            raise NotAllowed("the form is too large")
    return body


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sign in - IODeep</title>
<meta name="viewport" content="width=device-width"></head>
<body><main><h1>Sign in</h1>{link}
<form method="post" action="/auth/sign-in"><input type="hidden" name="then" value="{then}">
<p><label>API key <input type="password" name="key" autocomplete="current-password" required autofocus></label></p>
<p><button type="submit">Sign in</button></p></form></main></body></html>
"""
_GO_ON = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Signed in - IODeep</title>
<meta http-equiv="refresh" content="0;url={then}"></head>
<body><p>Signed in. <a href="{then}">Go on</a></p></body></html>
"""
