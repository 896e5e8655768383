"""Series that were routed to us: from their first instance to the deletion of their files, over any number of restarts.

The spool is the only thing that is remembered. A series is asked for again after a restart, which the board answers with
the job that is there already; so nothing is lost between "received" and "asked for", and nothing is done twice.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from iodeep.errors import InputError, LocalStorageError, SettingsError
from iodeep.service.audit import AuditEvent, AuditSink, EventKind
from iodeep.service.intake.arriving import Arrivals, Arriving, SeriesKey
from iodeep.service.intake.asking import Asking, Unanswered
from iodeep.service.intake.eligible import may_be_work
from iodeep.service.intake.remembered import Remembered
from iodeep.service.intake.sources import holder_of
from iodeep.service.jobs import JobRecord, JobRequest, JobState, Origin
from iodeep.settings import Settings
from pacs_bridge.listener.instance import Received, received_from_file
from pacs_bridge.listener.room import Room
from pacs_bridge.listener.spool import Spool, instances_in

_LOG = logging.getLogger(__name__)
_LOOKED_AT_ONCE = 64
"""Jobs whose state is asked for in one turn."""


@dataclass(frozen=True)
class Waiting:
    """A series whose job was asked for: its files stay until the job has ended well."""

    key: SeriesKey
    job_id: str
    held: int


class Intake:
    """Used by one thread, but for what :class:`Arrivals` and :class:`Room` share with the listener."""

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        room: Room,
        arrivals: Arrivals,
        asking: Asking,
        audit: AuditSink,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._keep_failed = timedelta(days=settings.serve.arrivals.keep_failed_days)
        self._spool = spool
        self._room = room
        self._arrivals = arrivals
        self._asking = asking
        self._audit = audit
        self._now = now
        self._remembered = Remembered(spool.root, self._keep_failed.total_seconds())
        self._due: deque[Arriving] = deque()
        self._waiting: deque[Waiting] = deque()
        self._complained: set[SeriesKey] = set()
        self._unrecorded: set[SeriesKey] = set()
        self.complete = 0

    def recover(self) -> None:
        """Find again what lies in the spool, as if its last instance had come just now."""
        for folder in self._spool.series():
            paths = list(instances_in(folder))
            stats = [path.stat() for path in paths]
            self._room.held += sum(stat.st_size for stat in stats)
            first = _first_readable(paths)
            if first is None:
                _LOG.error("no instance in %s can be read; it is left there", folder)
                continue
            age = max(time.time() - min(stat.st_mtime for stat in stats), 0.0)
            self._arrivals.arrived(first, held=len(paths), age_s=age)
            _LOG.info("found %d instances of series %s in the spool", len(paths), first.series)
        self._remembered.forget_old()

    def turn(self) -> None:
        """Ask for the jobs of what is complete; delete what is confirmed."""
        self._due.extend(self._arrivals.take_complete())
        try:
            self._ask_for_due()
            self._look_at_jobs()
        except Unanswered:
            return
        except (LocalStorageError, OSError) as error:  # a disk that is full now: nothing is forgotten, so try again
            _LOG.error("the spool's series cannot be looked after: %s", error)

    @property
    def waiting(self) -> int:
        """Series whose jobs have not ended."""
        return len(self._waiting) + len(self._due)

    def _ask_for_due(self) -> None:
        for _ in range(len(self._due)):
            series = self._due[0]
            try:
                self._ask_for(series)
            except SettingsError as error:
                self._complain(series.key, error)
                self._due.rotate(-1)
            else:
                self._due.popleft()

    def _complain(self, key: SeriesKey, error: SettingsError) -> None:
        if key not in self._complained:
            self._complained.add(key)
            _LOG.error("series %s waits in the spool: %s", key.series, error)

    def _ask_for(self, series: Arriving) -> None:
        folder = self._spool.root / series.key.study / series.key.series
        held = {path.stem for path in instances_in(folder)}
        if not held:
            return
        if not may_be_work(modality=series.modality, patient_id=series.patient_id, sop_class=series.sop_class):
            _LOG.info("series %s (%s) holds no images: deleted", series.key.series, series.modality or "no modality")
            self._delete(folder)
            return
        request = self._request(series, len(held | self._remembered.instances(series.key.series)))
        record, new = self._asking.ask_for(request)
        if new or series.key in self._unrecorded:
            self._unrecorded.add(series.key)
            self._audit.record(_transferred(series, len(held)))
            self._unrecorded.remove(series.key)
        self._waiting.append(Waiting(series.key, record.job_id, len(held)))
        self.complete += 1
        _LOG.info(
            "series %s is complete with %d instances: job %s%s",
            series.key.series,
            request.instances,
            record.job_id,
            "" if new else f", which is there already ({record.state.value})",
        )

    def _request(self, series: Arriving, instances: int) -> JobRequest:
        pacs = holder_of(self._settings, series.sender)
        return JobRequest(
            study_instance_uid=series.key.study,
            series_instance_uid=series.key.series,
            pacs=pacs,
            results_to=self._settings.serve.results_to or pacs,
            instances=instances,
            origin=Origin.ROUTED,
            requested_by=series.sender,
        )

    def _look_at_jobs(self) -> None:
        for _ in range(min(len(self._waiting), _LOOKED_AT_ONCE)):
            series = self._waiting[0]
            record = self._asking.get(series.job_id)
            folder = self._spool.root / series.key.study / series.key.series
            grown = sum(1 for _ in instances_in(folder)) > series.held
            if grown:  # more came, and are on their way to another job
                self._waiting.popleft()
            elif self._is_over(record) and not self._asking.unfinished(series.key.series):
                self._remember(series.key.series, folder)
                self._delete(folder)
                self._waiting.popleft()
            else:
                self._waiting.rotate(-1)

    def _is_over(self, record: JobRecord | None) -> bool:
        """Whether the images are needed no more; those of a failed job are kept a while for its retry."""
        if record is None or record.state in (JobState.DONE, JobState.REFUSED):
            return True
        return record.state.final and self._now() - (record.finished or record.updated) > self._keep_failed

    def _remember(self, series: str, folder: Path) -> None:
        """On a full disk it can't be; deleting goes before, as it alone makes room."""
        try:
            self._remembered.remember(series, (path.stem for path in instances_in(folder)))
        except OSError as error:
            _LOG.warning("what came of series %s is deleted and not remembered: %s", series, error)

    def _delete(self, folder: Path) -> None:
        """Remove what is listed now; an instance that comes meanwhile stays, with the folder."""
        freed = 0
        for path in list(instances_in(folder)):
            freed += path.stat().st_size
            path.unlink()
        self._room.give(freed)
        for empty in (folder, folder.parent):
            try:
                empty.rmdir()
            except OSError:
                return


def _first_readable(paths: Iterable[Path]) -> Received | None:
    for path in paths:
        try:
            return received_from_file(path)
        except InputError as error:
            _LOG.warning("%s", error)
    return None


def _transferred(series: Arriving, instances: int) -> AuditEvent:
    return AuditEvent(
        kind=EventKind.INSTANCES_TRANSFERRED,
        user=series.sender,
        action="C",
        patient_id=series.patient_id,
        study_instance_uids=(series.key.study,),
        sop_class_uids=(series.sop_class,),
        instances=instances,
        detail=f"series {series.key.series} received",
    )
