"""Bodies that are read from a held series: what was held is let go when the answer ends, however it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from pacs_bridge.gateway.cache import Entry, SeriesCache


class Holding:
    """The series that an answer reads; it is let go when the answer has ended, however it ends."""

    def __init__(self, cache: SeriesCache, entry: Entry) -> None:
        self._cache = cache
        self._entry: Entry | None = entry

    def close(self) -> None:
        """Let go of it, once."""
        entry, self._entry = self._entry, None
        if entry is not None:
            self._cache.release(entry)

    def instead(self, entry: Entry) -> None:
        """Another series is read from now on."""
        self.close()
        self._entry = entry


class Stream(StreamingResponse):
    """A body that is read from something which is closed with the answer, even where nobody read the body."""

    def __init__(
        self,
        body: AsyncIterator[bytes],
        media_type: str,
        closes: Callable[[], None],
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(body, headers=headers, media_type=media_type)
        self._closes = closes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._closes()
