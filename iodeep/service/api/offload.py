"""What blocks runs in threads of a bounded pool, for a bounded time; the event loop never waits.

A thread that waits for an archive which does not answer is not waited for, but it keeps its place until it ends: however
many ask, no more than ``threads`` hang. Beyond ``waiting`` callers the answer is 503 at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from iodeep.errors import ArchiveUnreachableError
from iodeep.service.api.problems import BusyError

T = TypeVar("T")


class Offload:
    """A pool of threads for one kind of work (the database, archives), so that one kind cannot starve another."""

    def __init__(self, what: str, *, threads: int, waiting: int, seconds: float) -> None:
        self._what = what
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"api-{what}")
        self._most = threads + waiting
        self._seconds = seconds
        self._inside = 0
        self._shared: dict[Hashable, asyncio.Future[Any]] = {}

    async def run(self, function: Callable[..., T], *arguments: Any, seconds: float | None = None, **named: Any) -> T:
        """The function's result.

        Errors: :class:`BusyError` where too many wait already; :class:`iodeep.errors.ArchiveUnreachableError` when it
        takes longer than allowed.
        """
        if self._inside >= self._most:
            raise BusyError(f"the {self._what} is asked for more than is served at once", remedy="Try again.")
        limit = seconds or self._seconds
        self._inside += 1
        work = asyncio.get_running_loop().run_in_executor(self._pool, partial(function, *arguments, **named))
        work.add_done_callback(self._ended)
        try:
            return await asyncio.wait_for(asyncio.shield(work), limit)
        except TimeoutError as error:
            raise ArchiveUnreachableError(
                f"the {self._what} gave no answer in {limit:g} s", remedy="GET /api/v1/readiness says what answers."
            ) from error

    async def shared(self, key: Hashable, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """As :meth:`run`, but callers that ask for the same while it is being looked up get one answer.

        A thousand readers of one list cost one query. :meth:`forget` makes whoever asks after a change look again.
        """
        running = self._shared.get(key)
        if running is None:
            running = asyncio.ensure_future(self.run(function, *arguments, **named))
            self._shared[key] = running
            running.add_done_callback(partial(self._unshare, key))
        result: T = await asyncio.shield(running)
        return result

    def forget(self) -> None:
        """Nothing that is being looked up now is handed to those who ask from now on."""
        self._shared.clear()

    def close(self) -> None:
        """Take no more work; what hangs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _unshare(self, key: Hashable, done: asyncio.Future[Any]) -> None:
        if self._shared.get(key) is done:
            del self._shared[key]
        if not done.cancelled():
            done.exception()  # whoever asked has it; nobody else needs to be told

    def _ended(self, work: asyncio.Future[Any]) -> None:
        self._inside -= 1
        if not work.cancelled():
            work.exception()
