"""Requests to the API and the DICOMweb gateway of a running service: malformed, oversized, smuggled, nested, and valid but mean."""

from __future__ import annotations

import json
import socket
import zlib
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from urllib.parse import quote

import numpy as np

from iodeep.errors import InputError
from tests.hostile.canary import SECRET, Canary
from tests.hostile.judging import Mutant, WrongError
from tests.hostile.kinds.folders import emptied
from tests.hostile.mutating import octets
from tests.hostile.mutating.dicom import Spoiler
from tests.hostile.mutating.documents import changed, deep
from tests.hostile.mutating.texts import hostile
from tests.hostile.serving import ANSWER_S, Service, connected, service
from tests.synthetic import write_series

SHORT_S = 0.15
"""How long an answer to what is no whole request is waited for."""
CHECK_EACH = 20
U = "1.2.826.0.1.3680043.8.498.1"
API, WEB = "/api/v1", "/dicom-web"
PATHS = (
    f"{API}/health", f"{API}/version", f"{API}/archives", f"{API}/overview", f"{API}/summary?day=2026-01-01",
    f"{API}/audit?limit=5", f"{API}/jobs", f"{API}/jobs?state=done&limit=3", f"{API}/jobs/counts", f"{API}/jobs/{U}",
    f"{API}/jobs/{U}/results", f"{API}/jobs/{U}/events", f"{API}/models", f"{API}/models/{U}", f"{API}/studies?PatientID=1",
    f"{API}/studies/{U}/series", f"{API}/series/{U}/results", f"{API}/openapi.json", "/metrics", "/", "/console",
    "/console/app.js", f"{WEB}/studies?PatientID=1&limit=2", f"{WEB}/studies/{U}", f"{WEB}/studies/{U}/metadata",
    f"{WEB}/studies/{U}/series/{U}/instances/{U}/frames/1", f"{WEB}/studies/{U}/series/{U}/instances/{U}/rendered",
    f"{WEB}/studies/{U}/series/{U}/instances/{U}/bulkdata/7FE00010", f"{WEB}/workitems", f"{WEB}/workitems/{U}",
)  # fmt: skip
POSTS: tuple[tuple[str, str, object], ...] = (
    ("POST", f"{API}/jobs", {"study_instance_uid": U, "series_instance_uid": U, "pacs": "main", "model": "", "priority": "routine"}),
    ("POST", f"{API}/jobs/{U}/cancel", {}),
    ("POST", f"{API}/jobs/{U}/retry", {}),
    ("POST", f"{API}/selection", {"series_instance_uid": U, "pacs": "main"}),
    ("POST", f"{WEB}/workitems?workitem={U}", [{"00404041": {"vr": "CS", "Value": ["READY"]}, "00741000": {"vr": "CS", "Value": ["SCHEDULED"]}, "00741204": {"vr": "LO", "Value": ["x"]}}]),
    ("POST", f"{WEB}/workitems/{U}", [{"00741204": {"vr": "LO", "Value": ["x"]}}]),
    ("PUT", f"{WEB}/workitems/{U}/state", [{"00741000": {"vr": "CS", "Value": ["IN PROGRESS"]}, "00081195": {"vr": "UI", "Value": [U]}}]),
    ("POST", f"{WEB}/workitems/{U}/cancelrequest", [{"00741238": {"vr": "LT", "Value": ["no"]}}]),
    ("POST", f"{WEB}/workitems/{U}/subscribers/WATCHER?deletionlock=true", None),
)  # fmt: skip
METHODS = (
    "GET",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "HEAD",
    "get",
    "G\0T",
    "PRI",
    "X" * 3000,
)
HEADERS = (
    "Content-Length: -1", "Content-Length: 0", "Content-Length: 99999999999999999999", "Content-Length: 5, 5", "Content-Length: +5",
    "Content-Length: 0x5", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: \x0bchunked",
    "Transfer-Encoding: gzip, chunked", "transfer-encoding : chunked", "Expect: 100-continue", "Upgrade: websocket", "Upgrade: h2c",
    "Host: evil.example", "Host:", "Host: 127.0.0.1, 127.0.0.1", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-Host: evil.example",
    "Range: bytes=0-,0-,0-,0-", "Range: bytes=-99999999999999999999", "Accept: " + "*/*," * 500, "Accept: application/dicom;q=nan",
    "Authorization: Bearer " + "A" * 5000, "Authorization: Bearer eyJhbGciOiJub25lIn0.e30.", "Authorization: Basic //////",
    "Cookie: " + "a=b; " * 900, "Origin: null", "Content-Type: multipart/related", "Content-Encoding: gzip", "X-Original-URL: /metrics",
    "Connection: close, keep-alive", "Accept-Charset: \xff", "If-None-Match: " + '"x",' * 300, "Last-Event-ID: -1", "TE: trailers",
)  # fmt: skip
BOUNDARY = "hostile"


