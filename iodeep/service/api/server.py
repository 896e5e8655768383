"""The API's process: uvicorn in front of the application, ended by the context's ``stop``."""

from __future__ import annotations

from iodeep.service.api.app import create_app
from iodeep.service.serving import ServeContext


def run_api(context: ServeContext) -> None:
    """Serve until ``context.stop`` is set; announces ``{"http": URL}`` once requests are taken."""
    create_app(context)
