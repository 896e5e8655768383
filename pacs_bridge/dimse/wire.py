"""A TCP or TLS connection on which every wait is bounded, cancellable and counted as a sign of life when bytes move.

Small messages go out at once and are acknowledged at once: Nagle's algorithm against delayed acknowledgements costs
40 ms a message otherwise.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import ssl
from collections.abc import Callable

from iodeep.errors import ArchiveUnreachableError, SettingsError
from pacs_bridge.dimse.watch import POLL_S, Watch

_BUFFER = 1 << 20
_Selector = getattr(selectors, "PollSelector", selectors.DefaultSelector)
"""One call to the system, where the default one on Linux makes, fills and closes a descriptor of its own."""
_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)
"""Linux only; elsewhere a small answer may take 40 ms more."""


class Wire:
    """Bytes to and from one peer. ``doing`` is what messages say we were at when something broke."""

    def __init__(self, connection: socket.socket, peer: str, watch: Watch) -> None:
        connection.settimeout(POLL_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        self._memory = memoryview(bytearray(_BUFFER))
        self._start = self._end = 0
        self._torn = False
        self.peer = peer
        self.watch = watch
        self.doing = "talking"

    def take(self, count: int) -> memoryview:
        """Exactly ``count`` bytes, valid until the next call."""
        if count > _BUFFER:
            raise self._lost(f"announced {count} bytes where {_BUFFER} is the most that makes sense")
        while self._end - self._start < count:
            self._fill()
        return self._cut(count)

    def some(self, most: int) -> memoryview:
        """Between one and ``most`` bytes, whatever is there, valid until the next call."""
        if self._start == self._end:
            self._fill()
        return self._cut(min(most, self._end - self._start))

    def send(self, content: bytes | bytearray | memoryview) -> None:
        """All of ``content``; each piece that the connection takes is a sign of life."""
        rest = memoryview(content)
        self._torn = True
        while rest:
            self.watch.ask(self.doing)
            rest = rest[self._patiently(lambda part=rest: self._socket.send(part)) :]  # type: ignore[misc]
        self._torn = False

    def last_word(self, content: bytes) -> None:
        """Try to send a few bytes before closing; in the middle of a PDU they would be taken for its content."""
        if not self._torn:
            with contextlib.suppress(OSError):
                self._socket.send(content)

    def is_quiet(self) -> bool:
        """Whether nothing has come in unasked: an idle peer that speaks has aborted, released or closed."""
        try:
            return self._start == self._end and not _is_ready(self._socket, selectors.EVENT_READ, 0)
        except (OSError, ValueError):
            return False

    def close(self) -> None:
        """Close; both directions at once, so that a peer in the middle of sending notices."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _cut(self, count: int) -> memoryview:
        cut = self._memory[self._start : self._start + count]
        self._start += count
        return cut

    def _fill(self) -> None:
        """Read what is there behind what is left, which moves to the front first."""
        left = self._end - self._start
        if self._start:
            self._memory[:left] = self._memory[self._start : self._end]
            self._start, self._end = 0, left
        if _QUICK_ACK is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
        self.watch.ask(self.doing)
        count = self._patiently(lambda: self._socket.recv_into(self._memory[self._end :]))
        if count == 0:
            raise self._lost("closed the connection")
        self._end += count

    def _patiently(self, step: Callable[[], int]) -> int:
        while True:
            try:
                count = step()
            except (TimeoutError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                self.watch.check(self.peer, self.doing)
            except OSError as error:
                raise self._lost(f"broke the connection ({error.strerror or error})") from error
            else:
                self.watch.touch(count)
                return count

    def _lost(self, what: str) -> ArchiveUnreachableError:
        return ArchiveUnreachableError(
            f"{self.peer} {what} while {self.doing}",
            remedy="Look into the archive's log for this moment, then try again.",
        )


def connect(host: str, port: int, peer: str, watch: Watch) -> socket.socket:
    """A connection to the first address of ``host`` that takes one (IPv4 or IPv6); cancellable while it waits."""
    doing = f"connecting to {host}:{port}"
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ArchiveUnreachableError(
            f"{peer} cannot be found: the host name {host!r} has no address ({error.strerror})",
            remedy="Check the host in iodeep.toml or the URL, and this machine's DNS.",
        ) from error
    failure: OSError | None = None
    for family, kind, protocol, _, address in addresses:
        candidate = socket.socket(family, kind, protocol)
        try:
            return _connected(candidate, address, lambda: watch.check(peer, doing))
        except OSError as error:
            candidate.close()
            failure = error
        except BaseException:
            candidate.close()
            raise
    raise ArchiveUnreachableError(
        f"nothing answers at {host}:{port} for {peer} ({failure and failure.strerror})",
        expected="a DICOM service that listens there",
        remedy="Check host and port, that the archive runs, and that no firewall stands between.",
    )


def listening(address: tuple[str, int], what: str, remedy: str) -> socket.socket:
    """A socket that takes connections at ``address`` (port 0: any free one); its accept waits for :data:`POLL_S`."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"we cannot listen for {what} at {address[0]}:{address[1]}: {error.strerror}", remedy=remedy
        ) from error
    listener.settimeout(POLL_S)
    return listener


def _connected(connection: socket.socket, address: object, check: Callable[[], None]) -> socket.socket:
    connection.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        connection.connect(address)  # type: ignore[arg-type]
    while not _is_ready(connection, selectors.EVENT_WRITE, POLL_S):
        check()
    error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))
    return connection


def _is_ready(connection: socket.socket, event: int, seconds: float) -> bool:
    with _Selector() as selector:
        selector.register(connection, event)
        return bool(selector.select(seconds))


def secured(
    connection: socket.socket, context: ssl.SSLContext, peer: str, watch: Watch, *, host: str | None
) -> ssl.SSLSocket:
    """The connection under TLS; ``host`` is the name that the peer's certificate has to bear, None for our own side."""
    connection.settimeout(POLL_S)
    wrapped = context.wrap_socket(
        connection, server_hostname=host, server_side=host is None, do_handshake_on_connect=False
    )
    while True:
        try:
            wrapped.do_handshake()
        except (TimeoutError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            watch.check(peer, "agreeing on TLS")
        except (ssl.SSLError, OSError) as error:
            wrapped.close()
            raise _no_tls(peer, error) from error
        except BaseException:
            wrapped.close()
            raise
        else:
            return wrapped


def _no_tls(peer: str, error: OSError) -> ArchiveUnreachableError:
    return ArchiveUnreachableError(
        f"{peer} and we found no TLS connection to agree on ({getattr(error, 'verify_message', '') or error.strerror or error})",
        expected="TLS 1.2 or later, a certificate that our CA signed and that bears the host's name",
        remedy="Set tls.ca to the CA of the archive's certificate, and tls.certificate and tls.key where it asks for ours.",
    )
