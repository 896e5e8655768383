"""The description of the API (OpenAPI 3.1): credentials, problem documents, and which query parameters a route knows."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi

from iodeep import __version__
from iodeep.service.api.problems import MEDIA_TYPE, AnswerError, Problem

PREFIX = "/api/v1"
OPEN = "open"
"""Tag of the routes that need no credentials."""

DESCRIPTION = """\
Series come in, models are chosen, results go back to the PACS: this is where people and systems ask for it and look at it.

**Credentials**: an API key (`iodeep keys add`) or an access token of the site's OpenID Connect provider, as
`Authorization: Bearer ...`. **Errors** are problem documents (RFC 9457): `expected`, `found` and `remedy` say what to do.
**Times** are RFC 3339 with their zone. A query parameter that a route doesn't know is refused: a misspelt filter must
not show everything. Asking twice for the same is one job.
"""

TAGS = [
    {"name": "jobs", "description": "Ask for a model on a series, follow it, end it, begin it again."},
    {"name": "models", "description": "The models in the archive, and which of them fits a series."},
    {"name": "archive", "description": "Studies and series in the PACS. Model objects never stand among patients."},
    {"name": "service", "description": "How the service does: figures, archives, summary, audit log."},
    {"name": OPEN, "description": "Without credentials: whether the service is there and ready."},
]

_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_ANSWERS = {
    "401": "No credential, or none that holds.",
    "403": "The caller's role does not allow it.",
    "422": "The request is not valid; `errors` names each field.",
    "429": "Too many requests; `Retry-After` says when.",
}
_DESCRIBED = (f"{PREFIX}/", "/metrics")
"""DICOMweb is described by PS3.18, and the pages' sign-in is for browsers."""
_METHODS = ("get", "post", "put", "delete", "patch")


def described(app: FastAPI) -> dict[str, Any]:
    """The application's OpenAPI document, made once."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title="IODeep",
            version=__version__,
            summary="Trained networks as DICOM objects: your PACS is the model registry.",
            description=DESCRIPTION,
            tags=TAGS,
            routes=app.routes,
            license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        )
        app.openapi_schema = _completed(schema)
    return app.openapi_schema


def _completed(schema: dict[str, Any]) -> dict[str, Any]:
    components = schema.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or an access token (RFC 6750)."}
    }
    schema["paths"] = {path: each for path, each in schema["paths"].items() if path.startswith(_DESCRIBED)}
    for path in schema["paths"].values():
        for method in _METHODS:
            if method in path:
                _complete_operation(path[method])
    return schema


def _complete_operation(operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    answers.pop("422", None)
    needs_credentials = OPEN not in operation.get("tags", ())
    if needs_credentials:
        operation["security"] = [{"bearer": []}]
    for status, words in _ANSWERS.items():
        if needs_credentials or status in ("422", "429"):
            answers[status] = {"description": words, "content": _PROBLEM}
    answers["default"] = {"description": "Any other problem.", "content": _PROBLEM}


async def known_parameters_only(request: Request) -> None:
    """Refuse a query parameter that the route doesn't know, and one that is given twice and can only be taken once.

    Errors: :class:`AnswerError` (422).
    """
    if not request.query_params:
        return
    known = _parameters_of(request)
    for name in request.query_params:
        if name not in known:
            raise AnswerError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"the query parameter {name[:64]!r} is not known here",
                expected=", ".join(sorted(known)) or "none",
                remedy="A misspelt filter would show everything: correct its name, or leave it out.",
            )
        if not known[name] and len(request.query_params.getlist(name)) > 1:
            raise AnswerError(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"the query parameter {name!r} is given more than once",
                expected="one value",
                remedy="Which one is meant is not guessed.",
            )


def _parameters_of(request: Request) -> dict[str, bool]:
    """What the operation that the request was routed to knows (its id is unique), and what of it may be repeated."""
    wanted = getattr(request.scope.get("route"), "operation_id", None)
    operations = (each for path in described(request.app)["paths"].values() for each in path.values())
    return {
        parameter["name"]: "array" in str(parameter["schema"])
        for operation in operations
        if isinstance(operation, dict) and operation.get("operationId") == wanted
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query"
    }
