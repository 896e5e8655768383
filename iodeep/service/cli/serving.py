"""The service: `iodeep serve`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from iodeep.serve_settings import ServeRole
from iodeep.service.cli import options
from iodeep.service.configuration import Configuration, load_configuration


def serve(
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=0, max=64, help="Worker processes, each of which runs one job at a time."),
    ] = None,
    role: Annotated[
        list[ServeRole] | None,
        typer.Option("--role", help="What this machine does, where several share a database; may be given twice."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Folder for database, spool, audit log and keys; made if it isn't there."),
    ] = None,
    config: options.Config = None,
) -> None:
    """Notice studies, decide, run, write back; until it is told to stop.

    Listens for C-STORE, offers the API, and works on jobs, on this machine alone unless iodeep.toml says otherwise.
    SIGTERM lets running jobs end; a second one doesn't. What is not done goes on after the next start.

    Example: `iodeep serve --workers 2 --data /var/lib/iodeep`
    """
    from iodeep.service.serving.serve import serve as run

    configuration = _with_data(load_configuration(config), data)
    code = run(configuration, role or [ServeRole.ALL], workers, _say)
    if code:
        raise typer.Exit(code)


def _with_data(configuration: Configuration, data: Path | None) -> Configuration:
    if data is None:
        return configuration
    serve = configuration.settings.serve.model_copy(update={"data": data})
    return replace(configuration, settings=configuration.settings.model_copy(update={"serve": serve}))


def _say(line: str) -> None:
    typer.echo(line)
