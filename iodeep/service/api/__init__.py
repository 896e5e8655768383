"""The HTTP API under ``/api/v1``, its metrics, and the administrator's page: one FastAPI application for one context."""

from iodeep.service.api.app import create_app
from iodeep.service.api.server import run_api

__all__ = ["create_app", "run_api"]
