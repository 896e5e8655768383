"""A worker process: it takes the next job when it is free, looks after the one that runs, and takes over what others left.

All of it happens in one loop in the main thread; the job itself runs in a thread of the engine's, its network in a process of its own.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from iodeep.serve_settings import JobSettings
from iodeep.service.jobs.database import jobs
from iodeep.service.jobs.durable import DurableWorker, once
from iodeep.service.jobs.heart import STOPPED, Heart, other_hosts
from iodeep.service.jobs.kept_board import KeptBoard, begin_again, finish_rewind
from iodeep.service.jobs.record import JobState, Step
from iodeep.service.jobs.runner import MakeSteps, Runner, Running, host_of

log = logging.getLogger(__name__)

LOOK_S = 0.2
"""How often a free worker looks for a job, and a busy one whether its job was taken away."""
CLAIM_S = 2.0
"""How often a free worker asks the engine although no job of the table waits: for what was given back."""
KEEP_S = 1.0
TIDY_S = 600.0
OWN_S = 5.0
"""How often a free worker gives back what the engine believes it is running."""
LEFT_S = 3.0
"""A job that somebody began to queue again so long ago, and did not, is queued by us."""
DAY_S = 86_400.0
LEAVE_S = 5.0
REST_S = 60.0
"""A worker that had no job for so long rests."""
STEPS = tuple(step.value for step in Step)


class Worker:
    """The loop. ``make_steps`` gives what is done for a job; ``clear`` is told of jobs that are over, ``rest`` that none came for a while."""

    def __init__(
        self,
        board: KeptBoard,
        name: str,
        settings: JobSettings,
        make_steps: MakeSteps,
        clear: Callable[[str], None] = lambda _: None,
        rest: Callable[[], None] = lambda: None,
    ) -> None:
        self._board = board
        self._settings = settings
        self._free = threading.Event()
        self._free.set()
        self._clear = clear
        self._rest = rest
        self._since_work = 0.0
        self._runner = Runner(board.table, name, settings, make_steps, once, self._free)
        self._durable = DurableWorker(board.engine, name, self._run)
        self._heart = Heart(board.engine, name, host_name(settings), settings.dead_after_s)
        self._name = name
        self._due: dict[str, float] = {}
        self._away = False

    def run(self, stop: threading.Event, ready: Callable[[], None]) -> None:
        """Work until ``stop`` is set; what runs then is given time to end, and is given back otherwise."""
        self._durable.launch()
        ready()
        while not stop.is_set():
            self._round(stop)
            stop.wait(LOOK_S)
        self._drain()

    def close(self) -> None:
        """End the engine's threads."""
        self._durable.close()

    def _run(self, job_id: str) -> str:
        state = self._runner(job_id)
        if state in {JobState.DONE, JobState.REFUSED}:
            self._clear(job_id)
        return state

    def _round(self, stop: threading.Event) -> None:
        """Whatever is due; while the database is away nothing is, and that is told once."""
        try:
            if self._is_due("beat", self._heart.every_s):
                self._beat()
            if self._is_due("keep", KEEP_S):
                self._keep()
            if self._free.is_set():
                self._take()
                self._rest_if_idle()
            else:
                self._since_work = time.monotonic()
                self._look_after()
            if self._is_due("tidy", TIDY_S):
                self._tidy()
        except SQLAlchemyError as error:
            if not self._away:
                log.warning("the database of jobs does not answer: %s", type(error).__name__)
            self._away = True
            stop.wait(LOOK_S)
        else:
            if self._away:
                log.warning("the database of jobs answers again")
            self._away = False

    def _take(self) -> None:
        if not self._waiting() and not self._is_due("claim", CLAIM_S):
            return
        self._free.clear()
        taken = None
        try:
            taken = self._durable.run_next()
        finally:
            if taken is None:
                self._free.set()

    def _rest_if_idle(self) -> None:
        if self._since_work and time.monotonic() - self._since_work > REST_S:
            self._since_work = 0.0
            self._rest()

    def _waiting(self) -> bool:
        query = sa.select(sa.literal(1)).where(jobs.c.state == JobState.WAITING.value).limit(1)
        with self._board.engine.connect() as connection:
            return connection.execute(query).scalar() is not None

    def _look_after(self) -> None:
        """End a run whose job was cancelled or is another's."""
        running = self._runner.current
        if running is not None and not self._board.table.held(running.job_id, running.claim):
            running.cancel.set()

    def _beat(self) -> None:
        running = self._runner.current
        self._heart.beat("busy" if running else "idle", running.job_id if running else "")
        if dead := self._heart.dead():
            given_back = self._durable.give_back(dead)
            if given_back:
                self._due["claim"] = 0.0
                log.warning("took over %d job(s) of %s", given_back, ", ".join(dead))

    def _keep(self) -> None:
        """What waited long enough is tried again; what somebody left half queued is queued, and what we ourselves left is given back."""
        if self._free.is_set() and self._is_due("own", OWN_S):
            self._durable.give_back([self._name])
        table, durable, now = self._board.table, self._board.durable, time.time()
        for job_id, step in table.to_try_again(now, self._left_by()):
            begin_again(table, durable, job_id, (JobState.RETRYING,), STEPS.index(step) + 1)
        for job_id, number in table.to_rewind(now - LEFT_S):
            finish_rewind(table, durable, job_id, number)

    def _left_by(self) -> str:
        """Whose jobs are left to others: what failed its self-test here is for another host, which takes it as soon as it is free."""
        host = host_of(self._name)
        if not other_hosts(self._board.engine, host):
            return ""
        return host if self._free.is_set() else "%"

    def _tidy(self) -> None:
        """Forget what is too old."""
        before = time.time() - self._settings.keep_days * DAY_S
        forgotten = self._board.table.delete_ended(before)
        for job_id in forgotten:
            self._clear(job_id)
        if forgotten:
            self._board.durable.forget(forgotten)
        self._heart.forget(time.time() - DAY_S)

    def _drain(self) -> None:
        """Let the running job end; if it takes too long, let somebody else do it."""
        end = time.monotonic() + self._settings.drain_s
        while not self._free.wait(LOOK_S) and time.monotonic() < end:
            self._drain_round()
        running = self._runner.current
        if running is not None:
            self._hand_back(running)
        try:
            self._heart.beat(STOPPED)
        except SQLAlchemyError:
            log.warning("the database of jobs does not answer: others will find us gone")

    def _drain_round(self) -> None:
        try:
            self._look_after()
            if self._is_due("beat", self._heart.every_s):
                self._heart.beat("busy", running.job_id if (running := self._runner.current) else "")
        except SQLAlchemyError:
            return

    def _hand_back(self, running: Running) -> None:
        """The job waits again, as if this run of it had not begun."""
        log.warning("job %s is given back: it did not end in time", running.job_id)
        try:
            self._durable.give_back([self._name])
            states = (JobState.RUNNING,)
            fewer = sa.case((jobs.c.attempts > 0, jobs.c.attempts - 1), else_=0)
            self._board.table.change(running.job_id, states, state=JobState.WAITING, claim=None, attempts=fewer)
        except SQLAlchemyError:
            log.warning("job %s could not be given back: it is taken over when we are gone", running.job_id)
        running.cancel.set()
        self._free.wait(LEAVE_S)

    def _is_due(self, what: str, every_s: float) -> bool:
        now = time.monotonic()
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + every_s
        return True


def host_name(settings: JobSettings) -> str:
    """What the machine is called among several."""
    return settings.host or socket.gethostname()
