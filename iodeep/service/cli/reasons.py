"""The command that reads out of a stored result why its model was chosen."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from iodeep.service.cli import options
from iodeep.service.cli.output import Output
from iodeep.service.cli.output import table as rows_of
from iodeep.service.configuration import load_configuration
from iodeep.service.explaining import KeptDecision, decisions_about
from pacs_bridge import open_archive

_MARKS = {(True, False): "[green]ok[/]", (True, True): "[yellow]open[/]", (False, False): "[red]no[/]"}


def why(
    result: Annotated[
        str,
        typer.Argument(
            metavar="RESULT|SERIES|STUDY|FILE",
            help="UID of a SEG or SR (instance or series), or of the series or study it is about (or STUDY_UID/UID); or a report's file.",
        ),
    ],
    pacs: options.Pacs = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Say why a stored result was made by the model that made it, as the result itself has it.

    The record is written into the SR when the model is run: every candidate with each requirement's outcome, what the
    series was taken to show and on what evidence, and the site's rules at that time. Of many candidates the nearest are
    listed and the others counted.

    Example: `iodeep why 1.2.840.113619.2.1 --pacs main`

    Example: `iodeep why results/report.dcm --json`
    """
    output = Output(json)
    configuration = load_configuration(config)
    local = Path(result).exists()
    opened = nullcontext(None) if local else open_archive(configuration.settings.archive(pacs))
    with tempfile.TemporaryDirectory(prefix="iodeep-") as name, opened as archive, output.progress() as progress:
        found = decisions_about(result, archive, Path(name), progress=progress)
    output.answer({"results": [each.as_document() for each in found]}, lambda console: render_kept(console, found))


def render_kept(console: Console, found: Iterable[KeptDecision]) -> None:
    """Each result: its model and why, then the other candidates."""
    for kept in found:
        record = kept.record
        console.print(f"[bold]{escape(record['chosen'] or 'no model')}[/], chosen for a result of {kept.made}")
        console.print(f"  SR      {kept.report_uid}")
        for uid in kept.segmentation_uids:
            console.print(f"  SEG     {uid}")
        for name, uid in record["inputs"].items():
            console.print(f"  series  {escape(uid)} ({escape(name)})")
        _render_chosen(console, record)
        _render_anatomy(console, record["anatomy"])
        for sentence in record["rules"]:
            console.print(f"  rule    {escape(sentence)}")
        _render_others(console, record)


def _render_chosen(console: Console, record: dict[str, Any]) -> None:
    for note in record["notes"]:
        console.print(f"  note    {escape(note)}")
    for candidate in record["candidates"]:
        if candidate["model"] == record["chosen"] and candidate["uid"] == record["chosen_uid"]:
            for each in candidate["requirements"]:
                console.print(f"  {_MARKS[each['passed'], each['open']]} {escape(each['sentence'])}")


def _render_anatomy(console: Console, anatomy: dict[str, Any]) -> None:
    shown = ", ".join(anatomy["regions"]) or "nothing known"
    console.print(f"  shows   {escape(shown)} ({anatomy['confidence']:.0%} sure)")
    for each in anatomy["evidence"]:
        console.print(f"          {escape(each['attribute'])}: {escape(repr(each['words']))} says {each['region']}")


def _render_others(console: Console, record: dict[str, Any]) -> None:
    others = [each for each in record["candidates"] if each["uid"] != record["chosen_uid"]]
    if others:
        rows = rows_of(f"{record['looked_at']} models were looked at", "other model", "why not")
        for each in others:
            against = [one["sentence"] for one in each["requirements"] if not one["passed"]]
            rows.add_row(escape(each["model"]), escape("\n".join(against or ["It fits too."])))
        console.print(rows)
    for criterion, count in record["not_listed"].items():
        console.print(f"  and {count} more: {escape(criterion)}")
