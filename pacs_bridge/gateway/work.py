"""Blocking work off the event loop, in a bounded number of threads; a client that goes away ends it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import suppress
from functools import partial
from typing import TypeVar

import anyio
from anyio import to_thread
from fastapi import Request

_Result = TypeVar("_Result")
Work = Callable[[threading.Event], _Result]
"""Something that blocks, and ends soon after the event is set."""
_PIECE = 1 << 20


def forget(_: object) -> None:
    """For results that nobody has to give back."""


class Workers:
    """The threads that the gateway may use at once."""

    def __init__(self, most: int) -> None:
        self._limiter = anyio.CapacityLimiter(most)

    async def run(self, request: Request, work: Work[_Result], unwanted: Callable[[_Result], None] = forget) -> _Result:
        """The work's result; its event is set when the client disconnects. The request's body has to be read before."""
        cancel = threading.Event()
        watcher = asyncio.ensure_future(_disconnection(request, cancel))
        try:
            return await self.alone(work, cancel, unwanted)
        finally:
            watcher.cancel()

    async def alone(
        self, work: Work[_Result], cancel: threading.Event, unwanted: Callable[[_Result], None] = forget
    ) -> _Result:
        """The work's result; where the task is cancelled the work is ended, and a result it still gives handed back."""
        task = asyncio.ensure_future(self.short(partial(work, cancel)))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            cancel.set()
            task.add_done_callback(partial(_handed_back, unwanted=unwanted))
            raise

    async def short(self, work: Callable[[], _Result]) -> _Result:
        """Work that is done soon, and waited for whatever happens."""
        return await to_thread.run_sync(work, limiter=self._limiter)

    async def stream(self, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
        """An iterator's bytes, about a MiB at a time; each is read when the one before has been taken."""
        joined = _joined(pieces)
        try:
            while (piece := await self.short(lambda: next(joined, b""))) != b"":
                yield piece
        finally:
            with suppress(ValueError):  # still running in its thread: it ends with it
                joined.close()


def _joined(pieces: Iterator[bytes]) -> Generator[bytes]:
    held, size = [], 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _PIECE:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _handed_back(task: asyncio.Future[_Result], unwanted: Callable[[_Result], None]) -> None:
    if not task.cancelled() and task.exception() is None:
        unwanted(task.result())


async def _disconnection(request: Request, cancel: threading.Event) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    cancel.set()
