"""A running service: requests within requests, connections that never end, negotiations without measure; it goes on each time."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import ExitStack

from iodeep.errors import InputError
from tests.hostile.canary import SECRET
from tests.hostile.mutating import pdus
from tests.hostile.serving import Service, connected
from tests.hostile.zoo.ground import Ground
from tests.hostile.zoo.specimen import Cage

CAGE = Cage(served=True)
SLOW = 150
"""Connections at once that say a byte and no more."""


def running(ground: Ground) -> Service:
    """The service."""
    assert ground.service is not None
    return ground.service


def answered(port: int, content: bytes, *, wait: float = 10.0) -> bytes:
    """All that comes back until the connection ends, or nothing more comes."""
    with connected(port, wait) as connection:
        answer = b""
        try:
            connection.sendall(content)
            while piece := connection.recv(1 << 16):
                answer += piece
        except (TimeoutError, ConnectionError):
            pass
    assert SECRET not in answer
    return answer


def _http(name: str, attacks: str, says: str, request: Callable[[Ground], bytes]) -> None:
    @CAGE.keep(f"http-{name}", attacks, InputError, says)
    def attack(ground: Ground) -> None:
        answer = answered(running(ground).http, request(ground), wait=3.0)
        running(ground).check()
        raise InputError(f"the service said {answer[:13].decode('latin-1') or 'nothing'}")


def get(path: str, *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    """A request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


