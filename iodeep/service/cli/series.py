"""Commands about a series: which model fits, and running it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from iodeep.errors import ExitCode, InputError
from iodeep.inference import Engine
from iodeep.results import SegKind, import_meanwhile
from iodeep.selection import Decision, Judged
from iodeep.service.cli import options
from iodeep.service.cli.output import Output, show_error
from iodeep.service.cli.output import table as rows_of
from iodeep.service.cli.planning import plan
from iodeep.service.configuration import load_configuration
from iodeep.service.running import Job, RunReport, run_job
from iodeep.service.running_all import RunsReport, run_all_that_fit
from iodeep.service.selecting import policy_for_commands, select_model
from iodeep.service.subjects import subject_of
from iodeep.service.timing import Stopwatch
from pacs_bridge import open_archive


def select(
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="SERIES|STUDY|FOLDER",
            help="A Series or Study Instance UID in the archive (or STUDY_UID/SERIES_UID), or a folder.",
        ),
    ] = None,
    pacs: options.Pacs = None,
    model: options.Model = None,
    disease: options.Condition = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Every model of the archive, with each requirement's outcome.")
    ] = False,
    table: Annotated[
        Path | None, typer.Option("--table", help="Instead of a series: a CSV list of series, one decision a row.")
    ] = None,
    models: Annotated[
        str | None, typer.Option("--models", help="With --table: a folder of objects or cards, or an archive.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--page", help="With --table: write a page with charts to this HTML file.")
    ] = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Say which model of the archive fits a series, and why; or why none does.

    A refusal is an answer: exit code 3, with the reasons. Nothing is run and nothing is written.

    With `--table` it plans instead: which model each series of an exported list would get, and what is left over. The
    list is a CSV file with the columns Modality, BodyPartExamined, StudyDescription and SeriesDescription; `--json`
    gives a line for each row.

    Example: `iodeep select ./series --pacs dicom://ARCHIVE@127.0.0.1:104 --explain`

    Example: `iodeep select --table series.csv --models ./cards --page plan.html`
    """
    output = Output(json)
    configuration = load_configuration(config)
    if table is not None:
        plan(table, models or pacs, page, configuration, output)
        return
    if subject is None:
        raise InputError("nothing was named to select for", remedy="Give a series, study or folder, or --table.")
    with (
        tempfile.TemporaryDirectory(prefix="iodeep-") as workspace,
        open_archive(configuration.settings.archive(pacs)) as archive,
        policy_for_commands(configuration) as policy,
        output.progress() as progress,
    ):
        found = subject_of(subject, archive, Path(workspace), progress=progress)
        decision = select_model(
            found,
            archive,
            configuration.cache,
            policy,
            wanted_model=model,
            condition=disease,
            every_candidate=explain,
            progress=progress,
        ).decision
    output.answer(decision.as_document(), lambda console: render_decision(console, decision, explain=explain))
    if decision.chosen is None:
        raise typer.Exit(ExitCode.REFUSED)


