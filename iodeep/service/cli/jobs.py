"""Commands about a running service: its jobs, how it does, what a day brought."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from iodeep.errors import ExitCode, InputError
from iodeep.service.api.figures import DaySummary, Reason
from iodeep.service.api.overview import Overview
from iodeep.service.cli import options
from iodeep.service.cli.output import Output, people, size, table, write_json
from iodeep.service.configuration import load_configuration
from iodeep.service.desk import open_desk
from iodeep.service.jobs import JobFilter, JobRecord, JobState

_COLOURS = {JobState.DONE: "green", JobState.FAILED: "red", JobState.REFUSED: "yellow", JobState.RUNNING: "blue"}

JobId = Annotated[str, typer.Argument(metavar="JOB", help="A job's id, as `iodeep jobs list` shows it.")]


def jobs_list(
    state: Annotated[
        list[JobState] | None, typer.Option("--state", help="Only jobs in this state; may be given several times.")
    ] = None,
    series: Annotated[str | None, typer.Option("--series", help="Only jobs on this Series Instance UID.")] = None,
    study: Annotated[str | None, typer.Option("--study", help="Only jobs on this Study Instance UID.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="How many at most.")] = 50,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """List jobs, the newest change first.

    Asks the service that the variables IODEEP_URL and IODEEP_API_KEY name, or the database of this machine's.

    Example: `iodeep jobs list --state failed`
    """
    wanted = JobFilter(states=frozenset(state) if state else None, study_instance_uid=study, series_instance_uid=series)
    with open_desk(load_configuration(config)) as desk:
        rows = desk.list(wanted, limit)
    document = {"jobs": [row.model_dump(mode="json", exclude={"decision"}) for row in rows]}
    Output(json).answer(document, lambda console: _render_list(console, rows))


def jobs_show(job: JobId, config: options.Config = None, json: options.Json = False) -> None:
    """Show a job: what was asked, how far it is, what it gave, or why it ended."""
    with open_desk(load_configuration(config)) as desk:
        record = desk.get(job)
    Output(json).answer(record.model_dump(mode="json"), lambda console: _render_job(console, record))


def jobs_follow(job: JobId, config: options.Config = None, json: options.Json = False) -> None:
    """Follow a job to its end: a line for each change.

    Ends with 0 when it is done, 3 when no model fits, 7 when it failed, 130 when it was cancelled.
    """
    ends = {
        JobState.REFUSED: ExitCode.REFUSED,
        JobState.FAILED: ExitCode.INFERENCE,
        JobState.CANCELLED: ExitCode.CANCELLED,
    }
    console = people()
    with open_desk(load_configuration(config)) as desk:
        for record in desk.follow(job):
            if json:
                write_json(record.model_dump(mode="json", exclude={"decision"}))
            else:
                console.print(f"{datetime.now(UTC).astimezone():%H:%M:%S}  {_state(record)}  {escape(_words(record))}")
    code = ends.get(record.state)
    if code:
        raise typer.Exit(code)


def jobs_cancel(job: JobId, config: options.Config = None, json: options.Json = False) -> None:
    """End a job: what runs of it stops in under a second, and nothing more is stored."""
    with open_desk(load_configuration(config)) as desk:
        record = desk.cancel(job)
    Output(json).answer(record.model_dump(mode="json"), lambda console: _render_job(console, record))


def jobs_retry(
    job: Annotated[
        list[str] | None, typer.Argument(metavar="[JOB]", help="Ids of jobs that failed, were refused or cancelled.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Every job that failed.")] = False,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Begin jobs again, each from the step that it ended in.

    Example: `iodeep jobs retry --failed` once the archive that was down is back
    """
    with open_desk(load_configuration(config)) as desk:
        ids = list(job or ())
        if failed:
            ids += [row.job_id for row in desk.list(JobFilter(states=frozenset({JobState.FAILED})), 500)]
        elif not ids:
            raise InputError("no job was named", remedy="Give the ids of jobs, or --failed for all that failed.")
        rows = [desk.retry(each) for each in dict.fromkeys(ids)]
    document = {"jobs": [row.model_dump(mode="json", exclude={"decision"}) for row in rows]}
    Output(json).answer(document, lambda console: _render_list(console, rows))


def status(config: options.Config = None, json: options.Json = False) -> None:
    """Say how the service does: queue, workers, archives, disk, latencies, and why jobs ended early.

    Asks the service that the variables IODEEP_URL and IODEEP_API_KEY name, or the database of this machine's. Ends with
    code 6 where an archive does not answer.
    """
    with open_desk(load_configuration(config)) as desk:
        seen = desk.overview()
    Output(json).answer(seen.model_dump(mode="json"), lambda console: _render_status(console, seen))
    if any(each.answers is False for each in seen.archives):
        raise typer.Exit(ExitCode.ARCHIVE)


