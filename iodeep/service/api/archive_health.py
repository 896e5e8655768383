"""Whether the archives answer: asked when somebody wants to know, not more often than every half minute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from iodeep.errors import IODeepError
from iodeep.ports import Archive
from iodeep.service.api.archive_state import ArchiveState, echo_state, silent_state
from iodeep.service.api.offload import Offload

_AGAIN_AFTER = timedelta(seconds=30)
_WAIT_S = 3.0
_ECHO_S = 15.0


class ArchiveHealth:
    """The last answer of each archive."""

    def __init__(self, opened: Callable[[str], Archive], names: Sequence[str], offload: Offload) -> None:
        self._open = opened
        self._offload = offload
        self._known = {name: ArchiveState(name=name, answers=None) for name in names}
        self._asking: set[asyncio.Task[None]] = set()

    @property
    def known(self) -> list[ArchiveState]:
        """What is known now, without asking."""
        return list(self._known.values())

    async def fresh(self) -> list[ArchiveState]:
        """What is known, asked again where that is old; an archive that takes its time is not waited for long."""
        if not self._asking:
            old = datetime.now(UTC) - _AGAIN_AFTER
            due = [each.name for each in self._known.values() if each.asked is None or each.asked < old]
            self._asking = {asyncio.create_task(self._ask(name)) for name in due}
            for task in self._asking:
                task.add_done_callback(self._asking.discard)
        if self._asking:
            await asyncio.wait(set(self._asking), timeout=_WAIT_S)
        return self.known

    async def _ask(self, name: str) -> None:
        before = self._known[name]
        try:
            found = await self._offload.run(echo_state, name, partial(self._open, name), seconds=_ECHO_S)
        except IODeepError as error:
            found = silent_state(name, error)
        self._known[name] = found.model_copy(update={"last_answer": found.last_answer or before.last_answer})
