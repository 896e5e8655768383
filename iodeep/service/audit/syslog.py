"""Audit messages on the wire: RFC 5424 as PS3.15 A.6 has it, over TLS (RFC 5425), TCP (RFC 6587, octet counting) or UDP (RFC 5426)."""

from __future__ import annotations

import fcntl
import socket
import ssl
import struct
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from urllib.parse import urlsplit

from iodeep.errors import SettingsError
from iodeep.serve_settings import AuditSettings
from iodeep.service.audit.event import Outcome
from iodeep.service.audit.message import as_xml
from iodeep.service.audit.reading import RecordedEvent
from iodeep.settings import TlsSettings
from pacs_bridge.dimse.tls import client_context

_FACILITY = 10
"""Security and authorization messages (RFC 5424, 6.2.1; PS3.15 A.6)."""
_SEVERITY = {Outcome.SUCCESS: 5, Outcome.MINOR_FAILURE: 4, Outcome.SERIOUS_FAILURE: 3}
_MESSAGE_ID = "DICOM+RFC3881"
_PORTS = {"tls": 6514, "tcp": 514, "udp": 514}
_TIMEOUT_S = 10.0
_LOOK_S = 0.01


def as_syslog(recorded: RecordedEvent, site: str) -> bytes:
    """One message, its text in UTF-8 behind a byte order mark (RFC 5424, 6.4)."""
    event = recorded.event
    _, _, where = recorded.process.partition("@")
    host, _, process = where.rstrip("]").partition("[")
    priority = _FACILITY * 8 + _SEVERITY[event.outcome]
    header = f"<{priority}>1 {event.when.isoformat(timespec='milliseconds')} {host} IODeep {process} {_MESSAGE_ID} - "
    return header.encode("ascii", "replace") + b"\xef\xbb\xbf" + as_xml(recorded, site)


class Sender(Protocol):
    """A way to a receiver."""

    def send(self, messages: list[bytes]) -> None:
        """Returns once the other machine has them, as far as that can be known. Errors: OSError."""

    def check_alive(self) -> None:
        """Errors: OSError where the receiver is gone."""


@contextmanager
def connected(settings: AuditSettings) -> Iterator[Sender]:
    """A connection to the receiver of the settings.

    Errors: OSError where it can't be had; :class:`iodeep.errors.SettingsError` for a URL or a file that is wrong.
    """
    scheme, host, port = target_of(settings.syslog)
    if scheme == "udp":
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as made:
            made.connect(address)
            yield _Datagrams(made)
        return
    with socket.create_connection((host, port), timeout=_TIMEOUT_S) as plain:
        if scheme == "tcp":
            yield _Stream(plain, plain)
            return
        files = TlsSettings(ca=settings.syslog_ca, certificate=settings.syslog_certificate, key=settings.syslog_key)
        with client_context(files).wrap_socket(plain, server_hostname=host) as secured:
            yield _Stream(secured, secured)


def target_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. Errors: :class:`iodeep.errors.SettingsError`."""
    try:
        split = urlsplit(url)
        found = (split.scheme, split.hostname or "", split.port or _PORTS[split.scheme])
    except (KeyError, ValueError):
        found = ("", "", 0)
    if not found[1]:
        raise SettingsError(
            "serve.audit.syslog is no receiver",
            expected="tls://host:6514, tcp://host:514 or udp://host:514",
            found=repr(url),
        )
    return found


class _Stream:
    """Octet counting (RFC 5425, 4.3): the length, a space, the message."""

    def __init__(self, stream: socket.socket, plain: socket.socket) -> None:
        self._stream = stream
        self._plain = plain

    def send(self, messages: list[bytes]) -> None:
        self._stream.sendall(b"".join(b"%d %s" % (len(each), each) for each in messages))
        until = time.monotonic() + _TIMEOUT_S
        while self._unacknowledged():
            if time.monotonic() > until:
                raise TimeoutError("the syslog receiver takes nothing")
            time.sleep(_LOOK_S)

    def check_alive(self) -> None:
        self._stream.settimeout(0.0)
        try:
            if not self._stream.recv(1024):
                raise ConnectionResetError("the syslog receiver closed the connection")
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        finally:
            self._stream.settimeout(_TIMEOUT_S)

    def _unacknowledged(self) -> int:
        """Bytes that the other machine has not acknowledged yet (tcp(7), SIOCOUTQ)."""
        answer = fcntl.ioctl(self._plain.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
        return int(struct.unpack("i", answer)[0])


class _Datagrams:
    """One message in each; nobody knows whether it comes."""

    def __init__(self, made: socket.socket) -> None:
        self._socket = made

    def send(self, messages: list[bytes]) -> None:
        for each in messages:
            self._socket.send(each)

    def check_alive(self) -> None:
        """Datagrams have no other side that could be gone."""
