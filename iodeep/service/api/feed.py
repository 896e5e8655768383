"""Changes of jobs as they happen, for any number of followers at the cost of one query every half second.

Whoever is slow gets the latest state of each job, not every one in between: what waits for a follower is bounded by
the number of jobs that changed. Nothing is asked while nobody follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

from iodeep.errors import IODeepError
from iodeep.service.api.offload import Offload
from iodeep.service.api.problems import BusyError
from iodeep.service.jobs import JobBoard, JobFilter, JobRecord

_EVERY_S = 0.5
_OVERLAP = timedelta(seconds=10)
"""How far the clocks of hosts that share a database may be apart."""
_MOST_CHANGES = 1000
_MOST_FOLLOWERS = 500


class Follower:
    """What changed since it was last asked, the latest state of each job."""

    def __init__(self, job_id: str | None) -> None:
        self.job_id = job_id
        self.over = False
        self._changed: dict[str, JobRecord] = {}
        self._wake = asyncio.Event()

    def put(self, record: JobRecord) -> None:
        """A job as it is now."""
        if self.job_id in (None, record.job_id):
            self._changed[record.job_id] = record
            self._wake.set()

    def end(self) -> None:
        """Nothing will come any more."""
        self.over = True
        self._wake.set()

    async def changes(self, seconds: float) -> list[JobRecord]:
        """What changed, oldest first; nothing after ``seconds`` without a change."""
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            return []
        self._wake.clear()
        changed, self._changed = self._changed, {}
        return sorted(changed.values(), key=lambda record: (record.updated, record.revision))


class JobFeed:
    """Asks the board for what is new while somebody follows."""

    def __init__(self, board: JobBoard, database: Offload) -> None:
        self._board = board
        self._database = database
        self._followers: set[Follower] = set()
        self._told: dict[str, int] = {}
        self._mark = datetime.min.replace(tzinfo=UTC)
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def followers(self) -> int:
        """How many follow now."""
        return len(self._followers)

    @contextmanager
    def follow(self, job_id: str | None = None) -> Iterator[Follower]:
        """Follow one job, or all."""
        if self._closed or len(self._followers) >= _MOST_FOLLOWERS:
            raise BusyError(
                "no more streams are served at once",
                expected=f"at most {_MOST_FOLLOWERS}",
                remedy="Ask for the job itself now and then (GET /api/v1/jobs/{job_id}).",
            )
        follower = Follower(job_id)
        self._followers.add(follower)
        if self._task is None or self._task.done():
            self._told, self._mark = {}, datetime.now(UTC)
            self._task = asyncio.create_task(self._ask_while_followed())
        try:
            yield follower
        finally:
            self._followers.discard(follower)

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        for follower in self._followers:
            follower.end()

    async def _ask_while_followed(self) -> None:
        while self._followers and not self._closed:
            with suppress(IODeepError):  # the database is away: followers hear nothing, and go on when it is back
                self._publish(await self._database.run(self._changes))
            await asyncio.sleep(_EVERY_S)

    def _changes(self) -> list[JobRecord]:
        since = self._mark - _OVERLAP
        return list(reversed(self._board.list(JobFilter(since=since), limit=_MOST_CHANGES)))

    def _publish(self, records: Sequence[JobRecord]) -> None:
        new = [record for record in records if self._told.get(record.job_id) != record.revision]
        self._told = {record.job_id: record.revision for record in records}
        self._mark = max([self._mark, *(record.updated for record in records)])
        for record in new:
            for follower in self._followers:
                follower.put(record)


async def job_changes(
    follower: Follower, first: JobRecord, after_revision: int, *, heartbeat_s: float, longest_s: float
) -> AsyncIterator[JobRecord | None]:
    """Each newer state of one job until its last; None where nothing happened for a while."""
    revision = after_revision
    until = asyncio.get_running_loop().time() + longest_s
    waiting = [first]
    while True:
        for record in waiting:
            if record.revision > revision:
                revision = record.revision
                yield record
            if record.state.final:
                return
        if follower.over or asyncio.get_running_loop().time() > until:
            return
        waiting = await follower.changes(heartbeat_s)
        if not waiting:
            yield None
