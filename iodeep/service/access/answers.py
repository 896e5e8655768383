"""Refusals as problem documents (RFC 9457), wherever in the application they come up."""

from __future__ import annotations

from fastapi.responses import JSONResponse

from iodeep.service.access.refusals import AccessRefusal

MEDIA_TYPE = "application/problem+json"


def refusal_response(refusal: AccessRefusal, correlation_id: str = "") -> JSONResponse:
    """The answer: why, and what to do, never which half of a credential was wrong."""
    document = {
        "type": f"urn:iodeep:problem:{type(refusal).__name__}",
        "title": refusal.title,
        "status": refusal.status,
        "detail": refusal.problem,
        "remedy": refusal.remedy,
        "correlation_id": correlation_id,
    }
    given = {name: value for name, value in document.items() if value}
    return JSONResponse(given, refusal.status, headers=refusal.headers, media_type=MEDIA_TYPE)
