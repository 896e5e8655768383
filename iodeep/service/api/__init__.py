"""The HTTP API under ``/api/v1``, its metrics, and the administrator's page: one FastAPI application for one context.

What needs FastAPI is imported when it is asked for: the terminal uses the figures alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iodeep.service.api.app import create_app
    from iodeep.service.api.server import run_api

__all__ = ["create_app", "run_api"]
_HOMES = {"create_app": "app", "run_api": "server"}


def __getattr__(name: str) -> object:
    """The function, from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
