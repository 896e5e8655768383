"""Metrics for Prometheus, made when they are asked for from the board, the disk, and the last answers of the archives.

Each application has a registry of its own. Counters and histograms begin with the process, and count each end of a job
once; nothing in them names a patient, a study or a user.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from iodeep import __version__
from iodeep.service.api.archive_state import ArchiveState
from iodeep.service.api.figures import latency_s, overhead_s, records_since
from iodeep.service.api.overview import disk_of, oldest_waiting_s, workers_of
from iodeep.service.intake_counters import IntakeCounters, read_counters
from iodeep.service.jobs import JobBoard, JobRecord, JobState
from iodeep.service.serving import ServeContext

_STEP_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 1800)
_JOB_BUCKETS = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400)
_OVERLAP = timedelta(seconds=10)
_WORKER_STATES = ("idle", "busy", "dead")


class Metrics:
    """The registry of one application; :meth:`exposition` blocks on the database."""

    def __init__(self, context: ServeContext, board: JobBoard) -> None:
        self._board = board
        self._lock = threading.Lock()
        self._started = self._mark = datetime.now(UTC)
        self._counted: dict[str, datetime | None] = {}
        self._now = _Now(context, board)
        self.registry = CollectorRegistry()
        self.registry.register(self._now)
        self._steps = Histogram(
            "iodeep_step_seconds", "Time of a step of a job that is done.", ["step"],
            buckets=_STEP_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self._latency = Histogram(
            "iodeep_job_latency_seconds",
            "From asked for (a routed series: complete) to stored and confirmed.",
            ["origin"], buckets=_JOB_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self._overhead = Histogram(
            "iodeep_job_overhead_seconds", "The same, less the time in which the network ran.", ["origin"],
            buckets=_JOB_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self._ended = Counter(
            "iodeep_jobs_ended", "Jobs that ended since the process started.", ["state"], registry=self.registry
        )
        self._models = Counter(
            "iodeep_model_runs", "Jobs done by a model.", ["model", "version"], registry=self.registry
        )
        for state in JobState:
            if state.final:
                self._ended.labels(state.value)

    def exposition(self, archives: Sequence[ArchiveState]) -> bytes:
        """Everything in the text format of Prometheus."""
        with self._lock:
            self._count_new()
            self._now.archives = archives
            return generate_latest(self.registry)

    def _count_new(self) -> None:
        """Each end of a job once: what changed since the last time, less what was counted then."""
        window = self._mark - _OVERLAP
        rows = records_since(self._board, window)
        ended = {row.job_id: row for row in rows if row.state.final and row.finished is not None}
        for job_id, row in ended.items():
            is_new = row.finished is not None and row.finished >= max(window, self._started)
            if is_new and self._counted.get(job_id) != row.finished:
                self._count(row)
        self._counted = {job_id: row.finished for job_id, row in ended.items()}
        self._mark = max([self._mark, *(row.updated for row in rows)])

    def _count(self, row: JobRecord) -> None:
        self._ended.labels(row.state.value).inc()
        latency, overhead = latency_s(row), overhead_s(row)
        if latency is None or overhead is None:
            return
        self._latency.labels(row.request.origin.value).observe(latency)
        self._overhead.labels(row.request.origin.value).observe(overhead)
        self._models.labels(row.model_name or "unknown", row.model_version or "").inc()
        for step, seconds in row.seconds.items():
            self._steps.labels(step).observe(seconds)


class _Now(Collector):
    """What is so at this moment."""

    def __init__(self, context: ServeContext, board: JobBoard) -> None:
        self._context = context
        self._board = board
        self.archives: Sequence[ArchiveState] = ()

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not ask the database."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Each metric once."""
        yield InfoMetricFamily("iodeep", "What runs here.", {"version": __version__})
        yield from self._jobs()
        yield from self._archives()
        yield from self._disk()
        yield from _intake(read_counters(self._context.folders.running))

    def _jobs(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("iodeep_jobs", "Jobs that are kept, by state.", labels=["state"])
        counts = self._board.counts()
        for state in JobState:
            jobs.add_metric([state.value], counts.get(state, 0))
        yield jobs
        age = oldest_waiting_s(self._board, datetime.now(UTC)) or 0.0
        yield GaugeMetricFamily("iodeep_queue_age_seconds", "How long the longest waiting job has waited.", age)
        workers = GaugeMetricFamily("iodeep_workers", "Workers that are known, by state.", labels=["state"])
        known = [worker.state for worker in workers_of(self._board)]
        for name in _WORKER_STATES:
            workers.add_metric([name], known.count(name))
        yield workers

    def _archives(self) -> Iterator[Metric]:
        answers = GaugeMetricFamily("iodeep_archive_answers", "1 where the archive answered.", labels=["archive"])
        echo = GaugeMetricFamily("iodeep_archive_echo_seconds", "Time of its last answer.", labels=["archive"])
        for each in self.archives:
            if each.answers is not None:
                answers.add_metric([each.name], float(each.answers))
            if each.milliseconds is not None:
                echo.add_metric([each.name], each.milliseconds / 1000)
        yield answers
        yield echo

    def _disk(self) -> Iterator[Metric]:
        disk = disk_of(self._context)
        yield GaugeMetricFamily("iodeep_disk_free_bytes", "Free space where series are received.", disk.free_bytes)
        yield GaugeMetricFamily(
            "iodeep_disk_least_free_bytes", "Below it, C-STORE is answered with A700.", disk.least_free_bytes
        )


def _intake(counters: IntakeCounters | None) -> Iterator[Metric]:
    """What the listener counted; zeros where none runs here."""
    found = counters or IntakeCounters()
    for name, words, value in (
        ("iodeep_listener_associations", "Associations accepted.", found.associations),
        ("iodeep_listener_instances", "Instances received.", found.instances),
        ("iodeep_listener_bytes", "Bytes received.", found.bytes),
        ("iodeep_listener_refused", "Connections, associations and instances refused.", found.refused),
        ("iodeep_listener_series", "Series that became complete.", found.series_complete),
    ):
        yield CounterMetricFamily(name, words, value)
    for name, words, value in (
        ("iodeep_listener_associations_open", "Associations that are open.", found.associations_open),
        ("iodeep_listener_series_waiting", "Series that are still coming in.", found.series_waiting),
        ("iodeep_spool_bytes", "What the spool holds.", found.spool_bytes),
    ):
        yield GaugeMetricFamily(name, words, value)
