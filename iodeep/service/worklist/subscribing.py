"""Who hears of which steps (PS3.4 table CC.2.3-2), and the reports that wait for them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import datetime

import sqlalchemy as sa

from iodeep.errors import InputError
from iodeep.service.jobs.database import answering
from iodeep.service.worklist import events
from iodeep.service.worklist.documents import Document
from iodeep.service.worklist.searching import fits, search_of
from iodeep.service.worklist.tables import reports, subscriptions, workitems

GLOBAL = "1.2.840.10008.5.1.4.34.5"
FILTERED = "1.2.840.10008.5.1.4.34.5.1"
WAITS_S = 3600.0
"""How long a report waits for its subscriber to connect."""


class NoSubscriptionError(InputError):
    """There is no such subscription, or no such step to subscribe to."""


class Subscriptions:
    """Subscriptions and waiting reports; the statements of others' transactions are given their connection."""

    def __init__(self, engine: sa.Engine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock

    def subscribe(self, aet: str, uid: str, *, lock: bool, keys: str = "") -> None:
        """To a step, or, under a well-known UID, to all, or to those that fit ``keys`` (a query string)."""
        with answering(self._engine), self._engine.begin() as connection:
            if uid in (GLOBAL, FILTERED):
                self._put(connection, aet, uid, lock=lock, keys=keys)
                self._subscribe_to_all(connection, aet, lock=lock, keys=keys)
                return
            document = self._document(connection, uid)
            self._put(connection, aet, uid, lock=lock)
            self._report(connection, aet, events.state_report(uid, document))

    def unsubscribe(self, aet: str, uid: str) -> None:
        """From a step; under a well-known UID from everything. Raises :class:`NoSubscriptionError`."""
        mine = subscriptions.c.aet == aet
        one = mine if uid in (GLOBAL, FILTERED) else sa.and_(mine, subscriptions.c.uid == uid)
        self._delete(one, aet, uid)

    def suspend(self, aet: str, uid: str) -> None:
        """No new steps; those that are subscribed to stay so."""
        self._delete(sa.and_(subscriptions.c.aet == aet, subscriptions.c.uid == uid), aet, uid)

    def anybody(self, uid: str) -> bool:
        """Whether somebody hears of the step."""
        with answering(self._engine), self._engine.begin() as connection:
            return bool(self._hearers(connection, uid))

    def waiting(self, aet: str, most: int = 100) -> list[tuple[int, str]]:
        """The oldest reports for an AE with their numbers; what waited too long is passed over."""
        with answering(self._engine), self._engine.begin() as connection:
            fresh = sa.and_(reports.c.aet == aet, reports.c.made >= time.time() - WAITS_S)
            query = sa.select(reports.c.number, reports.c.report).where(fresh)
            found = connection.execute(query.order_by(reports.c.number).limit(most))
            return [(row.number, row.report) for row in found]

    def sent(self, number: int) -> None:
        """A report has reached its subscriber's connection."""
        with answering(self._engine), self._engine.begin() as connection:
            connection.execute(reports.delete().where(reports.c.number == number))

    def announce_restart(self) -> None:
        """SCP Status Change to everybody who subscribed to anything (PS3.4 CC.2.4.3)."""
        with answering(self._engine), self._engine.begin() as connection:
            for (aet,) in connection.execute(sa.select(subscriptions.c.aet).distinct()):
                self._report(connection, aet, events.scp_status("RESTARTED", GLOBAL))

    def created(self, connection: sa.Connection, uid: str, document: Document) -> None:
        """A step is new: those who asked for all, or for such as this, hear of it from now on."""
        worldwide = sa.select(subscriptions).where(subscriptions.c.uid.in_((GLOBAL, FILTERED)))
        for row in list(connection.execute(worldwide)):
            if _wanted(row.filter, document):
                self._put(connection, row.aet, uid, lock=row.lock)
                for report in events.of_creation(uid, document):
                    self._report(connection, row.aet, report)

    def tell(self, connection: sa.Connection, uid: str, found: Sequence[Document]) -> None:
        """Reports to all who subscribed to the step."""
        for aet in self._hearers(connection, uid) if found else ():
            for report in found:
                self._report(connection, aet, report)

    def locked(self, connection: sa.Connection, uid: str) -> bool:
        """Whether somebody holds a deletion lock."""
        held = sa.and_(subscriptions.c.uid == uid, subscriptions.c.lock)
        return connection.execute(sa.select(subscriptions.c.aet).where(held)).first() is not None

    def forget(self, connection: sa.Connection, uid: str) -> None:
        """The step is deleted."""
        connection.execute(subscriptions.delete().where(subscriptions.c.uid == uid))

    def drop_old(self, connection: sa.Connection) -> None:
        """Reports that nobody came for."""
        connection.execute(reports.delete().where(reports.c.made < time.time() - WAITS_S))

    def _subscribe_to_all(self, connection: sa.Connection, aet: str, *, lock: bool, keys: str) -> None:
        """To the steps that are there, where nothing else was said of one; with a lock, each state is reported."""
        mine = {row.uid for row in connection.execute(sa.select(subscriptions.c.uid).where(subscriptions.c.aet == aet))}
        query = sa.select(workitems.c.uid, workitems.c.document).where(~workitems.c.gone)
        for row in list(connection.execute(query)):
            document = json.loads(row.document)
            if row.uid in mine or not _wanted(keys, document):
                continue
            self._put(connection, aet, row.uid, lock=lock)
            if lock:
                self._report(connection, aet, events.state_report(row.uid, document))

    def _document(self, connection: sa.Connection, uid: str) -> Document:
        query = sa.select(workitems.c.document).where(workitems.c.uid == uid, ~workitems.c.gone)
        row = connection.execute(query).first()
        if row is None:
            raise NoSubscriptionError(f"the workitem {uid} does not exist")
        document: Document = json.loads(row.document)
        return document

    def _hearers(self, connection: sa.Connection, uid: str) -> list[str]:
        query = sa.select(subscriptions.c.aet).where(subscriptions.c.uid == uid).order_by(subscriptions.c.aet)
        return [row.aet for row in connection.execute(query)]

    def _put(self, connection: sa.Connection, aet: str, uid: str, *, lock: bool, keys: str = "") -> None:
        here = sa.and_(subscriptions.c.aet == aet, subscriptions.c.uid == uid)
        connection.execute(subscriptions.delete().where(here))
        connection.execute(subscriptions.insert().values(aet=aet, uid=uid, lock=lock, filter=keys))

    def _report(self, connection: sa.Connection, aet: str, report: Document) -> None:
        connection.execute(reports.insert().values(aet=aet, made=time.time(), report=json.dumps(report)))

    def _delete(self, which: sa.ColumnElement[bool], aet: str, uid: str) -> None:
        with answering(self._engine), self._engine.begin() as connection:
            if not connection.execute(subscriptions.delete().where(which)).rowcount:
                raise NoSubscriptionError(f"{aet} has no subscription to {uid}")


def _wanted(keys: str, document: Document) -> bool:
    """Whether a step fits a filter: ``KEY=VALUE`` with commas between (PS3.18 11.10.1.2); an empty one fits all."""
    return not keys or fits(document, search_of(filter_of(keys)).keys)


def filter_of(keys: str) -> list[tuple[str, str]]:
    """A filter's matching keys; raises :class:`iodeep.errors.InputError`."""
    pairs = [part.partition("=") for part in keys.split(",") if part]
    if not pairs or any(not mark or not name for name, mark, _ in pairs):
        raise InputError("the filter is ill-formed", expected="filter=KEY=VALUE, more with commas between", found=keys)
    return [(name.strip(), value.strip()) for name, _, value in pairs]
