"""A DICOMweb gateway served over a real socket, for tests of what clients see."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI

from pacs_bridge.gateway import Gateway

PREFIX = "/dicom-web"


@contextmanager
def served(gateway: Gateway) -> Iterator[int]:
    """The port of loopback at which the gateway answers below :data:`PREFIX`."""
    app = FastAPI()
    app.include_router(gateway.router(), prefix=PREFIX)
    started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            started.set()

    server = Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert started.wait(30)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
