"""The worklist (PS3.4 CC.2): each request is one transaction, in which the step changes and its reports are written.

A step is changed only from the revision that was read: of two who claim it at once, one wins and the other is told.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from iodeep.errors import InputError
from iodeep.service.jobs.database import answering
from iodeep.service.worklist import events, rules, states
from iodeep.service.worklist.documents import Document, element
from iodeep.service.worklist.searching import Search, fits, shown
from iodeep.service.worklist.states import Answer, State
from iodeep.service.worklist.subscribing import Subscriptions
from iodeep.service.worklist.tables import make_tables, workitems

_TRIES = 20


class NoSuchWorkitemError(InputError):
    """There is no such step, or it is gone."""

    def __init__(self, uid: str, *, gone: bool = False) -> None:
        super().__init__(f"the workitem {uid} {'has been deleted' if gone else 'does not exist'}")
        self.gone = gone


class DuplicateWorkitemError(InputError):
    """The step is there already."""


@dataclass(frozen=True)
class Item:
    """A step as it is kept."""

    uid: str
    state: State
    holder: str
    revision: int
    ours: bool
    our_holder: str
    jobs: tuple[str, ...]
    cancel_asked: str
    document: Document
    gone: bool = False


class Worklist:
    """Steps, their states and who hears of them; may be shared by threads and by processes on one database."""

    def __init__(self, engine: sa.Engine, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._engine = engine
        self._clock = clock
        self.subscriptions = Subscriptions(engine, clock)
        with answering(engine):
            make_tables(engine)

    @property
    def engine(self) -> sa.Engine:
        """The database."""
        return self._engine

    def create(self, uid: str, given: Document) -> bool:
        """N-CREATE; whether the step had to be made whole.

        Raises :class:`DuplicateWorkitemError`, and :class:`iodeep.errors.InputError` for what the table doesn't allow.
        """
        document, modified = rules.created(given, uid, self._clock())
        row = {"uid": uid, "state": State.SCHEDULED.value, "changed": time.time(), "document": json.dumps(document)}
        with self._transaction() as connection:
            try:
                connection.execute(workitems.insert().values(**row))
            except IntegrityError as error:
                raise DuplicateWorkitemError(f"the workitem {uid} exists already") from error
            self.subscriptions.created(connection, uid, document)
        return modified

    def get(self, uid: str) -> Item:
        """One step; raises :class:`NoSuchWorkitemError`."""
        with self._transaction() as connection:
            return _item(connection, uid)

    def search(self, search: Search) -> tuple[list[Document], int]:
        """A page of the steps that fit, the oldest first, and how many more there are."""
        query = sa.select(workitems.c.document).where(~workitems.c.gone).order_by(workitems.c.number)
        for path, wanted in search.keys:
            if path == ("ProcedureStepState",) and wanted in tuple(State):
                query = query.where(workitems.c.state == wanted)
        with self._transaction() as connection:
            every = (json.loads(row.document) for row in connection.execute(query))
            found = [document for document in every if fits(document, search.keys)]
        page = found[search.offset : search.offset + search.limit]
        return [shown(each, search) for each in page], max(0, len(found) - search.offset - len(page))

    def update(self, uid: str, transaction: str, changes: Document) -> Answer:
        """N-SET; raises :class:`iodeep.errors.InputError` for what must not be changed."""

        def updated(item: Item) -> tuple[Item, Answer]:
            answer = states.update(item.state, item.holder, transaction)
            if answer.refused:
                return item, answer
            return replace(item, document=rules.updated(item.document, changes, self._clock())), answer

        return self._changed(uid, updated)

    def change_state(self, uid: str, transaction: str, wanted: State) -> Answer:
        """N-ACTION Change UPS State."""

        def changed(item: Item) -> tuple[Item, Answer]:
            missing = rules.lacking(item.document, wanted) if wanted.final else ()
            answer = states.change(item.state, item.holder, wanted, transaction, missing)
            if answer.becomes is None:
                return item, answer
            return _in_state(replace(item, holder=transaction), answer.becomes), answer

        return self._changed(uid, changed)

    def request_cancel(self, uid: str, requester: str, reason: Document) -> Answer:
        """N-ACTION Request UPS Cancel: what has not begun ends; who performs a step is told, and decides."""
        asked: list[Document] = []

        def cancelled(item: Item) -> tuple[Item, Answer]:
            asked[:] = [events.cancel_requested(uid, requester, reason)]
            heard = (item.ours and item.holder == item.our_holder) or self.subscriptions.anybody(uid)
            answer = states.cancel(item.state, heard=heard)
            if answer.becomes is State.CANCELED:
                ended = rules.cancelled_before_start(item.document, reason, self._clock())
                return _in_state(replace(item, document=ended), State.CANCELED), answer
            if answer.refused:
                asked.clear()
                return item, answer
            return replace(item, cancel_asked=requester or "somebody"), answer

        return self._changed(uid, cancelled, asked)

    def assign(self, uid: str, transaction: str, jobs: Sequence[str]) -> bool:
        """Note that we shall perform a step under this Transaction UID, by these jobs; whether it is still to be had."""

        def assigned(item: Item) -> tuple[Item, Answer]:
            if item.state is not State.SCHEDULED or item.ours:
                return item, Answer(None, 0xC300, 409)
            return replace(item, ours=True, our_holder=transaction, jobs=tuple(jobs)), Answer(None, 0x0000, 200)

        return not self._changed(uid, assigned).refused

    def give_up(self, uid: str) -> None:
        """Somebody else performs it."""

        def given_up(item: Item) -> tuple[Item, Answer]:
            return replace(item, ours=False), Answer(None, 0x0000, 200)

        self._changed(uid, given_up)

    def unassigned(self) -> list[Item]:
        """Steps that are SCHEDULED and nobody's so far."""
        return self._where(workitems.c.state == State.SCHEDULED.value, ~workitems.c.ours)

    def ours(self) -> list[Item]:
        """Steps that we perform, as long as their jobs may need something."""
        return self._where(workitems.c.ours)

    def purge(self, older_than_s: float) -> int:
        """Empty steps that ended so long ago and that nobody holds a lock on; what remains says that they were there."""
        final = (State.COMPLETED.value, State.CANCELED.value)
        ended = sa.and_(
            workitems.c.state.in_(final), ~workitems.c.gone, workitems.c.changed < time.time() - older_than_s
        )
        with self._transaction() as connection:
            self.subscriptions.drop_old(connection)
            uids = [row.uid for row in connection.execute(sa.select(workitems.c.uid).where(ended))]
            free = [uid for uid in uids if not self.subscriptions.locked(connection, uid)]
            for uid in free:
                emptied = workitems.update().where(workitems.c.uid == uid)
                connection.execute(emptied.values(gone=True, document="{}", holder="", jobs="", ours=False))
                self.subscriptions.forget(connection, uid)
        return len(free)

    def _where(self, *conditions: sa.ColumnElement[bool]) -> list[Item]:
        query = sa.select(workitems).where(~workitems.c.gone, *conditions).order_by(workitems.c.number)
        with self._transaction() as connection:
            return [_of_row(row) for row in connection.execute(query)]

    def _changed(
        self, uid: str, work: Callable[[Item], tuple[Item, Answer]], reports: Sequence[Document] = ()
    ) -> Answer:
        """Do ``work`` on the step as it is; once more where another was faster."""
        for _ in range(_TRIES):
            with self._transaction() as connection:
                item = _item(connection, uid)
                after, answer = work(item)
                if after is item and not reports:
                    return answer
                if _kept(connection, item, after):
                    self.subscriptions.tell(connection, uid, [*reports, *_reports(item, after)])
                    return answer
        raise InputError(f"the workitem {uid} is changed by many at once", remedy="Try again.")

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        with answering(self._engine), self._engine.begin() as connection:
            yield connection


