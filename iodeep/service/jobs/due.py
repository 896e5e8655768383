"""Which job comes next, as one number: the moment at which it would be due if it were routine. The smallest goes first.

A batch job is due ``batch_delay_s`` later than a routine job of the same moment, so that it overtakes all that come after
that; a stat job was due long ago. Whatever waits gets its turn, and equal ones keep their order.
"""

from __future__ import annotations

from iodeep.service.jobs.request import Priority

EPOCH = 1_767_225_600  # 2026-01-01T00:00:00Z
STAT_AHEAD_S = 500_000_000  # some 16 years: before everything that waits
FIRST, LAST = 1, 2**31 - 1  # what the engine takes for a priority


def due(priority: Priority, moment: float, batch_delay_s: float) -> int:
    """The number for a job of ``moment`` (seconds since 1970): whole seconds since the beginning of 2026, and so on until 2078."""
    ahead = {Priority.STAT: 0, Priority.ROUTINE: STAT_AHEAD_S, Priority.BATCH: STAT_AHEAD_S + batch_delay_s}
    return min(max(int(moment - EPOCH + ahead[priority]), FIRST), LAST)
