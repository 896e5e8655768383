"""The listener: a Storage and Verification SCP (PS3.4 Annexes A and B), a thread for each association.

Nothing that a peer does ends it, or holds more than one bounded place in it.
"""

from __future__ import annotations

import itertools
import logging
import socket
import threading
import time
from typing import Protocol, Self

from iodeep.errors import ArchiveError, CancelledError, IODeepError
from iodeep.serve_settings import ListenerSettings
from pacs_bridge.dimse import commands
from pacs_bridge.dimse.association import Association, ReleasedError
from pacs_bridge.dimse.commands import Command
from pacs_bridge.dimse.diagnosis import Parties
from pacs_bridge.dimse.negotiation import RejectedError, Rejection, accept
from pacs_bridge.dimse.tls import listener_context
from pacs_bridge.dimse.wire import listening, secured
from pacs_bridge.listener.contexts import choose
from pacs_bridge.listener.incoming import IncomingInstance, Refusal
from pacs_bridge.listener.instance import Received
from pacs_bridge.listener.pace import Pace
from pacs_bridge.listener.room import Room
from pacs_bridge.listener.spool import Spool
from pacs_bridge.listener.visitors import Visitors

_LOG = logging.getLogger(__name__)
_NEGOTIATION_S = 30.0
"""The longest that asking for an association may take (PS3.8 9.1.5, the ARTIM timer)."""
_UNRECOGNIZED_OPERATION = 0x0211
_MOST_IDENTIFIER = 1 << 16
"""Bytes of a data set that belongs to no C-STORE; it is refused anyway."""
_NEEDED = ("MessageID", "AffectedSOPClassUID")


class Events(Protocol):
    """Who is told what happens, in the thread that it happens in; raising ends that association."""

    def received(self, instance: Received, /) -> None:
        """An instance is durable in the spool; it is answered with Success afterwards."""

    def refused(self, sender: str, address: str, reason: str, /) -> None:
        """A connection, an association or an instance was refused."""


