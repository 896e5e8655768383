"""A client that goes away ends what was done for it alone."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

from pacs_bridge.gateway import Gateway
from tests.gateway_server import served
from tests.unit.pacs_bridge.gateway.conftest import CT_SERIES, CT_STUDY, ROOT, fill
from tests.unit.pacs_bridge.gateway.shelf import Shelf


def test_a_fetch_that_nobody_waits_for_any_more_ends(tmp_path: Path) -> None:
    fill(tmp_path / "shelf")
    shelf = Shelf(tmp_path / "shelf")
    fetching, ended = threading.Event(), threading.Event()
    cancelled: list[bool] = []
    fetch = shelf.fetch

    def slow(*args: Any, **more: Any) -> Any:
        """The archive sends nothing until the fetch is cancelled."""
        fetching.set()
        cancelled.append(more["cancel"].wait(30))
        try:
            return fetch(*args, **more)
        finally:
            ended.set()

    shelf.fetch = slow  # type: ignore[method-assign]
    gateway = Gateway(lambda _: shelf, tmp_path / "cache", 1 << 20)
    with served(gateway) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(f"GET {ROOT}/studies/{CT_STUDY}/series/{CT_SERIES} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert fetching.wait(30)
        client.close()
        assert ended.wait(30)
    gateway.close()

    assert cancelled == [True]
    assert gateway.cached_bytes == 0
    assert list((tmp_path / "cache" / "incoming").iterdir()) == []


def test_of_a_body_that_the_client_breaks_off_nothing_is_stored(tmp_path: Path) -> None:
    fill(tmp_path / "shelf")
    shelf = Shelf(tmp_path / "shelf")
    gateway = Gateway(lambda _: shelf, tmp_path / "cache", 1 << 20)
    with served(gateway) as port:
        with socket.create_connection(("127.0.0.1", port)) as client:
            head = f"POST {ROOT}/studies HTTP/1.1\r\nHost: x\r\nContent-Type: application/dicom\r\n"
            client.sendall(f"{head}Content-Length: 500000\r\n\r\n".encode() + b"x" * 100_000)
        with socket.create_connection(("127.0.0.1", port)) as other:
            other.sendall(f"GET {ROOT}/studies HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            assert other.recv(100).startswith(b"HTTP/1.1 200")
    gateway.close()

    assert shelf.asked["store"] == 0
    assert list((tmp_path / "cache" / "sent").iterdir()) == []
