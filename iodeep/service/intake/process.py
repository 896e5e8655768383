"""The intake process: the listener, the completion of series, and a thread for each archive that is asked on a schedule."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack, closing, suppress

from iodeep.service.audit import AuditSink
from iodeep.service.intake.alerts import Alerts
from iodeep.service.intake.arriving import Arrivals
from iodeep.service.intake.asking import Asking
from iodeep.service.intake.counting import Counting
from iodeep.service.intake.intake import Intake
from iodeep.service.intake.polling import Poller
from iodeep.service.intake.sources import source_of
from iodeep.service.intake_counters import IntakeCounters, write_counters
from iodeep.service.serving import ServeContext
from pacs_bridge.listener import Listener, Received, Room, Spool

_LOG = logging.getLogger(__name__)
TURN_S = 1.0
_COUNTERS_EVERY = 5
"""Turns between two writings of the counters."""
_DRAIN_S = 10.0
"""How long messages that are under way may take to their end when the process stops."""


def run_intake(context: ServeContext) -> None:
    """Run until ``context.stop``; raises where the listener cannot be opened (:class:`~iodeep.errors.IODeepError`)."""
    with ExitStack() as stack:
        pollers = [
            stack.enter_context(_running(Poller(settings, context), context.stop)) for settings in context.serve.polls
        ]
        if context.serve.listener.enabled:
            _listen(context, stack)
        else:
            context.announce({"polls": str(len(pollers))})
            context.stop.wait()


def _listen(context: ServeContext, stack: ExitStack) -> None:
    settings, serve = context.settings, context.serve
    spool = Spool(context.folders.spool)
    room = Room(spool.root, serve.arrivals.least_free_bytes, serve.arrivals.most_bytes)
    arrivals = Arrivals(serve.arrivals)
    audit = context.open_audit()
    counted = _Counted(arrivals, audit)
    asking = stack.enter_context(closing(Asking(context.open_board)))
    intake = Intake(settings, spool, room, arrivals, asking, audit)
    spool.claim()
    intake.recover()
    counting: Counting | None = None
    if serve.arrivals.ask_pacs_for_count:
        counting = stack.enter_context(
            closing(Counting(arrivals, lambda sender: source_of(settings, sender), context.open_archive))
        )
    listener = stack.enter_context(Listener(serve.listener, spool, room, counted))
    context.announce({"dicom": f"{serve.listener.aet}@{serve.listener.bind}:{listener.port}"})
    turns = 0
    while not context.stop.wait(TURN_S):
        if counting is not None:
            counting.ask()
        intake.turn()
        if turns % _COUNTERS_EVERY == 0:
            with suppress(OSError):  # a full disk; the intake itself has said so
                write_counters(context.folders.running, counted.snapshot(listener, intake, room))
        turns += 1
    listener.close(_DRAIN_S)


class _Counted:
    """What the listener tells: counted, and handed on."""

    def __init__(self, arrivals: Arrivals, audit: AuditSink) -> None:
        self._arrivals = arrivals
        self._alerts = Alerts(audit)
        self._lock = threading.Lock()
        self._instances = self._bytes = self._refused = 0

    def received(self, instance: Received, /) -> None:
        """A durable instance; one that was there already changes nothing."""
        with self._lock:
            self._instances += 1
            self._bytes += instance.bytes
        if instance.new:
            self._arrivals.arrived(instance)

    def refused(self, sender: str, address: str, reason: str, /) -> None:
        """An alert."""
        with self._lock:
            self._refused += 1
        self._alerts.refused(sender, address, reason)

    def snapshot(self, listener: Listener, intake: Intake, room: Room) -> IntakeCounters:
        """What others read."""
        with self._lock:
            return IntakeCounters(
                associations=listener.accepted,
                associations_open=listener.associations,
                instances=self._instances,
                bytes=self._bytes,
                refused=self._refused,
                series_complete=intake.complete,
                series_waiting=len(self._arrivals),
                spool_bytes=room.held,
            )


class _running:  # noqa: N801 - reads as a statement
    """A poller in a thread of its own, which has ended when the block has."""

    def __init__(self, poller: Poller, stop: threading.Event) -> None:
        self._stop = stop
        self._thread = threading.Thread(target=poller.run, args=(stop,), name=f"polling {poller.name}", daemon=True)

    def __enter__(self) -> _running:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self._stop.set()
        self._thread.join(_DRAIN_S)
