"""Archives that are asked on a schedule by C-FIND for series that nobody routed to us (PS3.4 C.4.1).

A series is asked for when its count is the same in two rounds; so one that grows waits, and so does one whose count the
archive can't tell yet. What was asked for is passed over until its count changes. Nothing is kept over a restart: the
board answers with the jobs that are there already.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from iodeep.errors import IODeepError
from iodeep.ports import Archive, Attributes, Level
from iodeep.serve_settings import PollSettings
from iodeep.service.intake.asking import Asking, Unanswered
from iodeep.service.intake.counting import COUNT, count_of
from iodeep.service.intake.eligible import MODEL_PATIENTS, may_be_work
from iodeep.service.jobs import JobRequest, Origin
from iodeep.service.serving import ServeContext

_LOG = logging.getLogger(__name__)
SKEW = timedelta(hours=1)
"""How far the clocks of modalities, archive and ours may be apart."""
_STUDY = ("StudyDate", "StudyTime", "PatientID", "NumberOfStudyRelatedInstances")
_SERIES = ("Modality", COUNT)
_LONGEST_PAUSE_S = 900.0
_MODELS_FRESH = timedelta(minutes=10)
_MOST_ROUNDS_UNSEEN = 32
"""Rounds after which a study is looked into again though nothing spoke for it."""


@dataclass
class _SeriesSeen:
    """A series as the last rounds found it; ``asked`` is the count with which its job was asked for."""

    count: int
    asked: int | None = None


@dataclass
class _StudySeen:
    """A study as the last rounds found it."""

    instances: str = ""
    settled: bool = False
    """Whether every series was asked for or is no work."""
    unseen: int = 0
    rest: int = 1
    series: dict[str, _SeriesSeen] = field(default_factory=dict)


class Poller:
    """One archive; used by one thread."""

    def __init__(
        self,
        settings: PollSettings,
        context: ServeContext,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._settings = settings
        self._context = context
        self._now = now
        self._asking = Asking(context.open_board)
        self._studies: dict[str, _StudySeen] = {}
        self._modalities: frozenset[str] = frozenset()
        self._models_asked: datetime | None = None

    @property
    def name(self) -> str:
        """The archive's name."""
        return self._settings.pacs

    def run(self, stop: threading.Event) -> None:
        """Round after round until ``stop``; an archive that is down is asked ever more rarely, and said so once a round."""
        failures = 0
        while not stop.is_set():
            try:
                self.round()
            except Unanswered:
                _LOG.debug("polling %s waits for the jobs' database", self.name)
            except IODeepError as error:
                failures += 1
                _LOG.warning("polling %s failed (%d in a row): %s", self.name, failures, error)
            except Exception:  # one round: the next one begins anew
                failures += 1
                _LOG.exception("polling %s failed (%d in a row)", self.name, failures)
            else:
                if failures:
                    _LOG.info("polling %s works again", self.name)
                failures = 0
            stop.wait(
                min(self._settings.every_s * 2 ** min(failures, 10), max(_LONGEST_PAUSE_S, self._settings.every_s))
            )
        self._asking.close()

    def round(self) -> int:
        """Ask once; how many jobs are new. Raises :class:`~iodeep.errors.ArchiveError`, :class:`Unanswered`."""
        with self._context.open_archive(self.name) as archive:
            modalities = self._modalities_wanted()
            since = self._now() - timedelta(hours=self._settings.back_hours) - SKEW
            rows = [row for row in archive.find(Level.STUDY, self._window(since), _STUDY) if _is_recent(row, since)]
            rows = [row for row in rows if not row.get("PatientID", "").startswith(MODEL_PATIENTS)]
            self._forget_others({row["StudyInstanceUID"] for row in rows})
            return sum(self._look_into(archive, row, modalities) for row in rows)

    def _window(self, since: datetime) -> Mapping[str, str]:
        """A range of days (PS3.4 C.2.2.2.5): by date alone, as few archives match date and time together."""
        return {"StudyDate": f"{since:%Y%m%d}-{self._now() + timedelta(days=1):%Y%m%d}"}

    def _forget_others(self, there: set[str]) -> None:
        self._studies = {uid: seen for uid, seen in self._studies.items() if uid in there}

    def _look_into(self, archive: Archive, row: Attributes, modalities: frozenset[str]) -> int:
        """New jobs of one study; one that is settled rests while its count of instances stays, or for ever longer."""
        study = row["StudyInstanceUID"]
        seen = self._studies.setdefault(study, _StudySeen())
        instances = row.get("NumberOfStudyRelatedInstances", "")
        if seen.settled and self._rests(seen, instances):
            return 0
        seen.instances = instances
        found = archive.find(Level.SERIES, {"StudyInstanceUID": study}, _SERIES)
        wanted = [
            each
            for each in found
            if each.get("Modality", "") in modalities
            and may_be_work(modality=each["Modality"], patient_id=row.get("PatientID", ""))
        ]
        new = sum(self._look_at(archive, study, each, seen) for each in wanted)
        seen.settled = all(series.asked == series.count for series in seen.series.values())
        return new

    def _rests(self, seen: _StudySeen, instances: str) -> bool:
        if instances:
            return instances == seen.instances
        seen.unseen += 1
        if seen.unseen < seen.rest:
            return True
        seen.unseen, seen.rest = 0, min(seen.rest * 2, _MOST_ROUNDS_UNSEEN)
        return False

    def _look_at(self, archive: Archive, study: str, row: Attributes, seen: _StudySeen) -> int:
        """1 where a new job was asked for."""
        uid = row["SeriesInstanceUID"]
        count = count_of(archive, study, uid, row)
        if count is None:
            return 0
        known = seen.series.get(uid)
        if known is None or known.count != count:
            seen.series[uid] = _SeriesSeen(count, known.asked if known else None)
            seen.rest = 1
            return 0
        if known.asked == count:
            return 0
        record, new = self._asking.ask_for(self._request(study, uid, count))
        known.asked = count
        if new:
            _LOG.info("series %s on %s has %d instances: job %s", uid, self.name, count, record.job_id)
        return int(new)

    def _request(self, study: str, series: str, count: int) -> JobRequest:
        return JobRequest(
            study_instance_uid=study,
            series_instance_uid=series,
            pacs=self.name,
            results_to=self._context.serve.results_to or self.name,
            instances=count,
            origin=Origin.POLLED,
            requested_by=self._context.serve.listener.aet,
        )

    def _modalities_wanted(self) -> frozenset[str]:
        """Those of the settings, else those that the Patient IDs of the archive's models name (``AIM1.CT.*``)."""
        if self._settings.modalities:
            return frozenset(self._settings.modalities)
        now = self._now()
        if not self._modalities or self._models_asked is None or now - self._models_asked > _MODELS_FRESH:
            with self._context.open_archive(self._context.serve.models_from) as archive:
                rows = archive.find(Level.STUDY, {"PatientID": f"{MODEL_PATIENTS}*"}, ("PatientID",))
            found = _modalities_of({row["PatientID"] for row in rows})
            if found != self._modalities:
                self._studies.clear()  # what was no work may be some now
            if not found and self._models_asked is None:
                _LOG.warning("no archive holds a model yet, so polling %s asks for nothing", self.name)
            self._modalities, self._models_asked = found, now
        return self._modalities


_ANY = frozenset(["CR", "CT", "DX", "MG", "MR", "NM", "PT", "US", "XA"])
"""What a model with inputs of several modalities may take."""


def _modalities_of(patients: set[str]) -> frozenset[str]:
    named = {patient.split(".")[1] for patient in patients if patient.count(".") > 1}
    return _ANY if "MULTI" in named else frozenset(named)


def _is_recent(row: Attributes, since: datetime) -> bool:
    """A study without a time may have been made at any hour of its day; one without a date is left to others."""
    date, clock = row.get("StudyDate", ""), (row.get("StudyTime", "") or "235959")[:6].ljust(6, "0")
    try:
        return datetime.strptime(f"{date}{clock}", "%Y%m%d%H%M%S") >= since
    except ValueError:
        return bool(date)
