"""What a request says about its caller: credentials, address, and whether a page of another site made the browser send it."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from iodeep.serve_settings import HttpSettings
from iodeep.service.access.authenticator import Credentials
from iodeep.service.access.principal import ANONYMOUS, Principal
from iodeep.service.access.refusals import NotAllowed

CSRF_HEADER = "X-IODeep-Request"
"""Any value: a page of another site can't set a header of its own without being asked whether it may, and is told no."""
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_FORWARDED = ("x-forwarded-for", "forwarded", "x-real-ip", "via")


def cookie_name(settings: HttpSettings) -> str:
    """``__Host-`` where there is TLS: no subdomain and no plain connection can set it then (RFC 6265bis, 4.1.3.2)."""
    return "__Host-iodeep" if is_secure(settings) else "iodeep"


def is_secure(settings: HttpSettings) -> bool:
    """Whether browsers reach us by TLS: ours, or a proxy's."""
    return settings.tls is not None or settings.public_url.startswith("https://")


def credentials_of(request: HTTPConnection, settings: HttpSettings) -> Credentials:
    """What the request brought with it."""
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    return Credentials(
        bearer=bearer.strip() if scheme.casefold() == "bearer" else "",
        session=request.cookies.get(cookie_name(settings), ""),
        loopback=_is_local(request),
    )


def address_of(request: HTTPConnection, settings: HttpSettings) -> str:
    """The caller's address: the last one that a proxy of ours did not write itself."""
    address = request.client.host if request.client else ""
    forwarded = [
        each.strip() for each in ",".join(request.headers.getlist("x-forwarded-for")).split(",") if each.strip()
    ]
    while forwarded and _is_proxy(address, settings):
        address = forwarded.pop()
    return address


def refuse_foreign_pages(request: HTTPConnection, caller: Principal, by_cookie: bool) -> None:
    """Let nothing be changed by a page of another site (CSRF): credentials that browsers send by themselves prove no will.

    Errors: :class:`NotAllowed`.
    """
    ambient = by_cookie or caller.proof == ANONYMOUS
    if not ambient or request.scope.get("method") in _SAFE_METHODS:
        return
    refuse_foreign_origin(request)
    if by_cookie and request.scope["type"] == "http" and CSRF_HEADER not in request.headers:
        raise NotAllowed(f"the request lacks the header {CSRF_HEADER}", remedy=f"Send {CSRF_HEADER}: 1 with it.")


def refuse_foreign_origin(request: HTTPConnection) -> None:
    """What a browser says about the page that sent the request has to be our own.

    Errors: :class:`NotAllowed`.
    """
    origin = request.headers.get("origin")
    host = request.headers.get("host", "")
    foreign = request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none")
    if foreign or (origin is not None and urlsplit(origin).netloc.casefold() != host.casefold()):
        raise NotAllowed("the request comes from a page of another site", remedy="Use the pages of this service.")


def _is_local(request: HTTPConnection) -> bool:
    host = request.client.host if request.client else ""
    return _is_loopback(host) and not any(name in request.headers for name in _FORWARDED)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_proxy(address: str, settings: HttpSettings) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in settings.proxy_addresses)
