"""``/metrics`` for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from iodeep.service.api.metrics import Metrics
from iodeep.service.api.state import State, Viewer

router = APIRouter(tags=["service"])


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request, state: State, _caller: Viewer) -> Response:
    """Jobs by state, time per step, queue, workers, archives, listener, disk; a scraper signs in with an API key."""
    made: Metrics = request.app.state.metrics
    known = await state.health.fresh()
    body = await state.database.shared("metrics", made.exposition, known)
    return Response(body, media_type=CONTENT_TYPE_LATEST)
