"""The API's process: uvicorn in front of the application, ended by the context's ``stop``."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from iodeep.errors import SettingsError
from iodeep.serve_settings import HttpSettings
from iodeep.service.api.app import create_app
from iodeep.service.api.protocol import BoundedHead
from iodeep.service.serving import ServeContext
from pacs_bridge.tls_profiles import server_context

_LOOK_S = 0.2
_DRAIN_S = 10
_BACKLOG = 2048


class _Server(uvicorn.Server):
    """A server that leaves signals to the process that it runs in."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: the process has set ``stop`` by then."""
        yield


def run_api(context: ServeContext) -> None:
    """Serve until ``context.stop`` is set; announces ``{"http": URL}`` once requests are taken.

    Errors: :class:`iodeep.errors.SettingsError` where the address or a certificate cannot be used.
    """
    _allow_many_connections()
    listening = _listening(context.serve.http)
    app = create_app(context)
    asyncio.run(_serve(context, app, listening))


async def _serve(context: ServeContext, app: FastAPI, listening: socket.socket) -> None:
    http = context.serve.http
    server = _Server(_config(http, app))
    ending = asyncio.create_task(_end_when_told(context, server, app))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    if server.started:
        context.announce({"http": url_of(http, listening.getsockname()[1])})
    try:
        await serving
    finally:
        ending.cancel()


def _config(http: HttpSettings, app: FastAPI) -> uvicorn.Config:
    tls = http.tls
    return uvicorn.Config(
        app,
        http=BoundedHead,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        timeout_graceful_shutdown=_DRAIN_S,
        timeout_keep_alive=75,
        backlog=_BACKLOG,
        ssl_context_factory=(lambda _config, _default: server_context(tls)) if tls else None,
    )


async def _end_when_told(context: ServeContext, server: uvicorn.Server, app: FastAPI) -> None:
    """First the streams, which never end by themselves; then what is being answered; then the server."""
    while not context.stop.is_set():
        await asyncio.sleep(_LOOK_S)
    app.state.iodeep.feed.close()
    server.should_exit = True


def _allow_many_connections() -> None:
    """A connection is an open file: as many as the system lets us, not the 1,024 that it begins with."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _listening(http: HttpSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in http.bind else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((http.bind, http.port))
    except OSError as error:
        listening.close()
        raise SettingsError(
            f"the API cannot listen on {http.bind}:{http.port}: {error.strerror}",
            remedy="Set serve.http.bind to an address of this machine and serve.http.port to a free port.",
        ) from error
    return listening


def url_of(http: HttpSettings, port: int) -> str:
    """How the API is reached on this machine, or as the site says."""
    host = f"[{http.bind}]" if ":" in http.bind else http.bind
    return http.public_url or f"{'https' if http.tls else 'http'}://{host}:{port}"
