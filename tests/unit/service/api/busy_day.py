"""A board as a hospital's would be in the afternoon: queue, running jobs, results, refusals, failures, workers."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from iodeep.service.intake_counters import IntakeCounters
from iodeep.service.jobs import (
    Failure,
    JobProgress,
    JobRecord,
    JobRequest,
    JobState,
    Origin,
    Priority,
    ResultRef,
    Step,
)
from tests.unit.service.jobs.fake_board import FakeBoard

MODELS = (("Brain extraction", "1.0.2", 21.0), ("Prostate zones", "2.1.0", 34.0), ("Lung nodules", "3.0.1", 48.0))
REFUSALS = (
    "No model in the archive is for the CR series 'Thorax p.a.' (CHEST).",
    "It is not sure enough what the MR series 'SPAIR' shows (confidence 0.41, at least 0.55).",
    "Lung nodules 3.0.1 takes slices of at most 2.5 mm; these are 5 mm apart.",
)
FAILURES = (
    Failure(
        step=Step.STORE,
        kind="ArchiveError",
        problem="MAINPACS refused the segmentation with status A700 (Out of Resources)",
        found="0 of 1 instances stored",
        remedy="Make room in the archive, then retry: only the store step is done again.",
    ),
    Failure(
        step=Step.RUN,
        kind="InferenceError",
        problem="the network needed more memory than the run may have",
        expected="at most 16384 MiB",
        remedy="Raise run.memory_mib in iodeep.toml, or use a smaller model.",
    ),
)


class _Clock:
    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def busy_day(now: datetime | None = None, seed: int = 7) -> FakeBoard:
    """230 jobs of the last day: most done, some refused, two failed, three running, nine waiting."""
    source, end = random.Random(seed), now or datetime.now(UTC)
    clock = _Clock(end)
    board = FakeBoard(clock)
    for number in range(214):
        clock.now = end - timedelta(seconds=86_000 * (1 - number / 214) + source.uniform(30, 200))
        record = _ask(board, source, number)
        ended = clock.now + timedelta(seconds=source.lognormvariate(3.7, 0.35))
        clock.now = min(ended, end)
        _end(board, source, record, number, clock.now)
    for number in range(214, 230):
        clock.now = end - timedelta(seconds=source.uniform(20, 400))
        record = _ask(board, source, number)
        if number < 217:
            _run(board, source, record, number)
        elif number == 217:
            _hold(board, record, end)
        elif number in (218, 219):
            board.change(
                record.job_id, state=JobState.FAILED, failure=FAILURES[number - 218], finished=clock.now, attempts=3
            )
    clock.now = end
    board.set_workers(
        [
            {"worker": "worker-1", "host": "ai-node-1", "state": "busy", "job_id": "", "last_seen": end.isoformat()},
            {"worker": "worker-2", "host": "ai-node-1", "state": "busy", "job_id": "", "last_seen": end.isoformat()},
            {"worker": "worker-1", "host": "ai-node-2", "state": "busy", "job_id": "", "last_seen": end.isoformat()},
            {"worker": "worker-2", "host": "ai-node-2", "state": "dead", "job_id": "", "last_seen": end.isoformat()},
        ]
    )
    return board


def counters() -> IntakeCounters:
    """What the intake counted on that day."""
    return IntakeCounters(
        associations=412, associations_open=3, instances=48_211, bytes=25_300_000_000, refused=4,
        series_complete=221, series_waiting=2, spool_bytes=1_830_000_000,
    )  # fmt: skip


def _ask(board: FakeBoard, source: random.Random, number: int) -> JobRecord:
    study = f"1.2.826.0.1.3680043.8.498.{source.randrange(10**18)}"
    request = JobRequest(
        study_instance_uid=study,
        series_instance_uid=f"{study}.{number}",
        pacs="main",
        results_to="main",
        priority=source.choices(list(Priority), (1, 12, 3))[0],
        origin=source.choices(list(Origin), (12, 3, 1, 1))[0],
    )
    return board.submit(request)[0]


def _end(board: FakeBoard, source: random.Random, record: JobRecord, number: int, ended: datetime) -> None:
    if number % 11 == 5:
        failure = Failure(step=Step.SELECT, kind="Refusal", problem=source.choice(REFUSALS))
        board.change(record.job_id, state=JobState.REFUSED, failure=failure, finished=ended)
        return
    name, version, run = source.choice(MODELS)
    seconds = {"select": 0.4, "fetch": 4.2, "verify": 0.6, "run": run * source.uniform(0.8, 1.1), "build": 1.1}
    board.change(
        record.job_id,
        state=JobState.DONE,
        started=record.created,
        finished=ended,
        model_name=name,
        model_version=version,
        worker="ai-node-1/worker-1",
        attempts=1,
        seconds=seconds | {"store": 0.9, "confirm": 0.7},
        findings=(f"{name}: {source.randrange(12, 1400)} ml",),
        results=tuple(
            ResultRef(
                study_instance_uid=record.request.study_instance_uid,
                series_instance_uid=f"{record.request.series_instance_uid}.{kind}",
                sop_instance_uid=f"{record.request.series_instance_uid}.{kind}.1",
                sop_class_uid="1.2.840.10008.5.1.4.1.1.66.4",
                modality=modality,
            )
            for kind, modality in enumerate(("SEG", "SR"), start=1)
        ),
    )


def _run(board: FakeBoard, source: random.Random, record: JobRecord, number: int) -> None:
    name, version, _ = MODELS[number % 3]
    progress = (
        JobProgress(step=Step.FETCH, done=113, total=320, unit="instances"),
        JobProgress(step=Step.RUN, done=41, total=64, unit="windows"),
        JobProgress(step=Step.STORE),
    )[number % 3]
    board.change(
        record.job_id, state=JobState.RUNNING, started=record.created, progress=progress, attempts=1,
        model_name=name, model_version=version, worker=f"ai-node-{1 + number % 2}/worker-{1 + source.randrange(2)}",
    )  # fmt: skip


def _hold(board: FakeBoard, record: JobRecord, now: datetime) -> None:
    failure = Failure(
        step=Step.FETCH,
        kind="ArchiveUnreachableError",
        problem="nothing answers at main (MAINPACS@10.0.4.20:104)",
        remedy="Start the archive, or correct its address in iodeep.toml.",
        passing=True,
    )
    board.change(
        record.job_id, state=JobState.RETRYING, failure=failure, attempts=2, next_try=now + timedelta(seconds=40)
    )