@dataclass
class Http:
    """A service, and one connection for each input."""

    running: Service
    instance: bytes
    spoiler: Spoiler
    canary: Canary
    stack: ExitStack
    own_files: tuple[Path, ...]
    memory_mib: int = 200
    _count: int = 0

    def mutant(self, random: Random) -> Mutant:
        """The bytes of a connection; ``whole``: they are an HTTP request that has an answer."""
        how = random.random()
        if how < 0.3:
            return {"request": self._valid(random), "whole": b"1"}
        if how < 0.42:
            return {"request": self._upload(random), "whole": b"1"}
        if how < 0.6:
            return {"request": octets.spoilt(self._valid(random), random)}
        return {"request": random.choice(_RAW)(random, self._valid(random))}

    def receive(self, mutant: Mutant) -> bool:
        """Sent as it is; what comes back is no defect, shows no secret, and the service goes on."""
        answer = _exchange(self.running.http, mutant["request"], whole="whole" in mutant)
        self._count += 1
        status = _status(answer)
        if SECRET in answer:
            raise WrongError("the secret was shown")
        if status in (500, 501) or b"Traceback" in answer:
            raise WrongError(f"answered as a defect: {answer[:1500].decode('utf-8', 'replace')}")
        self.running.check_log()
        if self._count % CHECK_EACH == 0:
            self.running.check()
        if not 200 <= status < 400:
            raise InputError(f"the service answered {status}, or ended the connection")
        return True

    def close(self) -> None:
        """End the service, looked at for a last time."""
        with self.stack:
            self.running.check()

    def _valid(self, random: Random) -> bytes:
        """A request that is well-formed, about things that are mean."""
        if random.random() < 0.35:
            method, path, document = random.choice(POSTS)
            body = (
                b""
                if document is None
                else json.dumps(changed(document, random, self.canary)).encode("utf-8", "replace")
            )
            if random.random() < 0.1:
                body = deep(random.choice((100, 3000, 100_000)), lists=random.random() < 0.5)
            kind = "application/dicom+json" if WEB in path else "application/json"
            return _request(
                random.choice((method,) * 9 + METHODS[:4]), _mean_path(path, random, self.canary), body, kind
            )
        method = random.choice(("GET",) * 20 + METHODS[:9])
        return _request(method, _mean_path(random.choice(PATHS), random, self.canary), b"", "")

    def _upload(self, random: Random) -> bytes:
        """STOW-RS (PS3.18 10.5) of spoilt instances, in multiparts that may be spoilt too."""
        parts = [self.spoiler.spoilt(self.instance, random) for _ in range(random.choice((1, 1, 2, 5)))]
        head = random.choice((f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n",) * 6 + (
            f"--{BOUNDARY}\r\n\r\n", f"--{BOUNDARY}\n\n", f"--{BOUNDARY}\r\n" + "X: y\r\n" * 3000 + "\r\n", "", f"--{BOUNDARY}\r\n" * 500,
            f"--{BOUNDARY}\r\nContent-Type: multipart/related; boundary={BOUNDARY}\r\n\r\n",
        ))  # fmt: skip
        body = (
            b"".join(head.encode() + part + b"\r\n" for part in parts)
            + random.choice((f"--{BOUNDARY}--", "", "--x--")).encode()
        )
        kind = f'multipart/related; type="application/dicom"; boundary={random.choice((BOUNDARY,) * 6 + ("", "x" * 300, chr(34)))}'
        return _request("POST", f"{WEB}/studies", body, kind)


def target(folder: Path, canary: Canary) -> Http:
    """The running service."""
    with ExitStack() as stack:
        running = stack.enter_context(service(folder / "service"))
        instance = write_series(folder / "base", np.zeros((1, 8, 8), np.int16))[0].read_bytes()
        watched = emptied(folder / "nothing")
        found = Http(running, instance, Spoiler(canary), canary, stack.pop_all(), (folder / "tmp", watched))
    assert found.receive({"request": _request("GET", f"{API}/version", b"", ""), "whole": b"1"})
    return found


def _request(method: str, path: str, body: bytes, kind: str, *headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers]
    if kind:
        lines.append(f"Content-Type: {kind}")
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("utf-8", "surrogatepass") + b"\r\n\r\n" + body


def _mean_path(path: str, random: Random, canary: Canary) -> str:
    """A part of the path or a parameter replaced; quoted, so that it is a path still."""
    if random.random() < 0.45:
        return path
    value = quote(hostile(random, canary).encode("utf-8", "replace")[:3000], safe=random.choice(("", "/", "/.:")))
    where, _, asked = path.partition("?")
    how = random.random()
    if how < 0.4 or not asked:
        pieces = where.split("/")
        pieces[random.randrange(1, len(pieces))] = value
        return "/".join(pieces) + (f"?{asked}" if asked else "")
    if how < 0.7:
        return f"{where}?{asked.split('=')[0]}={value}"
    return (
        f"{where}?{asked}&{random.choice(('limit', 'offset', 'fuzzymatching', 'includefield', 'after', value))}={value}"
    )


