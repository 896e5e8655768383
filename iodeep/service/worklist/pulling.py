"""We as the performer of another system's worklist (IHE AIW-I: the performer pulls), over UPS-RS.

What we are about to claim is written down first, with our Transaction UID: after a crash the step is still ours.
"""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import sqlalchemy as sa

from iodeep.errors import ArchiveError, ArchiveUnreachableError, IODeepError
from iodeep.serve_settings import PullSettings
from iodeep.service.jobs import JobBoard, JobRecord
from iodeep.service.jobs.database import answering
from iodeep.service.worklist import performing
from iodeep.service.worklist.documents import Document, document, tag_of, text
from iodeep.service.worklist.orders import is_due, is_for_us, requests_of
from iodeep.service.worklist.states import State
from iodeep.service.worklist.tables import make_tables, pulled
from iodeep.settings import Settings
from pacs_bridge.part10 import is_uid

_log = logging.getLogger(__name__)
_JSON = "application/dicom+json"
TIMEOUT_S = 30.0
"""How long another worklist may say nothing; for the client that is handed in."""
_CLAIMING, _CLAIMED = "claiming", "claimed"


@dataclass(frozen=True)
class Pulled:
    """A step of another worklist that is ours, or about to be."""

    uid: str
    holder: str
    stage: str
    jobs: tuple[str, ...]
    document: Document


