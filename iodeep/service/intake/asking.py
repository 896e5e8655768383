"""Jobs asked for by what came in, with patience: a database that is down delays them and loses none."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from iodeep.errors import InputError, LocalStorageError
from iodeep.service.jobs import JobBoard, JobFilter, JobRecord, JobRequest, cancel_overtaken

_LOG = logging.getLogger(__name__)
_FIRST_S, _LONGEST_S = 1.0, 60.0
_Result = TypeVar("_Result")


class Unanswered(Exception):  # noqa: N818 - a state, told to the caller to come back later
    """The database is down, or was a moment ago; ask again later."""


class Asking:
    """The board as the intake uses it; opened when it is first needed and after each failure anew."""

    def __init__(self, open_board: Callable[[], JobBoard], clock: Callable[[], float] = time.monotonic) -> None:
        self._open = open_board
        self._clock = clock
        self._board: JobBoard | None = None
        self._wait_s = 0.0
        self._again = float("-inf")

    def ask_for(self, request: JobRequest) -> tuple[JobRecord, bool]:
        """The job of the request; one on fewer instances of the same series is cancelled where it has not ended."""
        record, new = self._use(lambda board: board.submit(request))
        if new:
            self._use(lambda board: cancel_overtaken(board, record))
        return record, new

    def get(self, job_id: str) -> JobRecord | None:
        """One job, None where it is known no more."""
        try:
            return self._use(lambda board: board.get(job_id))
        except InputError:
            return None

    def unfinished(self, series: str) -> bool:
        """Whether any job on the series may still need its images."""
        wanted = JobFilter(series_instance_uid=series)
        return any(not record.state.final for record in self._use(lambda board: board.list(wanted)))

    def close(self) -> None:
        """Let go of the board."""
        if self._board is not None:
            self._board.close()
            self._board = None

    def _use(self, work: Callable[[JobBoard], _Result]) -> _Result:
        """Raises :class:`Unanswered` where the database doesn't answer, without asking it all the time."""
        if self._clock() < self._again:
            raise Unanswered
        try:
            if self._board is None:
                self._board = self._open()
            result = work(self._board)
        except LocalStorageError as error:
            self._wait_s = min(max(self._wait_s * 2, _FIRST_S), _LONGEST_S)
            self._again = self._clock() + self._wait_s
            _LOG.warning("the jobs' database does not answer, next try in %g s: %s", self._wait_s, error)
            self.close()
            raise Unanswered from error
        if self._wait_s:
            _LOG.info("the jobs' database answers again")
            self._wait_s = 0.0
        return result
