"""The application: every router in its place, every error a problem document, every route described."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Depends, FastAPI

from iodeep import __version__
from iodeep.service.access.guard import install_access
from iodeep.service.api.boundary import Boundary
from iodeep.service.api.metrics import Metrics
from iodeep.service.api.openapi import PREFIX, described, known_parameters_only
from iodeep.service.api.problems import install_handlers
from iodeep.service.api.routes import archive, console, events, jobs, models, monitoring, service, states
from iodeep.service.api.state import open_state
from iodeep.service.dicomweb import DicomWeb
from iodeep.service.serving import ServeContext


def create_app(context: ServeContext) -> FastAPI:
    """The service's application over HTTP; what it opened is closed when its lifespan ends."""
    state = open_state(context)

    dicomweb = DicomWeb(context, state.board, state.audit)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(dicomweb.start)
        yield
        await asyncio.to_thread(dicomweb.close)
        state.close()
        app.state.access.close()

    app = FastAPI(
        title="IODeep",
        version=__version__,
        lifespan=lifespan,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.iodeep = state
    app.state.metrics = Metrics(context, state.board)
    install_handlers(app)
    install_access(app, context.folders, state.audit)
    app.add_middleware(Boundary)
    app.include_router(_version_1())
    app.include_router(monitoring.router, dependencies=[Depends(known_parameters_only)])
    app.include_router(console.router)
    dicomweb.install(app)
    _describe(app)
    return app


def _version_1() -> APIRouter:
    """Everything below ``/api/v1``."""
    root = APIRouter(prefix=PREFIX, dependencies=[Depends(known_parameters_only)])
    for each in (
        events.router,
        jobs.router,
        models.router,
        states.router,
        archive.router,
        service.router,
        service.open_router,
    ):
        root.include_router(each)
    return root


def _describe(app: FastAPI) -> None:
    def openapi() -> dict[str, Any]:
        return described(app)

    app.openapi = openapi  # type: ignore[method-assign]
