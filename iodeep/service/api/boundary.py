"""The outermost middleware: each request has a correlation id, and what nobody foresaw ends here as a plain 500.

The named boundary of one request: it logs the defect with its id, and tells the caller the id and nothing else.
"""

from __future__ import annotations

import logging
import re
import uuid
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from iodeep.service.api.problems import problem_response

HEADER = "X-Request-ID"
_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{8,64}")
_log = logging.getLogger(__name__)


class Boundary:
    """Gives each request its correlation id, the caller's own where it is a harmless one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        name = given if _ACCEPTED.fullmatch(given) else uuid.uuid4().hex
        scope["iodeep.correlation_id"] = name
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)[HEADER] = name
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except ClientDisconnect:
            _log.info(
                "request %s: %s %s: the caller went away before it was whole", name, scope["method"], scope["path"]
            )
        except Exception:
            _log.exception("request %s: %s %s ended by a defect", name, scope["method"], scope["path"])
            if started:
                raise  # the answer is cut off: the server closes the connection, so nobody takes it for whole
            await _defect(scope)(scope, receive, answer)


def _defect(scope: Scope) -> ASGIApp:
    return problem_response(
        Request(scope),
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "InternalServerError",
        "the service has a defect; nothing else is known of it here",
        remedy="Look for the correlation id in the service's log, and report it.",
    )
