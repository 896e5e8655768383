"""How many instances an archive says that a series has (Number of Series Related Instances, PS3.4 C.6.2.1.3)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from iodeep.errors import IODeepError
from iodeep.ports import Archive, Attributes, Level
from iodeep.service.intake.arriving import Arrivals, SeriesKey

_LOG = logging.getLogger(__name__)
COUNT = "NumberOfSeriesRelatedInstances"
_REST_S = 60.0
"""An archive that doesn't answer is not asked again for so long."""


def count_of(archive: Archive, study: str, series: str, told: Attributes | None = None) -> int | None:
    """The count that the archive tells, else that of the instances that it lists; None where it holds none.

    ``told`` is an answer at SERIES level that is there already. Raises :class:`~iodeep.errors.ArchiveError`.
    """
    match = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
    rows: Sequence[Attributes] = [told] if told is not None else archive.find(Level.SERIES, match, (COUNT,))
    for row in rows:
        if (number := row.get(COUNT, "").strip()).isdecimal():
            return int(number) or None
    return len(archive.find(Level.IMAGE, match)) or None if rows else None


class Counting:
    """Asks archives apart from the intake's own thread, which none of them may hold up."""

    def __init__(
        self,
        arrivals: Arrivals,
        source_of: Callable[[str], str | None],
        open_archive: Callable[[str], Archive],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._arrivals = arrivals
        self._source_of = source_of
        self._open = open_archive
        self._clock = clock
        self._resting: dict[str, float] = {}
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="counting")

    def ask(self) -> None:
        """Begin to ask about every series that is to be asked about."""
        for series in self._arrivals.to_ask_about():
            source = self._source_of(series.sender)
            if source is None or self._clock() < self._resting.get(source, float("-inf")):
                self._arrivals.answered(series.key, None, 0)
            else:
                self._pool.submit(self._answer, source, series.key, series.held)

    def close(self) -> None:
        """Ask no more."""
        self._pool.shutdown(cancel_futures=True)

    def _answer(self, source: str, key: SeriesKey, held: int) -> None:
        expected: int | None = None
        try:
            with self._open(source) as archive:
                expected = count_of(archive, key.study, key.series)
        except IODeepError as error:
            self._resting[source] = self._clock() + _REST_S
            _LOG.warning("%s cannot be asked how many instances series %s has: %s", source, key.series, error)
        finally:
            self._arrivals.answered(key, expected, held)