def summary(
    day: Annotated[str | None, typer.Option("--day", help="The day, as 2026-11-21; today without it.")] = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Say what a day brought: series seen, jobs done, refused and failed by reason, times.

    Example: `iodeep summary --day 2026-11-21 --json`
    """
    wanted = _day(day)
    with open_desk(load_configuration(config)) as desk:
        found = desk.summary(wanted)
    Output(json).answer(found.model_dump(mode="json"), lambda console: _render_summary(console, found))


def _day(text: str | None) -> date:
    try:
        return date.fromisoformat(text) if text else datetime.now(UTC).astimezone().date()
    except ValueError as error:
        raise InputError(f"{text!r} is no day", expected="a date such as 2026-11-21") from error


def _state(record: JobRecord) -> str:
    colour = _COLOURS.get(record.state)
    return f"[{colour}]{record.state.value}[/]" if colour else record.state.value


def _words(record: JobRecord) -> str:
    """What happens with the job, in a line."""
    model = " ".join(filter(None, (record.model_name, record.model_version)))
    if record.failure and record.state is not JobState.DONE:
        return f"{record.failure.step.value}: {record.failure.problem}"
    if record.state is JobState.RUNNING and record.progress:
        done = record.progress
        far = f" {done.done} of {done.total} {done.unit}" if done.total else ""
        return f"{done.step.value}{far}{'  ' + model if model else ''}"
    return "; ".join(filter(None, (model, *record.findings)))


def _render_list(console: Console, rows: Iterable[JobRecord]) -> None:
    shown = table(None, "job", "state", "priority", "series", "asked", "")
    for row in rows:
        request = row.request
        asked = f"{row.created.astimezone():%Y-%m-%d %H:%M}"
        what = escape(f"{'on trial: ' if request.shadow else ''}{_words(row)}")
        shown.add_row(row.job_id, _state(row), request.priority.value, request.series_instance_uid, asked, what)
    console.print(shown if shown.row_count else "No such job.")


def _render_job(console: Console, record: JobRecord) -> None:
    request = record.request
    lines = {
        "job": record.job_id,
        "state": record.state.value,
        "series": f"{request.series_instance_uid} in {request.pacs}",
        "study": request.study_instance_uid,
        "asked": f"{record.created.astimezone():%Y-%m-%d %H:%M:%S} ({request.origin.value}, {request.priority.value})",
        "by": request.requested_by,
        "trial": f"of a model that is not approved, with results to {request.results_to} alone"
        if request.shadow
        else "",
        "model": " ".join(filter(None, (record.model_name or request.model, record.model_version))),
        "worker": record.worker,
        "attempts": str(record.attempts or ""),
        "steps": ", ".join(f"{step} {seconds:.1f} s" for step, seconds in record.seconds.items()),
        "now": _words(record),
        "to do": (record.failure.remedy or "") if record.failure and record.state is not JobState.DONE else "",
    }
    for name, value in lines.items():
        if value:
            console.print(f"{name:<9} {escape(value)}")
    for result in record.results:
        console.print(f"result    {result.modality} {result.sop_instance_uid} to {escape(request.results_to)}")
    for sentence in record.warnings:
        console.print(f"[yellow]warning[/]   {escape(sentence)}")


def _render_status(console: Console, seen: Overview) -> None:
    jobs = ", ".join(f"{seen.counts[state]} {state.value}" for state in JobState if seen.counts.get(state))
    console.print(f"jobs      {jobs or 'none yet'}")
    if seen.oldest_waiting_s is not None:
        console.print(f"queue     the longest waiting job has waited {_span(seen.oldest_waiting_s)}")
    for name, span in (("hour", seen.hour), ("24 h", seen.day)):
        times = f", median {_span(span.latency_p50_s)}, p95 {_span(span.latency_p95_s)}" if span.done else ""
        console.print(f"{name:<9} {span.done} done, {span.refused} refused, {span.failed} failed{times}")
    for worker in seen.workers:
        job = f" {worker.job_id}" if worker.job_id else ""
        console.print(f"worker    {escape(worker.worker)} on {escape(worker.host)}: {worker.state}{job}")
    if not seen.workers:
        console.print("worker    [red]none is known: nothing will run[/]")
    for failed in seen.self_tests_failed:
        said = f"{failed.model} is not run on {failed.host}: {failed.sentence}"
        console.print(f"self-test [red]failed[/]: {escape(said)}")
    for each in seen.archives:
        said = f"answers in {each.milliseconds} ms" if each.answers else f"[red]silent[/]: {escape(each.problem or '')}"
        console.print(f"archive   {escape(each.name)}: {said}")
    full = "" if seen.disk.has_room else " [red]too little: series are refused[/]"
    console.print(f"disk      {size(seen.disk.free_bytes)} free{full}")
    _render_reasons(console, "refused", seen.refused)
    _render_reasons(console, "failed", seen.failed)


def _render_reasons(console: Console, name: str, reasons: Iterable[Reason]) -> None:
    for each in reasons:
        console.print(f"{name:<9} {each.jobs} x {escape(each.reason)}")


def _render_summary(console: Console, found: DaySummary) -> None:
    stored = ", ".join(f"{count} {modality}" for modality, count in found.results.items())
    console.print(f"{found.day:%Y-%m-%d}: {found.series_seen} series seen, {found.jobs} jobs")
    console.print(
        f"done      {found.done}{f', {stored} stored' if stored else ''}; "
        f"median {_span(found.latency_p50_s)}, p95 {_span(found.latency_p95_s)}"
    )
    console.print(
        f"not done  {found.refused} refused, {found.failed} failed, {found.cancelled} cancelled, {found.open} open"
    )
    _render_reasons(console, "refused", found.refused_by_reason)
    _render_reasons(console, "failed", found.failed_by_reason)
    for used in found.models:
        console.print(f"model     {escape(used.model)} {used.version}: {used.jobs}, network {_span(used.median_run_s)}")


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