def _exchange(port: int, request: bytes, *, whole: bool) -> bytes:
    """What comes back until the peer closes; what was no whole request is then said to be all."""
    answer = b""
    with connected(port) as connection:
        with suppress(ConnectionError, BrokenPipeError):
            connection.sendall(request)
        connection.settimeout(ANSWER_S if whole else SHORT_S)
        try:
            answer = _read(connection)
        except TimeoutError:
            if whole and b"text/event-stream" not in answer and not _streams(request):
                raise WrongError(f"no answer in {ANSWER_S} s to {request[:300]!r}") from None
    return answer


def _read(connection: socket.socket) -> bytes:
    answer = b""
    with suppress(ConnectionError):
        while piece := connection.recv(1 << 16):
            answer += piece
            if b"text/event-stream" in answer[:2000] or len(answer) > 1 << 24:
                break  # a stream of events has no end
    return answer


def _streams(request: bytes) -> bool:
    return b"Expect:" in request or b"Upgrade:" in request


def _status(answer: bytes) -> int:
    line = answer[:13].split()
    return int(line[1]) if len(line) > 1 and line[1].isdigit() else 0


def _line(random: Random, valid: bytes) -> bytes:
    """A request line that is none."""
    rest = valid.split(b"\r\n", 1)[-1]
    lines = (
        b"", b"GET", b"GET /", b"GET / HTTP/9.9", b"GET / HTTP/1.1 extra", b"GET\t/\tHTTP/1.1", b"/ GET HTTP/1.1", b"GET /\0 HTTP/1.1",
        b"GET http://evil.example/ HTTP/1.1", b"GET //evil.example/ HTTP/1.1", b"GET /../../etc/passwd HTTP/1.1", b"GET /%00 HTTP/1.1",
        b"GET /" + b"a" * random.choice((10, 70_000, 300_000)) + b" HTTP/1.1", b"CONNECT evil.example:443 HTTP/1.1", b"GET * HTTP/1.1",
        b"PRI * HTTP/2.0", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60), b"GET /\xff\xfe HTTP/1.1", b"\r\n\r\n\r\nGET / HTTP/1.1",
    )  # fmt: skip
    return random.choice(lines) + b"\r\n" + rest


def _header(random: Random, valid: bytes) -> bytes:
    """Headers that contradict each other, are too many or too long."""
    line, rest = valid.split(b"\r\n", 1)
    added = [random.choice(HEADERS).encode("latin-1", "replace") for _ in range(random.choice((1, 1, 2, 4)))]
    if random.random() < 0.15:
        added.append(
            random.choice(
                (b"X: " + b"a" * 100_000, b"a: b\r\n" * 5000, b" folded", b"no colon", b": empty", b"a\0b: c")
            )
        )
    return line + b"\r\n" + b"\r\n".join(added) + b"\r\n" + rest


def _chunked(random: Random, valid: bytes) -> bytes:
    """Chunks whose sizes lie."""
    sizes = (
        b"0",
        b"5",
        b"FFFFFFFF",
        b"FFFFFFFFFFFFFFFFF",
        b"-1",
        b"5;a=" + b"b" * 20000,
        b" 5",
        b"0x5",
        b"5 5",
        b"",
        b"zz",
        b"00000000000000000005",
    )
    body = b"".join(
        random.choice(sizes) + b"\r\nhello" + random.choice((b"\r\n", b"", b"\n"))
        for _ in range(random.choice((1, 3, 300)))
    )
    head = _request("POST", f"{API}/jobs", b"", "application/json", "Transfer-Encoding: chunked")
    if random.random() < 0.7:
        head = head.replace(b"Content-Length: 0\r\n", b"")
    return (
        head + body + random.choice((b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"", b"0\r\n" + b"X: y\r\n" * 5000 + b"\r\n"))
    )


def _pipelined(random: Random, valid: bytes) -> bytes:
    """Several requests at once, one within the body of another."""
    several = valid.replace(b"Connection: close\r\n", b"") * random.choice((2, 10, 60))
    return random.choice((several, several[:-1], valid + several, b"\r\n".join([valid] * 5)))


def _compressed(random: Random, valid: bytes) -> bytes:
    """A body that says it is compressed: few bytes for many."""
    body = zlib.compress(b'{"a": "' + b"x" * random.choice((100, 1 << 22)) + b'"}')
    return _request("POST", f"{API}/jobs", body, "application/json", "Content-Encoding: deflate")


def _socket(random: Random, valid: bytes) -> bytes:
    """A WebSocket (RFC 6455) whose frames are wrong."""
    head = (f"GET {WEB}/subscribers/{random.choice(('WATCHER', 'A' * 17, '%00', '..'))} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")  # fmt: skip
    frames = (
        b"\x81\xff" + b"\xff" * 8,
        b"\x81\x7f" + bytes(8),
        b"\x88\x80\0\0\0\0",
        b"\xff\xff",
        b"\x81\x85\0\0\0\0hello",
        random.randbytes(60),
    )
    return head.encode() + b"".join(random.choice(frames) for _ in range(random.choice((0, 1, 5))))


_RAW: tuple[Callable[[Random, bytes], bytes], ...] = (
    _line,
    _line,
    _header,
    _header,
    _header,
    _chunked,
    _chunked,
    _pipelined,
    _compressed,
    _socket,
)
