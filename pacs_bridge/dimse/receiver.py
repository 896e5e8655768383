"""Our own storage SCP for the sub-operations of a C-MOVE (PS3.4 C.4.2.2.2), listening only while one is under way.

It takes associations that call it by our AE title, and of those only the instances that the C-MOVE asked for.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from typing import Self

from iodeep.errors import IODeepError, LocalStorageError
from pacs_bridge.dimse import commands
from pacs_bridge.dimse.arrivals import Arrivals
from pacs_bridge.dimse.commands import Command
from pacs_bridge.dimse.diagnosis import Parties
from pacs_bridge.dimse.negotiation import accept
from pacs_bridge.dimse.watch import Watch
from pacs_bridge.dimse.wire import listening, secured

_LOG = logging.getLogger(__name__)


class Receiver:
    """Listens at ``address``; each association is served by a thread that ends with the ``with`` block."""

    def __init__(
        self, address: tuple[str, int], parties: Parties, arrivals: Arrivals, watch: Watch, tls: ssl.SSLContext | None
    ) -> None:
        self._parties = parties
        self._arrivals = arrivals
        self._watch = watch
        self._tls = tls
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._connections: list[socket.socket] = []
        self._listener = listening(
            address,
            "C-MOVE sub-operations",
            "Set move_bind to an address of this machine and move_port to a free port that the archive knows.",
        )

    def __enter__(self) -> Self:
        self._start(self._listen)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self._closing.set()
        for connection in (self._listener, *self._connections):
            _shut(connection)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, name="C-MOVE receiver", daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                connection, address = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:  # shut down by our own end of the block
                return
            _LOG.debug("an association for C-MOVE sub-operations from %s", address[0])
            self._connections.append(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        """One association; whatever goes wrong on it ends it alone, but for our own disk, which ends the retrieve."""
        try:
            if self._tls is not None:
                connection = secured(connection, self._tls, str(self._parties), self._watch, host=None)
            with accept(connection, self._parties, self._watch) as association:
                association.wire.doing = "receiving instances (C-MOVE)"
                while not self._closing.is_set():
                    message = self._arrivals.take(association)
                    if message.field == Command.C_ECHO_RQ:
                        association.send(message.context, commands.response(message.command, commands.SUCCESS))
        except LocalStorageError as error:
            self._watch.fail(error)
        except IODeepError as error:
            _LOG.debug("an association for C-MOVE sub-operations ended: %s", error)
        except Exception:  # one association: its instances are then missing, which is told by name
            _LOG.exception("an association for C-MOVE sub-operations ended")
        finally:
            connection.close()


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        _LOG.debug("a connection for C-MOVE sub-operations had ended")
