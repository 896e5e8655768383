"""No route of the whole application is open by oversight: each asks for a caller, but for those that are named here."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from iodeep.service.api.app import create_app
from tests.unit.service.api.site import Site

OPEN = {
    "/auth/sign-in",
    "/auth/sign-out",
    "/auth/oidc/start",
    "/auth/oidc/callback",
    "/",
    "/console",
    "/console/",
    "/console/{name}",
    "/api/v1/openapi.json",
    "/api/v1/health",
    "/api/v1/readiness",
    "/api/v1/sign-in",
}
"""Sign-in itself, pages and a description without any data in them, and what a load balancer asks."""
HERE = ("127.0.0.1", 1)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    site = Site(tmp_path_factory.mktemp("site"), serve={})
    made = create_app(site.context())
    yield made
    made.state.access.close()


def _routes(app: FastAPI) -> list[tuple[frozenset[str], str]]:
    """Methods (none for a WebSocket) and path of every route."""
    found = [(frozenset(each.methods or ()), str(each.path)) for each in iter_route_contexts(app.routes)]
    assert len(found) > 50
    return found


def _client(app: FastAPI) -> TestClient:
    return TestClient(app, base_url="http://localhost", client=HERE, follow_redirects=False)


def _filled(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "1.2.3", path)


def test_a_caller_without_credentials_gets_nothing_from_any_route(app: FastAPI) -> None:
    client = _client(app)
    answers = {
        (method, path): client.request(method, _filled(path)).status_code
        for methods, path in _routes(app)
        for method in sorted(methods - {"HEAD", "OPTIONS"})
        if path not in OPEN
    }

    assert {route: status for route, status in answers.items() if status != 401} == {}


def test_a_caller_without_credentials_hears_nothing_from_any_web_socket(app: FastAPI) -> None:
    sockets = [path for methods, path in _routes(app) if not methods]
    assert sockets

    for path in sockets:
        with pytest.raises(WebSocketDisconnect), _client(app).websocket_connect(_filled(path)):
            pass


def test_what_is_named_as_open_exists(app: FastAPI) -> None:
    assert {path for _, path in _routes(app)} >= OPEN
