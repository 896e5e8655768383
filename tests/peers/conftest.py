"""Fixtures that give running peers; where a peer is not installed the test is skipped, and fails in CI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pacs_bridge.server_process import free_port
from tests.peers.servers import CALLING_AET, PEERS, MissingPeerError, Peer


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that makes ``docs/peers.md`` anew; known where ``tests/peers`` is named on the command line."""
    parser.addoption("--write-peers-matrix", action="store_true", help="write docs/peers.md instead of checking it")


def _running(name: str, folder: Path) -> Iterator[Peer]:
    """Each peer knows our AE title as a C-MOVE destination at a port that was free."""
    try:
        with PEERS[name](folder, move_destinations=[(CALLING_AET, free_port())]) as peer:
            yield peer
    except MissingPeerError as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture(scope="module", params=list(PEERS))
def peer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """Each of the peers in turn, shared by a module's tests: use fresh UIDs."""
    yield from _running(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(params=list(PEERS))
def fresh_peer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Peer]:
    """Each of the peers in turn, empty and for one test alone."""
    yield from _running(request.param, tmp_path / request.param)


@pytest.fixture(scope="module")
def orthanc_peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """Orthanc, shared by a module's tests."""
    yield from _running("orthanc", tmp_path_factory.mktemp("orthanc"))


@pytest.fixture(scope="module")
def dcmqrscp_peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """DCMTK's dcmqrscp, shared by a module's tests."""
    yield from _running("dcmqrscp", tmp_path_factory.mktemp("dcmqrscp"))


@pytest.fixture(scope="module")
def qrscp_peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """pynetdicom's qrscp, shared by a module's tests."""
    yield from _running("qrscp", tmp_path_factory.mktemp("qrscp"))
