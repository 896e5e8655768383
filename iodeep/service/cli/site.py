"""Commands about the site: does an archive answer, is everything there."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.markup import escape

from iodeep.errors import ExitCode
from iodeep.service.cli import options
from iodeep.service.cli.output import Output, table
from iodeep.service.configuration import load_configuration
from iodeep.service.doctor import examine
from pacs_bridge import open_archive


def echo(pacs: options.Pacs = None, config: options.Config = None, json: options.Json = False) -> None:
    """Ask whether an archive answers (C-ECHO, or a QIDO-RS request)."""
    settings = load_configuration(config).settings
    with open_archive(settings.archive(pacs)) as archive:
        reply = archive.echo()
        document = {
            "archive": archive.name,
            "peer": reply.peer,
            "implementation": reply.implementation,
            "milliseconds": round(reply.milliseconds, 1),
        }
    implementation = f", {reply.implementation}" if reply.implementation else ""

    def render(console: Console) -> None:
        console.print(escape(f"{reply.peer} answered in {reply.milliseconds:.1f} ms{implementation}."))

    Output(json).answer(document, render)


def doctor(pacs: options.Pacs = None, config: options.Config = None, json: options.Json = False) -> None:
    """Say what is installed, what is reachable and what is allowed.

    Looks at Python packages, image decoders, the settings, the cache folder, and at every archive in `iodeep.toml` (or the
    one that `--pacs` names): whether it answers, and takes model objects, segmentations and reports.
    """
    findings = examine(load_configuration(config), pacs)

    def render(console: Console) -> None:
        rows = table(None, "", "what", "found")
        for finding in findings:
            rows.add_row(
                "[green]ok[/]" if finding.good else "[red]no[/]", escape(finding.subject), escape(finding.sentence)
            )
        console.print(rows)

    Output(json).answer({"findings": [finding.as_document() for finding in findings]}, render)
    if not all(finding.good for finding in findings):
        raise typer.Exit(ExitCode.SETTINGS)
