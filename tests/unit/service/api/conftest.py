"""A site whose API runs on an ephemeral port of loopback, and a client to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from iodeep.service.api import run_api
from tests.unit.service.api.site import Site


@contextmanager
def running(site: Site) -> Iterator[httpx.Client]:
    """The API of the site, served by its own process's function, until the end of ``with``."""
    thread = threading.Thread(target=run_api, args=(site.context(),), name="api")
    thread.start()
    try:
        assert site.ready.wait(30), "the API did not start"
        with httpx.Client(base_url=site.announced[0]["http"], timeout=30) as client:
            yield client
    finally:
        site.stop.set()
        thread.join(30)
        assert not thread.is_alive(), "the API did not end"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site on which whoever calls from this machine is an administrator."""
    return Site(tmp_path, serve={"http": {"port": 0}, "access": {"anonymous": "administrator"}})


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    """A client to its API."""
    with running(site) as client:
        yield client


@pytest.fixture
def start() -> Iterator[Callable[[Site], httpx.Client]]:
    """Starts the API of a site that the test made."""
    with ExitStack() as stack:
        yield lambda site: stack.enter_context(running(site))
