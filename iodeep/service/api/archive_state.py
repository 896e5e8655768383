"""What an archive answered when it was last asked whether it is there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from iodeep.errors import IODeepError
from iodeep.ports import Archive


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


def echo_state(name: str, opened: Callable[[], Archive]) -> ArchiveState:
    """Ask an archive whether it is there; blocks until it answers or its own time limit is over."""
    try:
        with closing(opened()) as archive:
            reply = archive.echo()
    except IODeepError as error:
        return silent_state(name, error)
    now = datetime.now(UTC)
    return ArchiveState(
        name=name,
        answers=True,
        milliseconds=round(reply.milliseconds, 1),
        implementation=reply.implementation,
        asked=now,
        last_answer=now,
    )


def silent_state(name: str, error: IODeepError) -> ArchiveState:
    """An archive that did not answer, and why."""
    return ArchiveState(name=name, answers=False, problem=str(error), asked=datetime.now(UTC))
