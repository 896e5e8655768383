"""Progress of a step that is counted in bytes."""

from __future__ import annotations

from collections.abc import Callable

from iodeep.ports import Progress, ProgressSink


def counter(step: str, total: int, progress: ProgressSink) -> Callable[[int], None]:
    """A function that is told the bytes of each piece, and tells ``progress`` their sum."""
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(Progress(step, done, total, "bytes"))

    return advance