class Listener:
    """Listens from ``with`` to its end; it writes to a spool that is its own."""

    def __init__(self, settings: ListenerSettings, spool: Spool, room: Room, events: Events) -> None:
        self._settings = settings
        self._spool = spool
        self._room = room
        self._events = events
        self._visitors = Visitors(settings)
        self._tls = listener_context(settings.tls) if settings.tls else None
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, socket.socket] = {}
        self._numbers = itertools.count(1)
        self._socket: socket.socket | None = None
        self._door: threading.Thread | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._socket is not None
        return int(self._socket.getsockname()[1])

    @property
    def associations(self) -> int:
        """How many are open."""
        return self._visitors.associations

    @property
    def accepted(self) -> int:
        """How many have been accepted since the start."""
        return self._visitors.accepted

    def __enter__(self) -> Self:
        self._spool.claim()
        try:
            self._socket = listening(
                (self._settings.bind, self._settings.port),
                "associations",
                "Set serve.listener.bind to an address of this machine and serve.listener.port to a free port.",
            )
        except BaseException:
            self._spool.release()
            raise
        self._door = threading.Thread(target=self._listen, name="listener", daemon=True)
        self._door.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self.close()

    def close(self, drain_s: float = 0.0) -> None:
        """Take no more, let the messages under way come to their end for so long, then end what is left."""
        if self._socket is None or self._door is None:
            return
        self._closing.set()
        _shut(self._socket)
        self._door.join()
        self._socket.close()
        self._socket = None
        ends = time.monotonic() + drain_s
        for thread in self._threads():
            thread.join(max(ends - time.monotonic(), 0.2))
        with self._lock:
            for connection in self._open.values():
                _shut(connection)
        for thread in self._threads():
            thread.join()
        self._spool.release()

    def _threads(self) -> list[threading.Thread]:
        with self._lock:
            return list(self._open)

    def _listen(self) -> None:
        assert self._socket is not None
        while not self._closing.is_set():
            try:
                connection, address = self._socket.accept()
            except TimeoutError:
                continue
            except OSError as error:
                if self._closing.wait(0.1):
                    return
                _LOG.warning("no connection can be taken at this moment: %s", error)  # too many open files
                continue
            try:
                self._welcome(connection, str(address[0]), int(address[1]))
            except Exception:  # one connection: no more threads, or nobody to tell
                _LOG.exception("a connection from %s could not be served", address[0])
                connection.close()

    def _welcome(self, connection: socket.socket, address: str, port: int) -> None:
        if not self._visitors.knock(address):
            connection.close()
            self._told_refused("", address, "its address may not connect, or too many connections are open")
            return
        thread = threading.Thread(
            target=self._serve, args=(connection, address, port), name=f"from {address}", daemon=True
        )
        with self._lock:
            self._open[thread] = connection
        try:
            thread.start()
        except RuntimeError:
            with self._lock:
                del self._open[thread]
            self._visitors.leave()
            raise

    def _serve(self, connection: socket.socket, address: str, port: int) -> None:
        """One association; whatever goes wrong on it ends it alone."""
        try:
            self._associated(connection, address, port)
        except (ReleasedError, CancelledError) as error:
            _LOG.debug("an association with %s ended: %s", address, error)
        except RejectedError as error:
            self._told_refused("", address, error.problem)
        except IODeepError as error:
            _LOG.warning("an association with %s was ended: %s", address, error)
        except Exception:  # one association
            _LOG.exception("an association with %s was ended", address)
        finally:
            connection.close()
            self._visitors.leave()
            with self._lock:
                del self._open[threading.current_thread()]

    def _associated(self, connection: socket.socket, address: str, port: int) -> None:
        pace = Pace(self._settings.idle_s, self._closing)
        pace.renew(min(_NEGOTIATION_S, self._settings.idle_s))
        parties = Parties("a sender", "", self._settings.aet, address, port)
        admitted: list[None] = []

        def admit(calling: str, called: str) -> Rejection | None:
            rejection = self._visitors.admit(calling, called)
            if rejection is None:
                admitted.append(None)
            return rejection

        try:
            if self._tls is not None:
                connection = secured(connection, self._tls, str(parties), pace, host=None)
                with self._lock:
                    self._open[threading.current_thread()] = connection
            with accept(connection, parties, pace, admit=admit, choose=choose) as association:
                self._serve_messages(association, pace)
        finally:
            connection.close()
            if admitted:
                self._visitors.part()

    def _serve_messages(self, association: Association, pace: Pace) -> None:
        while True:
            pace.renew()
            association.wire.doing = "receiving (C-STORE)"
            instance = IncomingInstance(
                self._spool,
                self._room,
                association.parties.called,
                self._settings.max_instance_bytes,
                f"{next(self._numbers)}",
            )
            try:
                message = association.receive(instance.begin, most_identifier=_MOST_IDENTIFIER)
                if missing := [keyword for keyword in _NEEDED if message.command.get(keyword) is None]:
                    raise ArchiveError(f"{association.parties} sent a command without {' and '.join(missing)}")
                status, comment = commands.SUCCESS, ""
                if message.field == Command.C_STORE_RQ:
                    status, comment = self._stored(instance, association)
                elif message.field != Command.C_ECHO_RQ:
                    status, comment = _UNRECOGNIZED_OPERATION, "storage and verification only"
            finally:
                instance.drop()
            association.send(message.context, commands.response(message.command, status, comment))

    def _stored(self, instance: IncomingInstance, association: Association) -> tuple[int, str]:
        outcome = instance.finish()
        if isinstance(outcome, Refusal):
            parties = association.parties
            self._told_refused(parties.called, parties.host, f"{outcome.comment} (0x{outcome.status:04X})")
            return outcome.status, outcome.comment
        self._events.received(outcome)
        return commands.SUCCESS, ""

    def _told_refused(self, sender: str, address: str, reason: str) -> None:
        _LOG.warning("refused %s at %s: %s", sender or "a peer", address, reason)
        self._events.refused(sender, address, reason)


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        _LOG.debug("a connection had ended")