def _reports(before: Item, after: Item) -> list[Document]:
    """A step that is cancelled before it began goes through IN PROGRESS, and says so (PS3.4 CC.2.2.3)."""
    skipped = before.state is State.SCHEDULED and after.state is State.CANCELED
    between = before.document | element("ProcedureStepState", State.IN_PROGRESS.value)
    passed = [events.state_report(after.uid, between)] if skipped else []
    return [*passed, *events.of_change(after.uid, before.document, after.document)]


def _in_state(item: Item, state: State) -> Item:
    return replace(item, state=state, document=item.document | element("ProcedureStepState", state.value))


def _kept(connection: sa.Connection, before: Item, after: Item) -> bool:
    """Whether the step was still as it was read."""
    unchanged = sa.and_(workitems.c.uid == before.uid, workitems.c.revision == before.revision)
    written = connection.execute(
        workitems.update()
        .where(unchanged)
        .values(
            state=after.state.value,
            holder=after.holder,
            revision=before.revision + 1,
            ours=after.ours,
            our_holder=after.our_holder,
            jobs=json.dumps(after.jobs),
            cancel_asked=after.cancel_asked,
            changed=time.time(),
            document=json.dumps(after.document),
        )
    )
    return bool(written.rowcount)


def _item(connection: sa.Connection, uid: str) -> Item:
    row = connection.execute(sa.select(workitems).where(workitems.c.uid == uid)).first()
    if row is None or row.gone:
        raise NoSuchWorkitemError(uid, gone=row is not None)
    return _of_row(row)


def _of_row(row: Any) -> Item:
    return Item(
        row.uid,
        State(row.state),
        row.holder,
        row.revision,
        bool(row.ours),
        row.our_holder,
        tuple(json.loads(row.jobs or "[]")),
        row.cancel_asked,
        json.loads(row.document),
        bool(row.gone),
    )
