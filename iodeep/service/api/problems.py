"""Every error leaves as a problem document (RFC 9457): what was expected, what was found, what to do; never a stack trace.

The type is a URN of the error's class, so that a program can tell problems apart without reading sentences.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from iodeep.errors import (
    ArchiveError,
    ArchiveUnreachableError,
    CancelledError,
    InputError,
    IODeepError,
    LocalStorageError,
    ObjectError,
    Refusal,
    SettingsError,
)

MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_S = "5"

_STATUS: tuple[tuple[type[IODeepError], HTTPStatus], ...] = (
    (ArchiveUnreachableError, HTTPStatus.GATEWAY_TIMEOUT),
    (ArchiveError, HTTPStatus.BAD_GATEWAY),
    (LocalStorageError, HTTPStatus.SERVICE_UNAVAILABLE),
    (CancelledError, HTTPStatus.SERVICE_UNAVAILABLE),
    (ObjectError, HTTPStatus.BAD_GATEWAY),
    (Refusal, HTTPStatus.CONFLICT),
    (SettingsError, HTTPStatus.INTERNAL_SERVER_ERROR),
    (InputError, HTTPStatus.UNPROCESSABLE_ENTITY),
)
_SECRET_FIELDS = re.compile("key|token|password|secret|authorization", re.IGNORECASE)


class AnswerError(IODeepError):
    """An error that the API itself finds, with the status that it is answered with."""

    def __init__(
        self,
        status: HTTPStatus,
        problem: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        remedy: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(problem, expected=expected, found=found, remedy=remedy)
        self.status = status
        self.headers = headers


class NotFoundError(AnswerError):
    """There is no such thing, or none that may be shown."""

    def __init__(
        self, problem: str, *, expected: str | None = None, found: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(HTTPStatus.NOT_FOUND, problem, expected=expected, found=found, remedy=remedy)


class ConflictError(AnswerError):
    """What is asked for does not go with the state that the thing is in."""

    def __init__(
        self, problem: str, *, expected: str | None = None, found: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(HTTPStatus.CONFLICT, problem, expected=expected, found=found, remedy=remedy)


class BusyError(AnswerError):
    """More was asked for at once than is served; it can be asked for again."""

    def __init__(
        self, problem: str, *, expected: str | None = None, found: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(
            HTTPStatus.SERVICE_UNAVAILABLE,
            problem,
            expected=expected,
            found=found,
            remedy=remedy,
            headers={"Retry-After": _RETRY_AFTER_S},
        )


class FieldProblem(BaseModel):
    """One field of a request that is not as it has to be."""

    where: str = Field(description="`body.priority`, `query.limit` ...")
    problem: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:iodeep:problem:NotFoundError",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "there is no job 0f0f",
                    "remedy": "GET /api/v1/jobs lists the jobs that are known.",
                    "correlation_id": "5f0c5a0e0f4d4a7cb2b0a5f0c5a0e0f4",
                }
            ]
        }
    )

    type: str = Field(description="A URN of the kind of problem.")
    title: str
    status: int = Field(ge=400, le=599)
    detail: str
    expected: str | None = None
    found: str | None = None
    remedy: str | None = None
    errors: list[FieldProblem] | None = Field(default=None, description="Fields of the request that are wrong.")
    correlation_id: str = Field(description="As in the answer's X-Request-ID and in the service's log.")


def status_of(error: IODeepError) -> HTTPStatus:
    """The HTTP status that an error is answered with; a defect's for what is none of those known."""
    if isinstance(error, AnswerError):
        return error.status
    return next((status for kind, status in _STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


@contextmanager
def missing_is_not_found(remedy: str | None = None) -> Iterator[None]:
    """Turn "there is no such job" of the seams below, which know no HTTP, into 404."""
    try:
        yield
    except InputError as error:
        raise NotFoundError(
            error.problem, expected=error.expected, found=error.found, remedy=error.remedy or remedy
        ) from error


@contextmanager
def refused_is_conflict() -> Iterator[None]:
    """Turn "its state does not allow it" into 409."""
    try:
        yield
    except InputError as error:
        raise ConflictError(error.problem, expected=error.expected, found=error.found, remedy=error.remedy) from error


def correlation_id(request: Request) -> str:
    """The request's, as the outermost middleware gave it."""
    return str(request.scope.get("iodeep.correlation_id", ""))


def problem_response(
    request: Request,
    status: int,
    kind: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> JSONResponse:
    """A problem document as an answer."""
    problem = Problem(
        type=f"urn:iodeep:problem:{kind}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        correlation_id=correlation_id(request),
        **members,
    )
    return JSONResponse(
        problem.model_dump(exclude_none=True), status, headers=dict(headers or {}), media_type=MEDIA_TYPE
    )


def install_handlers(app: FastAPI) -> None:
    """Answer every kind of error with a problem document."""
    app.add_exception_handler(IODeepError, _on_known)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)


async def _on_known(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, IODeepError)
    return problem_response(
        request,
        status_of(error),
        type(error).__name__,
        error.problem,
        headers=error.headers if isinstance(error, AnswerError) else None,
        expected=error.expected,
        found=error.found,
        remedy=error.remedy,
    )


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fields = _field_problems(error.errors())
    return problem_response(
        request,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "InputError",
        "; ".join(f"{field.where}: {field.problem}" for field in fields[:3]) or "the request is not valid",
        errors=fields,
        remedy="/api/v1/openapi.json describes every field.",
    )


def _field_problems(errors: Sequence[Mapping[str, Any]]) -> list[FieldProblem]:
    """What pydantic found, without repeating the values: they may be secrets or patients."""
    return [
        FieldProblem(where=".".join(map(str, error["loc"])), problem=str(error["msg"]))
        for error in errors
        if not _SECRET_FIELDS.search(str(error["msg"]))
    ]


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    """What the framework raises: 404 for a path that is none, 405 for a method, 400 for a body that is no JSON."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    kind = "".join(word.capitalize() for word in status.phrase.replace("-", " ").split())
    allowed = _methods_at(request) if status is HTTPStatus.METHOD_NOT_ALLOWED else None
    return problem_response(
        request,
        status,
        kind,
        _SENTENCES.get(status) or str(error.detail or status.phrase),
        headers={**(error.headers or {}), "Allow": allowed} if allowed else error.headers,
        expected=allowed,
        found=request.method if allowed else None,
        remedy=_REMEDIES.get(status),
    )


def _methods_at(request: Request) -> str:
    """Every method of the address (RFC 9110 10.2.1): the framework names those of the first route alone."""
    found = {
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    }
    return ", ".join(sorted(found))


_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_SENTENCES = {
    HTTPStatus.NOT_FOUND: "there is nothing at this address",
    HTTPStatus.METHOD_NOT_ALLOWED: "this method is not one of the address",
}
_REMEDIES = dict.fromkeys(_SENTENCES, "/api/v1/openapi.json describes every address.")
