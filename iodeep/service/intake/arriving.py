"""When a series is complete: quiet for long enough, as many as its archive says twice, or waited for too long.

Counted by a clock of its own (never the wall's), and kept in memory alone: after a restart everything is found again in
the spool and becomes quiet anew. A complete series waits for its study's other series while they are still coming in, so
that a model with several inputs finds its siblings; one job a series is asked for then, and selection picks the inputs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from iodeep.serve_settings import ArrivalSettings
from pacs_bridge.listener.instance import Received

SETTLED_S = 3.0
"""The lull after which the source archive is asked how many instances the series has, and then once more."""
_LONGEST_ASK_S = 60.0
_AGREED = 2


@dataclass(frozen=True)
class SeriesKey:
    """A series, by the UIDs that its folder in the spool has."""

    study: str
    series: str


@dataclass
class Arriving:
    """What is known of a series that comes in; moments are those of the monotonic clock."""

    key: SeriesKey
    sender: str
    modality: str
    patient_id: str
    sop_class: str
    first: float
    last: float
    held: int = 0
    expected: int | None = None
    """How many instances the source archive said that the series has; None: not asked, or it doesn't know."""
    agreed: int = 0
    """How often in a row it said just as many as we hold."""
    asked: float = field(default=float("-inf"))
    ask_after_s: float = SETTLED_S
    asking: bool = False


class Arrivals:
    """Every series that comes in; shared by the threads of all associations and of the intake."""

    def __init__(self, settings: ArrivalSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._series: dict[SeriesKey, Arriving] = {}
        self._settled_s = min(settings.quiet_s, SETTLED_S)

    def __len__(self) -> int:
        return len(self._series)

    def arrived(self, instance: Received, *, held: int = 1, age_s: float = 0.0) -> None:
        """An instance came, or ``held`` of a series were found, the first of which had been there for ``age_s``."""
        key = SeriesKey(instance.study, instance.series)
        now = self._clock()
        with self._lock:
            series = self._series.get(key)
            if series is None:
                series = self._series[key] = Arriving(
                    key, instance.sender, instance.modality, instance.patient_id, instance.sop_class, now - age_s, now
                )
            series.last = now
            series.held += held
            series.agreed, series.ask_after_s = 0, self._settled_s

    def to_ask_about(self) -> list[Arriving]:
        """Series whose archive should be asked now for its count; each is marked as asked."""
        now = self._clock()
        with self._lock:
            found = [
                series
                for series in self._series.values()
                if not series.asking and now - max(series.last, series.asked) >= series.ask_after_s
            ]
            for series in found:
                series.asking, series.asked = True, now
            return found

    def answered(self, key: SeriesKey, expected: int | None, held: int) -> None:
        """What the archive said of a series of which ``held`` instances lay here; None: it doesn't say."""
        with self._lock:
            series = self._series.get(key)
            if series is None:
                return
            series.asking, series.expected = False, expected
            if expected == held:
                series.agreed += 1
            else:
                series.agreed = 0
                series.ask_after_s = min(series.ask_after_s * 2 + 1, _LONGEST_ASK_S)

    def take_complete(self) -> list[Arriving]:
        """Series that are due, each given out once; one of which more comes later begins anew."""
        now = self._clock()
        with self._lock:
            complete = {key for key, series in self._series.items() if self._is_complete(series, now)}
            growing: dict[str, float] = {}
            for key, series in self._series.items():
                if key not in complete:
                    growing[key.study] = max(growing.get(key.study, series.last), series.last)
            due = [
                self._series[key]
                for key in complete
                if now - growing.get(key.study, float("-inf")) >= self._settings.quiet_s
                or now - self._series[key].first >= self._settings.longest_wait_s
            ]
            for series in due:
                del self._series[series.key]
            return due

    def _is_complete(self, series: Arriving, now: float) -> bool:
        if now - series.first >= self._settings.longest_wait_s:
            return True
        if series.agreed >= _AGREED:
            return True
        if series.asking or (series.expected is not None and series.expected > series.held):
            return False
        return now - series.last >= self._settings.quiet_s
