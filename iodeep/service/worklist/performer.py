"""We as the performer of our own worklist (IHE AIW-I: the requester pushes a step, we perform it).

A step becomes jobs as soon as it is due; it is IN PROGRESS when the first of them is begun, and ends with the last. Every
look at it begins anew from what is kept, so that a look may be cut off anywhere.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from iodeep.errors import InputError, IODeepError
from iodeep.service.jobs import JobBoard, JobRecord, JobRequest, JobState
from iodeep.service.worklist import performing
from iodeep.service.worklist.documents import Document, tag_of
from iodeep.service.worklist.orders import is_due, is_for_us, requests_of
from iodeep.service.worklist.states import State
from iodeep.service.worklist.worklist import Item, Worklist
from iodeep.settings import Settings

_log = logging.getLogger(__name__)
_EVERY_S = 0.5
_PURGE_EVERY = 7200


class Performer:
    """Looks at the worklist and at the jobs, and makes each follow the other."""

    def __init__(
        self,
        worklist: Worklist,
        board: JobBoard,
        settings: Settings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._worklist = worklist
        self._board = board
        self._settings = settings
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        """Look twice a second until ``stop``; what goes wrong is logged, and looked at again."""
        looks = 0
        while not stop.wait(_EVERY_S):
            try:
                self.once()
                if looks % _PURGE_EVERY == 0:
                    self._worklist.purge(self._settings.serve.worklist.keep_days * 86400)
            except IODeepError:
                _log.exception("the worklist could not be worked on; it is tried again")
            looks += 1

    def once(self) -> None:
        """One look at everything."""
        now = self._clock()
        for item in self._worklist.unassigned():
            if is_for_us(item.document, self._settings) and is_due(item.document, now):
                self._accept(item)
        for item in self._worklist.ours():
            self._follow(item)

    def _accept(self, item: Item) -> None:
        """Submit its jobs; a step that can't become any ends with the reason."""
        try:
            requests = requests_of(item.document, self._settings, item.uid)
        except IODeepError as error:
            self._refuse(item, str(error))
            return
        if self._worklist.assign(item.uid, _new_uid(), [request.job_id for request in requests]):
            for request in requests:
                self._submit(request)

    def _submit(self, request: JobRequest) -> None:
        """A job that failed or was cancelled before is begun again, as it is asked for again."""
        job, new = self._board.submit(request)
        if not new and job.state in (JobState.FAILED, JobState.CANCELLED):
            self._board.retry(job.job_id)

    def _refuse(self, item: Item, why: str) -> None:
        transaction = _new_uid()
        if self._worklist.change_state(item.uid, transaction, State.IN_PROGRESS).refused:
            return
        self._end(item, transaction, State.CANCELED, performing.canceled(item.document, (), why, "", self._clock()))

    def _follow(self, item: Item) -> None:
        jobs = self._jobs(item)
        lost = item.state is not State.SCHEDULED and item.holder != item.our_holder
        if lost:  # it was cancelled before it began, or somebody else has it
            self._abandon(item, jobs)
        elif item.state is State.SCHEDULED:
            if performing.has_begun(jobs) or performing.outcome(jobs):
                self._claim(item, jobs)
        elif item.state is State.IN_PROGRESS:
            self._report(item, jobs)
        else:
            self._worklist.give_up(item.uid)

    def _jobs(self, item: Item) -> list[JobRecord]:
        """Its jobs; one that was lost between assigning and submitting is submitted now."""
        try:
            return [self._board.get(job) for job in item.jobs]
        except InputError:
            requests = requests_of(item.document, self._settings, item.uid)
            return [self._board.submit(request)[0] for request in requests]

    def _claim(self, item: Item, jobs: Sequence[JobRecord]) -> None:
        if self._worklist.change_state(item.uid, item.our_holder, State.IN_PROGRESS).refused:
            self._abandon(item, jobs)
            return
        self._report(self._worklist.get(item.uid), jobs)

    def _report(self, item: Item, jobs: Sequence[JobRecord]) -> None:
        if item.cancel_asked:
            self._cancel(jobs)
            jobs = self._jobs(item)
        ended = performing.outcome(jobs)
        now, station = self._clock(), self._settings.serve.jobs.host
        if ended is State.COMPLETED:
            self._end(item, item.holder, ended, performing.completed(item.document, jobs, station, now))
        elif ended is State.CANCELED:
            why = f"cancelled, as {item.cancel_asked} asked" if item.cancel_asked else performing.why_ended(jobs)
            self._end(item, item.holder, ended, performing.canceled(item.document, jobs, why, station, now))
        else:
            self._tell(item, performing.progress(jobs))

    def _tell(self, item: Item, changes: Document) -> None:
        """Progress, where it has changed."""
        tag = tag_of("ProcedureStepProgressInformationSequence")
        if item.document.get(tag) != changes[tag]:
            self._worklist.update(item.uid, item.holder, changes)

    def _end(self, item: Item, transaction: str, state: State, changes: Document) -> None:
        self._worklist.update(item.uid, transaction, changes)
        answer = self._worklist.change_state(item.uid, transaction, state)
        if answer.refused:
            raise IODeepError(f"the workitem {item.uid} could not become {state}", found=answer.warning)
        self._worklist.give_up(item.uid)

    def _abandon(self, item: Item, jobs: Sequence[JobRecord]) -> None:
        """Nothing more is done for it."""
        self._cancel(jobs)
        self._worklist.give_up(item.uid)

    def _cancel(self, jobs: Sequence[JobRecord]) -> None:
        for job in jobs:
            if not job.state.final:
                try:
                    self._board.cancel(job.job_id)
                except InputError:  # it ended meanwhile
                    _log.info("job %s had ended before it could be cancelled", job.job_id)


def _new_uid() -> str:
    return f"2.25.{uuid.uuid4().int}"
