"""What of our errors a DICOMweb client is told: a status of PS3.18 8.5, and the four parts of the error (RFC 9457)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from iodeep.errors import (
    ArchiveError,
    ArchiveUnreachableError,
    CancelledError,
    InputError,
    IODeepError,
    LocalStorageError,
    SettingsError,
)


class NotThereError(InputError):
    """The archive holds no such study, series, instance or frame."""


class NotAcceptableError(InputError):
    """None of the media types or transfer syntaxes asked for can be given (PS3.18 8.7.5)."""


class UnsupportedMediaTypeError(InputError):
    """What was sent has a media type that is not taken."""


class TooLargeError(InputError):
    """What was sent is larger than is taken."""


_STATUSES: tuple[tuple[type[IODeepError], int], ...] = (
    (NotThereError, 404),
    (NotAcceptableError, 406),
    (UnsupportedMediaTypeError, 415),
    (TooLargeError, 413),
    (InputError, 400),
    (SettingsError, 404),
    (ArchiveUnreachableError, 503),
    (ArchiveError, 502),
    (LocalStorageError, 507),
    (CancelledError, 503),
)
_KINDS = tuple(kind for kind, _ in _STATUSES)
_RETRY_AFTER_S = "10"


def status_of(error: IODeepError) -> int:
    """The HTTP status that an error is answered with."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def problem(error: IODeepError) -> Response:
    """The error as ``application/problem+json``."""
    status = status_of(error)
    document = {
        "type": "about:blank",
        "title": error.problem,
        "status": status,
        "detail": str(error),
        **error.as_dict(),
    }
    headers = {"Retry-After": _RETRY_AFTER_S} if status == 503 else {}
    return JSONResponse(document, status, headers, "application/problem+json")


class GatewayRoute(APIRoute):
    """A route whose errors of these kinds become answers; what else goes wrong, access refused too, is the application's to answer."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with our errors caught."""
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except _KINDS as error:
                return problem(error)

        return answer
