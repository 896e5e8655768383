"""The command by which a model leaves its object, for other software: unpack."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from iodeep.errors import InputError
from iodeep.service.cli import options
from iodeep.service.cli.output import Output
from iodeep.service.configuration import load_configuration
from iodeep.service.library import fetch_model, local_model
from iodeep.service.subjects import is_uid
from iodeep.service.trusting import policy_of
from iodeep.service.unpacking import Form, Unpacked, unpack_model
from pacs_bridge import open_archive


def unpack(
    model: Annotated[
        str,
        typer.Argument(metavar="UID|FOLDER", help="A model's study or descriptor UID, or the folder of its object."),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder to write to; new or empty.")],
    form: Annotated[
        Form, typer.Option("--as", help="onnx: the files and card.yaml. monai-bundle: the layout of a MONAI Bundle.")
    ] = Form.ONNX,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse where the form does something otherwise than the card says.")
    ] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Take it out although this site's trust policy refuses it.")
    ] = False,
    pacs: options.Pacs = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Take a model out of its object, for other software: its networks, its trainable form and its card.

    Every digest is checked before anything is written. `iodeep pack` makes the same model again of what `--as onnx` writes.

    Example: `iodeep unpack 2.25.1234 --pacs hospital --as monai-bundle --out bundle`
    """
    output = Output(json)
    settings = load_configuration(config).settings
    with tempfile.TemporaryDirectory(prefix="iodeep-") as workspace, output.progress() as progress:
        if Path(model).exists():
            local = local_model(Path(model))
        elif is_uid(model):
            with open_archive(settings.archive(pacs)) as archive:
                local = fetch_model(archive, model, Path(workspace) / "object", progress=progress)
        else:
            raise InputError(f"{model} does not exist, and it is not a UID either")
        trust = policy_of(settings, serving=False)
        done = unpack_model(local, out, form, trust=trust, anyway=anyway, strict=strict, progress=progress)
    descriptor = done.descriptor
    document = {
        "out": str(out),
        "form": form.value,
        "name": descriptor.card.name,
        "version": str(descriptor.card.version),
        "manifest_sha256": descriptor.identity.manifest_sha256,
        "files": list(done.files),
        "unsaid": list(done.unsaid),
        "distrusted": done.distrusted or None,
    }
    output.answer(document, lambda console: _render(console, done))


def _render(console: Console, done: Unpacked) -> None:
    card = done.descriptor.card
    console.print(escape(f"{card.name} {card.version}: {len(done.files)} files in {done.out}."))
    for sentence in done.unsaid:
        console.print(escape(f"not as the card says: {sentence}"))
    if done.distrusted:
        console.print(f"[red]This site does not trust it:[/] {escape(done.distrusted)}.")
