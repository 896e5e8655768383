"""The application: every router in its place, every error a problem document."""

from __future__ import annotations

from fastapi import FastAPI

from iodeep.service.serving import ServeContext


def create_app(context: ServeContext) -> FastAPI:
    """The service's application over HTTP; nothing is opened before it starts, and all is closed when it ends."""
    raise NotImplementedError(context.name)