class Puller:
    """One other worklist."""

    def __init__(
        self,
        pull: PullSettings,
        engine: sa.Engine,
        board: JobBoard,
        settings: Settings,
        client: httpx.Client,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pull = pull
        self._engine = engine
        self._board = board
        self._settings = settings
        self._remote = _Remote(client, pull.root.rstrip("/"))
        self._clock = clock
        with answering(engine):
            make_tables(engine)

    def run(self, stop: threading.Event) -> None:
        """Look as often as is configured until ``stop``; what goes wrong is logged, and looked at again."""
        while not stop.wait(self._pull.every_s):
            try:
                self.once()
            except IODeepError:
                _log.exception("the worklist %s could not be worked on; it is tried again", self._pull.root)

    def once(self) -> None:
        """Follow what is ours, then take what is to be had."""
        known = self._known()
        for item in known.values():
            self._follow(item)
        for found in self._remote.scheduled(self._pull.label):
            uid = text(found, "SOPInstanceUID")
            if is_uid(uid) and uid not in known and is_for_us(found, self._settings) and is_due(found, self._clock()):
                self._take(uid)

    def _take(self, uid: str) -> None:
        held = self._remote.get(uid)
        item = Pulled(uid, f"2.25.{uuid.uuid4().int}", _CLAIMING, (), held)
        self._write(item)
        self._follow(item)

    def _follow(self, item: Pulled) -> None:
        if item.stage == _CLAIMING:
            if not self._remote.change_state(item.uid, item.holder, State.IN_PROGRESS, ours=True):
                self._forget(item)  # somebody else was faster
                return
            item = self._submitted(item)
            if not item.jobs:
                return
        self._report(item, [self._board.get(job) for job in item.jobs])

    def _submitted(self, item: Pulled) -> Pulled:
        """With its jobs; without any where it can't become some, and has been ended with the reason."""
        try:
            requests = requests_of(item.document, self._settings, item.uid)
        except IODeepError as error:
            self._end(item, State.CANCELED, performing.canceled(item.document, (), str(error), "", self._clock()))
            return item
        jobs = tuple(self._board.submit(request)[0].job_id for request in requests)
        claimed = Pulled(item.uid, item.holder, _CLAIMED, jobs, item.document)
        self._write(claimed)
        return claimed

    def _report(self, item: Pulled, jobs: Sequence[JobRecord]) -> None:
        ended = performing.outcome(jobs)
        now, station = self._clock(), self._settings.serve.jobs.host
        if ended is State.COMPLETED:
            self._end(item, ended, performing.completed(item.document, jobs, station, now))
        elif ended is State.CANCELED:
            why = performing.why_ended(jobs)
            self._end(item, ended, performing.canceled(item.document, jobs, why, station, now))
        else:
            self._tell(item, performing.progress(jobs))

    def _tell(self, item: Pulled, changes: Document) -> None:
        tag = tag_of("ProcedureStepProgressInformationSequence")
        if item.document.get(tag) != changes[tag]:
            self._remote.update(item.uid, item.holder, changes)
            self._write(Pulled(item.uid, item.holder, item.stage, item.jobs, item.document | changes))

    def _end(self, item: Pulled, state: State, changes: Document) -> None:
        self._remote.update(item.uid, item.holder, changes)
        if not self._remote.change_state(item.uid, item.holder, state):
            _log.error("the worklist %s does not let %s become %s", self._pull.root, item.uid, state)
        self._forget(item)

    def _known(self) -> dict[str, Pulled]:
        query = sa.select(pulled).where(pulled.c.root == self._pull.root)
        with answering(self._engine), self._engine.begin() as connection:
            return {row.uid: _of_row(row) for row in connection.execute(query)}

    def _write(self, item: Pulled) -> None:
        row = {
            "root": self._pull.root,
            "uid": item.uid,
            "holder": item.holder,
            "stage": item.stage,
            "jobs": json.dumps(item.jobs),
            "document": json.dumps(item.document),
        }
        with answering(self._engine), self._engine.begin() as connection:
            connection.execute(pulled.delete().where(self._is(item)))
            connection.execute(pulled.insert().values(**row))

    def _forget(self, item: Pulled) -> None:
        with answering(self._engine), self._engine.begin() as connection:
            connection.execute(pulled.delete().where(self._is(item)))

    def _is(self, item: Pulled) -> sa.ColumnElement[bool]:
        return sa.and_(pulled.c.root == self._pull.root, pulled.c.uid == item.uid)


class _Remote:
    """The other worklist's UPS-RS."""

    def __init__(self, client: httpx.Client, root: str) -> None:
        self._client = client
        self._root = root

    def scheduled(self, label: str) -> list[Document]:
        """What waits there for somebody."""
        keys = {"ProcedureStepState": State.SCHEDULED.value, "InputReadinessState": "READY"}
        answer = self._ask("GET", "/workitems", params=keys | ({"WorklistLabel": label} if label else {}))
        self._check(answer, 200, 204)
        return _documents(answer) if answer.content else []

    def get(self, uid: str) -> Document:
        """One step."""
        answer = self._ask("GET", f"/workitems/{uid}")
        self._check(answer, 200)
        return next(iter(_documents(answer)), {})

    def update(self, uid: str, holder: str, changes: Document) -> None:
        """N-SET."""
        self._check(self._ask("POST", f"/workitems/{uid}", params={"transaction-uid": holder}, body=changes), 200)

    def change_state(self, uid: str, holder: str, state: State, *, ours: bool = False) -> bool:
        """Whether it changed; ``ours``: a claim, which may have succeeded before we were cut off."""
        body = document(TransactionUID=holder, ProcedureStepState=state.value)
        answer = self._ask("PUT", f"/workitems/{uid}/state", body=body)
        if answer.status_code == 200:
            return True
        self._check(answer, 400, 404, 409, 410)
        return ours and self._is_held(uid, holder)

    def _is_held(self, uid: str, holder: str) -> bool:
        """A change with our Transaction UID is taken only where the step is ours."""
        answer = self._ask("POST", f"/workitems/{uid}", params={"transaction-uid": holder}, body=_NO_PROGRESS)
        return answer.status_code == 200

    def _ask(
        self, method: str, path: str, params: Mapping[str, str] | None = None, body: Document | None = None
    ) -> httpx.Response:
        content = json.dumps([body]) if body is not None else None
        headers = {"Accept": _JSON} | ({"Content-Type": _JSON} if content else {})
        try:
            return self._client.request(method, self._root + path, params=params, content=content, headers=headers)
        except httpx.HTTPError as error:
            raise ArchiveUnreachableError(
                f"the worklist {self._root} does not answer",
                found=str(error) or type(error).__name__,
                remedy="Check serve.worklist.pulls, and that it runs.",
            ) from error

    def _check(self, answer: httpx.Response, *expected: int) -> None:
        if answer.status_code not in expected:
            raise ArchiveError(
                f"the worklist {self._root} answered with HTTP {answer.status_code}",
                found=answer.headers.get("Warning", answer.text[:200]),
                remedy="Look into its log; check the token and the root in serve.worklist.pulls.",
            )


_NO_PROGRESS = document(
    ProcedureStepProgressInformationSequence=document(
        ProcedureStepProgress="0", ProcedureStepProgressDescription="claimed"
    )
)


def _documents(answer: httpx.Response) -> list[Document]:
    try:
        found = answer.json()
    except ValueError as error:
        raise ArchiveError(f"{answer.url} gave no DICOM JSON", found=answer.text[:100]) from error
    return [each for each in (found if isinstance(found, list) else [found]) if isinstance(each, dict)]


def _of_row(row: Any) -> Pulled:
    return Pulled(row.uid, row.holder, row.stage, tuple(json.loads(row.jobs or "[]")), json.loads(row.document))
