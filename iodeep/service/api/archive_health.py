"""Whether the archives answer: asked when somebody wants to know, not more often than every half minute."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

from iodeep.errors import IODeepError
from iodeep.ports import Archive
from iodeep.service.api.offload import Offload

_AGAIN_AFTER = timedelta(seconds=30)
_WAIT_S = 3.0
_ECHO_S = 15.0


class ArchiveState(BaseModel):
    """What an archive answered when it was last asked (C-ECHO, PS3.4 Annex A, or a QIDO-RS request)."""

    model_config = ConfigDict(frozen=True)

    name: str
    answers: bool | None = Field(description="null: not known yet")
    milliseconds: float | None = None
    implementation: str | None = None
    problem: str | None = Field(default=None, description="Why it does not, and what to do.")
    asked: datetime | None = None
    last_answer: datetime | None = None


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
        now = datetime.now(UTC)
        before = self._known[name]
        try:
            self._known[name] = await self._offload.run(self._echo, name, now, seconds=_ECHO_S)
        except IODeepError as error:
            self._known[name] = ArchiveState(
                name=name, answers=False, problem=str(error), asked=now, last_answer=before.last_answer
            )

    def _echo(self, name: str, now: datetime) -> ArchiveState:
        archive = self._open(name)
        try:
            reply = archive.echo()
        finally:
            with suppress(IODeepError):
                archive.close()
        return ArchiveState(
            name=name,
            answers=True,
            milliseconds=round(reply.milliseconds, 1),
            implementation=reply.implementation,
            asked=now,
            last_answer=now,
        )
