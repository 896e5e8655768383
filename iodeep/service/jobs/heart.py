"""Workers know of each other by their heartbeats; what a dead one was doing is taken over by whoever sees it first.

No clocks are compared: a worker is dead when its beats have not grown while we ourselves could read them for long enough.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from iodeep.service.jobs.database import workers

STOPPED = "stopped"


@dataclass
class _Heard:
    beats: int
    silent_s: float = 0.0


ALIVE_S = 60.0
"""A host whose heart beat so lately by its own clock may do what another can't."""


def other_hosts(engine: sa.Engine, host: str) -> frozenset[str]:
    """Hosts besides this one with a worker that seems to live: a hint, for clocks are compared here."""
    lately = sa.and_(workers.c.last_seen > time.time() - ALIVE_S, workers.c.state != STOPPED, workers.c.host != host)
    with engine.connect() as connection:
        return frozenset(connection.execute(sa.select(workers.c.host).where(lately)).scalars())


class Heart:
    """One worker's heart, and its ear for the others."""

    def __init__(
        self,
        engine: sa.Engine,
        worker: str,
        host: str,
        dead_after_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._worker = worker
        self._host = host
        self._dead_after_s = dead_after_s
        self._clock = clock
        self._listened: float | None = None
        self._heard: dict[str, _Heard] = {}

    @property
    def every_s(self) -> float:
        """How often it beats."""
        return min(2.0, self._dead_after_s / 5)

    def beat(self, state: str, job_id: str = "") -> None:
        """We are alive, and do this."""
        values = {"host": self._host, "state": state, "job_id": job_id, "last_seen": time.time()}
        mine = workers.c.worker == self._worker
        with self._engine.begin() as connection:
            changed = connection.execute(sa.update(workers).where(mine).values(beats=workers.c.beats + 1, **values))
            if not changed.rowcount:
                connection.execute(sa.insert(workers).values(worker=self._worker, beats=1, **values))

    def dead(self) -> Sequence[str]:
        """Workers that have not been heard for too long, or stopped; those that have nothing to be taken over too."""
        now = self._clock()
        passed = 0.0 if self._listened is None else min(now - self._listened, 2 * self.every_s)
        self._listened = now
        query = sa.select(workers.c.worker, workers.c.beats, workers.c.state).where(workers.c.worker != self._worker)
        with self._engine.connect() as connection:
            rows = list(connection.execute(query))
        return [row.worker for row in rows if self._is_dead(row.worker, row.beats, row.state, passed)]

    def forget(self, before: float) -> None:
        """Rows of workers that were not seen since the moment (seconds since 1970)."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(workers).where(workers.c.last_seen < before))

    def _is_dead(self, worker: str, beats: int, state: str, passed: float) -> bool:
        heard = self._heard.get(worker)
        if heard is None or heard.beats != beats:
            self._heard[worker] = _Heard(beats)
            return state == STOPPED
        heard.silent_s += passed
        return state == STOPPED or heard.silent_s >= self._dead_after_s