def run(
    subject: options.Subject,
    pacs: options.Pacs = None,
    model: options.Model = None,
    disease: options.Condition = None,
    seg: Annotated[
        SegKind,
        typer.Option(
            "--seg",
            case_sensitive=False,
            help="How masks are encoded; LABELMAP falls back where the archive refuses it.",
        ),
    ] = SegKind.BINARY,
    out: Annotated[Path | None, typer.Option("--out", help="Also write results and a picture to this folder.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do everything but write back to the archive.")] = False,
    all_that_fit: Annotated[
        bool | None,
        typer.Option(
            "--all-that-fit/--best",
            help="Run each model that fits, or the one that ranks first; `run` in iodeep.toml where neither is given.",
            show_default=False,
        ),
    ] = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Select the model for a series, fetch and verify it, run it, write SEG and SR back.

    The results' UIDs follow from series, model and parameters: running twice stores once.

    With `--all-that-fit` each model that fits has results of its own, one release of each model, no more models than
    `most_models` in iodeep.toml. Where one fails the others are run all the same; the exit code is that of the first
    failure.

    Example: `iodeep run 1.2.840.113619.2.1 --pacs main --out results`
    """
    output = Output(json)
    configuration = load_configuration(config)
    choice = configuration.settings.selection
    every = choice.run == "all" if all_that_fit is None else all_that_fit
    watch = Stopwatch()
    with (
        tempfile.TemporaryDirectory(prefix="iodeep-") as name,
        open_archive(configuration.settings.archive(pacs)) as archive,
        policy_for_commands(configuration) as policy,
        Engine(configuration.settings.run) as engine,
        output.progress() as progress,
    ):
        if not Path(subject).exists():  # the archive will be waited for
            import_meanwhile()
        workspace = Path(name)
        with watch.stage("find series"):
            found = subject_of(subject, archive, workspace, progress=progress)
        job = Job(
            found,
            archive,
            configuration.cache,
            policy,
            wanted_model=model,
            condition=disease,
            kind=seg,
            out=out,
            dry_run=dry_run,
        )
        if every:
            runs = run_all_that_fit(job, engine, workspace, choice.most_models, watch=watch, progress=progress)
        else:
            report = run_job(job, engine, workspace, watch=watch, progress=progress)
        archive_name = archive.name
    if every:
        _answer_all(output, runs, archive_name)
    else:
        output.answer(report.as_document(), lambda console: render_run(console, report, archive_name))


def _answer_all(output: Output, runs: RunsReport, archive: str) -> None:
    """Every model's report, then what failed; the exit code says whether something did."""
    output.answer(runs.as_document(), lambda console: _render_all(console, runs, archive))
    for failed in runs.failed if not output.json else ():
        show_error(failed.error, as_json=False)
    raise typer.Exit(runs.exit_code)


def _render_all(console: Console, runs: RunsReport, archive: str) -> None:
    for report in runs.done:
        render_run(console, report, archive)
    for failed in runs.failed:
        console.print(f"[bold red]{escape(failed.model)} failed[/]: {escape(failed.error.problem)}")
    if runs.left_out:
        console.print(f"Also fit, but beyond most_models in iodeep.toml: {escape(', '.join(runs.left_out))}")


def render_decision(console: Console, decision: Decision, *, explain: bool) -> None:
    """The answer first, then what it rests on, then the other models."""
    if decision.chosen:
        console.print(f"[bold green]{escape(decision.chosen.name)}[/] fits.")
    else:
        console.print(f"[bold yellow]No model was chosen.[/] {escape(decision.refusal)}")
    for note in decision.notes:
        console.print(f"  note: {escape(note)}")
    chosen = next((each for each in decision.candidates if each.candidate is decision.chosen), None)
    if chosen:
        for outcome in chosen.outcomes:
            console.print(f"  [green]ok[/] {escape(outcome.sentence)}")
    others = [each for each in decision.candidates if each is not chosen]
    if others and explain:
        _render_others(console, others)
    elif others:
        looked_at = "1 other model was" if len(others) == 1 else f"{len(others)} other models were"
        console.print(f"{looked_at} looked at; --explain says why not.")


def _render_others(console: Console, others: list[Judged]) -> None:
    rows = rows_of("Other models", "model", "why not")
    for judged in others:
        reasons = judged.reasons_against or ("It fits too, but ranks lower.",)
        rows.add_row(escape(judged.candidate.name), escape("\n".join(reasons)))
    console.print(rows)


def render_run(console: Console, report: RunReport, archive: str) -> None:
    """What was found, where it is, and how long it took."""
    card, identity = report.model.card, report.model.identity
    console.print(f"[bold]{escape(card.name)} {card.version}[/] ({card.qualification})")
    for sentence in report.sentences:
        console.print(f"  {escape(sentence)}")
    for note in (*report.decision.notes, *report.warnings):
        console.print(f"  [yellow]note[/] {escape(note)}")
    for uid in report.series:
        console.print(f"  series  {escape(uid)}")
    console.print(f"  model   {identity.sop_instance_uid}  sha256 {identity.manifest_sha256}")
    if card.segmentation:
        console.print(f"  SEG     {report.uids.segmentation}  ({report.kind.value})")
    console.print(f"  SR      {report.uids.report}")
    console.print(f"  {escape(_whereabouts(report, archive))}")
    for path in report.files:
        console.print(f"  file    {escape(str(path))}")
    if report.seconds:
        spent = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in report.seconds.items())
        console.print(f"  seconds {spent}")


def _whereabouts(report: RunReport, archive: str) -> str:
    if report.already_there:
        return f"{archive} already holds these results: nothing was run again."
    return f"stored in {archive} and proved to be there." if report.stored else "dry run: nothing was stored."
