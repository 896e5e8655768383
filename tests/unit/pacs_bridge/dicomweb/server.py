"""A small HTTP server that answers as it is told: rightly, wrongly, too late or only in part."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BOUNDARY = "a-boundary"
MULTIPART = f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'
JSON = "application/dicom+json"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """``promised`` is a Content-Length other than the body's; ``hold`` keeps the connection open without a word."""

    status: int = 200
    content_type: str = JSON
    body: bytes = b"[]"
    promised: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    hold: bool = False


Answer = Callable[[Request], Reply]


@dataclass
class Server:
    root: str
    requests: list[Request]
    answer: Answer


@contextmanager
def serving(answer: Answer) -> Iterator[Server]:
    """A server on loopback until the block ends; ``server.answer`` may be changed meanwhile."""
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            server.requests.append(request)
            reply = server.answer(request)
            if reply.hold:
                released.wait(60)
                return
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(reply.body) if reply.promised is None else reply.promised))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = _reply

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server = Server(f"http://127.0.0.1:{http.server_port}/dicom-web", [], answer)
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            released.set()
            http.shutdown()
            thread.join()


def multipart(*paths: Path, closed: bool = True, part_type: str = "application/dicom") -> bytes:
    """Files as a server sends them; without its final boundary where it is not ``closed``."""
    parts = [f"--{BOUNDARY}\r\nContent-Type: {part_type}\r\n\r\n".encode() + p.read_bytes() + b"\r\n" for p in paths]
    return b"".join(parts) + (f"--{BOUNDARY}--\r\n".encode() if closed else b"")