JSON = "Content-Type: application/json"
STOW = 'Content-Type: multipart/related; type="application/dicom"; boundary=x'
_http(
    "smuggled-by-length",
    "confusion: two lengths, of which readers may take either",
    " 400",
    lambda _: get("/api/v1/jobs", "Content-Length: 5", "Content-Length: 50", method="POST", body=b"hello"),
)
_http(
    "smuggled-by-chunks",
    "confusion: a length and chunks",
    " [24]..",
    lambda _: get(
        "/api/v1/health",
        "Content-Length: 4",
        "Transfer-Encoding: chunked",
        method="POST",
        body=b"0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    ),
)
_http(
    "endless-header",
    "memory: a header of a megabyte",
    " 4..|nothing",
    lambda _: get("/api/v1/health", "X: " + "a" * (1 << 20)),
)
_http("many-headers", "memory: 50,000 headers", " 4..|nothing", lambda _: get("/api/v1/health", *["X: y"] * 50_000))
_http(
    "path-upwards",
    "reading: a file beside those of the pages",
    " 404",
    lambda ground: get(f"/console/..%2f..%2f..%2f..{str(ground.canary.secret).replace('/', '%2f')}"),
)
_http("path-with-nul", "reading: a name with a NUL", " 404", lambda _: get("/console/app.js%00.html"))
_http(
    "bulkdata-upwards",
    "reading: bulk data that is a path",
    " [45]..",
    lambda ground: get(f"/dicom-web/studies/1.2/series/1.2/instances/1.2/bulkdata/..%2f..{ground.canary.secret}"),
)
_http(
    "deep-json",
    "stack: JSON 100,000 deep",
    " 4..",
    lambda _: get("/api/v1/jobs", JSON, "Content-Length: 200000", method="POST", body=b"[" * 100_000 + b"]" * 100_000),
)
_http(
    "long-number",
    "time: a JSON number of a million digits",
    " 4..",
    lambda _: get("/api/v1/jobs", JSON, "Content-Length: 1000000", method="POST", body=b"9" * 1_000_000),
)
_http(
    "parts-without-end",
    "memory: a multipart of 200,000 empty parts",
    " 4..",
    lambda _: get("/dicom-web/studies", STOW, "Content-Length: 1000000", method="POST", body=b"--x\r\n" * 200_000),
)
_http(
    "part-header-without-end",
    "memory: a part whose header never ends",
    " 4..",
    lambda _: get(
        "/dicom-web/studies", STOW, "Content-Length: 2000000", method="POST", body=b"--x\r\nA: " + b"b" * 1_999_991
    ),
)
_http(
    "body-too-large",
    "disk: a body beyond the limit",
    " 413",
    lambda _: get("/dicom-web/studies", STOW, "Content-Length: 99999999999", method="POST"),
)
_http(
    "another-host",
    "confusion: a name that isn't ours (DNS rebinding)",
    " 421",
    lambda _: get("/api/v1/version").replace(b"Host: 127.0.0.1", b"Host: evil.example"),
)
_http(
    "tls-in-the-clear",
    "confusion: a TLS hello",
    " 400|nothing",
    lambda _: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(509),
)
_http(
    "subscriber-elsewhere",
    "calling: a subscriber's name that is an address",
    " 4..",
    lambda ground: get(
        f"/dicom-web/workitems/1.2/subscribers/{ground.canary.url.replace('/', '%2f')}",
        "Content-Length: 0",
        method="POST",
    ),
)


@CAGE.keep("slowloris", "time: many requests that never end; others are answered meanwhile")
def _slow(ground: Ground) -> None:
    with ExitStack() as open_ones:
        for port in (running(ground).http, running(ground).dimse):
            for _ in range(SLOW if port == running(ground).http else 30):
                open_ones.enter_context(connected(port)).sendall(b"G")
        running(ground).check()


def _dimse(name: str, attacks: str, says: str, request: bytes, after: bytes = b"") -> None:
    @CAGE.keep(f"dimse-{name}", attacks, InputError, says)
    def attack(ground: Ground) -> None:
        port = running(ground).dimse
        with connected(port) as connection:
            connection.settimeout(8.0)
            try:
                connection.sendall(request)
                answer = connection.recv(1 << 16)
                if after:
                    connection.sendall(after)
                    answer = connection.recv(1 << 16)
            except (ConnectionError, TimeoutError):
                answer = b""
        _echo(port)
        running(ground).check()
        raise InputError(f"the listener answered with a PDU of type {answer[:1].hex() or 'none'}")


def _echo(port: int) -> None:
    said = pdus.command(
        x0002=pdus.uid(pdus.VERIFICATION), x0100=pdus.number(0x30), x0110=pdus.number(7), x0800=pdus.number(0x0101)
    )
    with connected(port, 30.0) as connection:
        connection.sendall(pdus.associate())
        assert connection.recv(1 << 16)[:1] == b"\x02"
        connection.sendall(pdus.data(1, 3, said))
        assert connection.recv(1 << 16)[:1] == b"\x04"


def _store(uid: bytes, content: bytes) -> bytes:
    said = pdus.command(
        x0002=pdus.uid(pdus.CT_IMAGE), x0100=pdus.number(1), x0110=pdus.number(1), x0700=pdus.number(0), x0800=pdus.number(1), x1000=pdus.uid(uid),
    )  # fmt: skip
    return pdus.data(3, 3, said) + pdus.data(3, 2, content)


MANY = [pdus.ITEMS[0], *(pdus.context(2 * n + 1, pdus.VERIFICATION, pdus.EXPLICIT) for n in range(1000)), pdus.ITEMS[3]]
LONG = [pdus.ITEMS[0], pdus.context(1, b"a" * 60_000, b"b"), pdus.ITEMS[3]]
_dimse(
    "thousand-contexts", "memory: presentation contexts without measure", "type (02|03|07|none)", pdus.associate(MANY)
)
_dimse(
    "long-name",
    "time: a SOP class of 60,000 letters, which ends up in the log",
    "type (02|03|07|none)",
    pdus.associate(LONG),
)
_dimse("huge-request", "memory: a request of 4 GiB", "type (07|none)", pdus.pdu(1, b"", 0xFFFF_FFFF))
_dimse("wrong-name", "confusion: called by another's name", "type 03", pdus.associate(called=b"ANOTHER"))
_dimse(
    "huge-data", "memory: data of 4 GiB in one PDU", "type (07|none)", pdus.associate(), pdus.pdu(4, b"", 0xFFFF_FFFF)
)
_dimse(
    "long-fragment",
    "memory: a fragment longer than its PDU",
    "type (07|none)",
    pdus.associate(),
    pdus.data(3, 2, b"", 0xFFFF_FFFF),
)
_dimse(
    "short-fragment",
    "memory: a fragment shorter than its own header",
    "type (07|none)",
    pdus.associate(),
    pdus.pdu(4, struct.pack(">LB", 1, 3)),
)
_dimse(
    "unknown-context",
    "confusion: a context that was never accepted",
    "type (07|none)",
    pdus.associate(),
    pdus.data(99, 3, b"x" * 20),
)
_dimse(
    "endless-command",
    "memory: a command of a megabyte",
    "type (07|none)",
    pdus.associate(),
    pdus.data(3, 1, bytes(16000)) * 70,
)
_dimse(
    "path-as-uid",
    "writing: an instance whose UID is a path",
    "type (04|07|none)",
    pdus.associate(),
    _store(b"../../../../evil", bytes(200)),
)
_dimse(
    "data-without-end",
    "disk: more than an instance may have",
    "type (04|07|none)",
    pdus.associate(),
    _store(b"1.2.3", bytes(8))[:-14] + pdus.data(3, 0, bytes(16000)) * 80,
)
