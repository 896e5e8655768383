"""What every request passes before anything else looks at it: our name, the address's limit, the body's size; and what every answer says.

Pure ASGI, so that streams stay streams.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from iodeep.serve_settings import HttpSettings
from iodeep.service.access.answers import refusal_response
from iodeep.service.access.callers import address_of, is_secure
from iodeep.service.access.limits import RateLimits, weight_of
from iodeep.service.access.refusals import AccessRefusal, BodyTooLarge, UnknownHost

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""Nothing from elsewhere, no inline script or style, no frame around us (CSP 3)."""
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
_TRANSPORT = {"Strict-Transport-Security": "max-age=31536000"}
_NOT_KEPT = {"Cache-Control": "no-store"}
"""Where a route says nothing else: patients' data stay in no cache (RFC 9111, 5.2.2.5)."""


class Doorway:
    """The middleware; outermost but for correlation identifiers."""

    def __init__(self, app: ASGIApp, settings: HttpSettings, limits: RateLimits) -> None:
        self._app = app
        self._settings = settings
        self._limits = limits
        self._hosts = own_names(settings)
        self._headers = _HEADERS | (_TRANSPORT if is_secure(settings) else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, one lifespan, or one web socket."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        body = _Body(receive, self._with_headers(send), self._settings.max_body_bytes)
        request = HTTPConnection(scope)
        try:
            _check_host(request.headers.get("host", ""), self._hosts)
            self._limits.count_address(address_of(request, self._settings), weight_of(request))
            body.check_announced(request.headers.get("content-length", ""))
        except AccessRefusal as refusal:
            response = refusal_response(refusal, str(scope.get("iodeep.correlation_id", "")))
            await response(scope, receive, self._with_headers(send))
            return
        await self._app(scope, body.receive, body.sender(scope))

    def _with_headers(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in (self._headers | _NOT_KEPT).items():
                    headers.setdefault(name, value)
            await send(message)

        return sending


class _Body:
    """A request's body as far as it may go; past that, the answer is 413 whatever the route would have said."""

    def __init__(self, receive: Receive, send: Send, most: int) -> None:
        self._receive = receive
        self._send = send
        self._most = most
        self._read = 0
        self._refused = False

    def check_announced(self, length: str) -> None:
        """Refuse by Content-Length, before a byte is read. Errors: :class:`BodyTooLarge`."""
        if length.isdecimal() and int(length) > self._most:
            raise self._too_large()

    async def receive(self) -> Message:
        """The next piece. Errors: :class:`BodyTooLarge`."""
        message = await self._receive()
        self._read += len(message.get("body", b""))
        if self._read > self._most:
            self._refused = True
            raise self._too_large()
        return message

    def sender(self, scope: Scope) -> Send:
        """Send what the application answers, unless the body was refused and the application answered something else."""
        answered = False

        async def sending(message: Message) -> None:
            nonlocal answered
            if answered:
                return
            if self._refused and message["type"] == "http.response.start" and message["status"] != BodyTooLarge.status:
                answered = True
                response = refusal_response(self._too_large(), str(scope.get("iodeep.correlation_id", "")))
                await response(scope, self._receive, self._send)
                return
            await self._send(message)

        return sending

    def _too_large(self) -> BodyTooLarge:
        return BodyTooLarge(
            f"the body is larger than {self._most} bytes",
            remedy="Send less at once, or have http.max_body_bytes raised.",
        )


def own_names(settings: HttpSettings) -> frozenset[str]:
    """Names by which callers may call us, besides IP addresses."""
    public = urlsplit(settings.public_url).hostname or ""
    names = {"localhost", settings.bind, socket.gethostname(), socket.getfqdn(), public, *settings.allowed_hosts}
    return frozenset(name.casefold() for name in names if name)


def _check_host(host: str, names: frozenset[str]) -> None:
    """DNS rebinding needs a name that is not ours; an IP address can't be rebound. Errors: :class:`UnknownHost`."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").casefold().rstrip(".")
    except ValueError:
        name = ""
    if name in names or _is_ip(name):
        return
    raise UnknownHost("this service is not called that", remedy="Add the name to http.allowed_hosts if it is meant.")


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
