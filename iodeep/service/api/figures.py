"""Figures about jobs: throughput, latencies, refusals and failures by reason, models and their use, a day's summary.

Everything is reckoned from job records; nobody is named. Latency is from the moment that a job was asked for (a routed
series: when it was complete, so the quiet time is not in it) to its end.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta

from pydantic import BaseModel, ConfigDict, Field

from iodeep.service.jobs import JobBoard, JobFilter, JobRecord, JobState, Origin

_PAGE = 500
_MOST_PAGES = 200


class Reason(BaseModel):
    """Why jobs ended early, and how many."""

    model_config = ConfigDict(frozen=True)

    reason: str
    jobs: int


class ModelUse(BaseModel):
    """How often a model ran."""

    model_config = ConfigDict(frozen=True)

    model: str
    version: str
    jobs: int
    median_run_s: float | None = Field(description="Median time of the step that runs the network.")


class Span(BaseModel):
    """What happened in a span of time."""

    model_config = ConfigDict(frozen=True)

    asked: int = Field(description="Jobs that came.")
    done: int
    refused: int
    failed: int
    latency_p50_s: float | None
    latency_p95_s: float | None
    overhead_p50_s: float | None = Field(description="Latency less the time in which the network ran.")
    overhead_p95_s: float | None


class DaySummary(BaseModel):
    """One day, from midnight to midnight in the service's time zone."""

    model_config = ConfigDict(frozen=True)

    day: date
    series_seen: int = Field(description="Series that a job was asked for.")
    jobs: int
    done: int
    refused: int
    failed: int
    cancelled: int
    open: int = Field(description="Not ended yet.")
    results: dict[str, int] = Field(description="Instances stored, by modality.")
    refused_by_reason: list[Reason]
    failed_by_reason: list[Reason]
    by_origin: dict[str, int]
    models: list[ModelUse]
    latency_p50_s: float | None
    latency_p95_s: float | None
    longest_s: float | None


def records_since(board: JobBoard, moment: datetime) -> list[JobRecord]:
    """Every job that changed at or after ``moment``, each once; no trials, of which nobody is told but administrators."""
    found: dict[str, JobRecord] = {}
    for page in range(_MOST_PAGES):
        rows = board.list(JobFilter(since=moment, shadow=False), limit=_PAGE, offset=page * _PAGE)
        for row in rows:
            found.setdefault(row.job_id, row)
        if len(rows) < _PAGE:
            break
    return list(found.values())


def latency_s(record: JobRecord) -> float | None:
    """Seconds from asked for to done."""
    if record.state is not JobState.DONE or record.finished is None:
        return None
    return max(0.0, (record.finished - record.created).total_seconds())


def overhead_s(record: JobRecord) -> float | None:
    """Latency less the time in which the network ran."""
    latency = latency_s(record)
    return None if latency is None else max(0.0, latency - record.seconds.get("run", 0.0))


def span_of(records: Iterable[JobRecord], since: datetime) -> Span:
    """What happened from ``since`` on."""
    rows = list(records)
    ended = [row for row in rows if row.finished is not None and row.finished >= since]
    latencies, overheads = _known(map(latency_s, ended)), _known(map(overhead_s, ended))
    states = Counter(row.state for row in ended)
    return Span(
        asked=sum(row.created >= since for row in rows),
        done=states[JobState.DONE],
        refused=states[JobState.REFUSED],
        failed=states[JobState.FAILED],
        latency_p50_s=percentile(latencies, 50),
        latency_p95_s=percentile(latencies, 95),
        overhead_p50_s=percentile(overheads, 50),
        overhead_p95_s=percentile(overheads, 95),
    )


def day_summary(records: Iterable[JobRecord], day: date) -> DaySummary:
    """What came on the day, and how it ended."""
    start, end = bounds_of(day)
    rows = [row for row in records if start <= row.created < end]
    states = Counter(row.state for row in rows)
    latencies = _known(map(latency_s, rows))
    return DaySummary(
        day=day,
        series_seen=len({row.request.series_instance_uid for row in rows}),
        jobs=len(rows),
        done=states[JobState.DONE],
        refused=states[JobState.REFUSED],
        failed=states[JobState.FAILED],
        cancelled=states[JobState.CANCELLED],
        open=sum(not row.state.final for row in rows),
        results=dict(Counter(each.modality for row in rows for each in row.results)),
        refused_by_reason=reasons(rows, JobState.REFUSED),
        failed_by_reason=reasons(rows, JobState.FAILED),
        by_origin={origin.value: sum(row.request.origin is origin for row in rows) for origin in Origin},
        models=models_used(rows),
        latency_p50_s=percentile(latencies, 50),
        latency_p95_s=percentile(latencies, 95),
        longest_s=max(latencies, default=None),
    )


def bounds_of(day: date) -> tuple[datetime, datetime]:
    """Midnight and the midnight after, here."""
    return datetime.combine(day, time()).astimezone(), datetime.combine(day + timedelta(days=1), time()).astimezone()


def reasons(records: Iterable[JobRecord], state: JobState) -> list[Reason]:
    """Why jobs ended in ``state``, the commonest reason first."""
    found = Counter(_reason(row) for row in records if row.state is state)
    return [Reason(reason=reason, jobs=jobs) for reason, jobs in sorted(found.items(), key=lambda e: (-e[1], e[0]))]


def _reason(record: JobRecord) -> str:
    return record.failure.problem if record.failure else "no reason was recorded"


def models_used(records: Iterable[JobRecord]) -> list[ModelUse]:
    """Models by the number of jobs that they did, the most used first."""
    times: dict[tuple[str, str], list[float]] = {}
    for row in records:
        if row.state is JobState.DONE and row.model_name:
            spent = times.setdefault((row.model_name, row.model_version or ""), [])
            spent.append(row.seconds.get("run", 0.0))
    used = [
        ModelUse(model=name, version=version, jobs=len(spent), median_run_s=percentile(spent, 50))
        for (name, version), spent in times.items()
    ]
    return sorted(used, key=lambda use: (-use.jobs, use.model, use.version))


def percentile(values: Sequence[float], percent: int) -> float | None:
    """The percentile, between neighbours where it falls there; None of no values."""
    if len(values) < 2:
        return round(values[0], 3) if values else None
    return round(statistics.quantiles(values, n=100, method="inclusive")[percent - 1], 3)


def _known(values: Iterator[float | None]) -> list[float]:
    return [value for value in values if value is not None]
