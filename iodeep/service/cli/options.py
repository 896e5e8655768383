"""Options that several commands share, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Pacs = Annotated[
    str | None,
    typer.Option("--pacs", "-p", help="Archive: a name in iodeep.toml, or a URL such as dicom://AET@host:104."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, for scripts.")]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file; by default iodeep.toml is looked for (docs/settings.md)."),
]
Subject = Annotated[
    str,
    typer.Argument(
        metavar="SERIES|STUDY|FOLDER",
        help="A Series or Study Instance UID in the archive (or STUDY_UID/SERIES_UID), or a folder.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option("--model", help="Only this model, by UID or name. It has to fit all the same."),
]
Condition = Annotated[
    str | None, typer.Option("--disease", help="A disease asked for: code, name or token such as GLIOMA.")
]
