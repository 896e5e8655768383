"""The command that makes an object: of ONNX as it is, of other frameworks' networks after a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from iodeep.card import ModelCard, read_card
from iodeep.errors import InputError
from iodeep.inference import Engine
from iodeep.model_object import DEFAULT_PART_SIZE
from iodeep.ports import ProgressSink
from iodeep.service.cli import options
from iodeep.service.cli.output import Output, size
from iodeep.service.configuration import load_configuration
from iodeep.service.containing import REMEDY
from iodeep.service.importing.packing import Draft, Imported, draft_card, is_plain_onnx, pack_source
from iodeep.service.packing import PackedAndChecked, pack_network
from iodeep.settings import Settings

_Network = Annotated[
    Path,
    typer.Argument(
        help="An ONNX file, or a folder with all files that the card names; a MONAI Bundle or an nnU-Net v2 results folder "
        "(or a zip of it), TorchScript, or a state dict with its architecture (docs/importing.md)."
    ),
]
_Card = Annotated[
    Path | None,
    typer.Option(
        "--card",
        help="The model card, as YAML (docs/card.md). Without it, a draft of what a source of another framework says is "
        "written to --out.",
    ),
]
_References = Annotated[
    list[Path] | None,
    typer.Option(
        "--reference-series",
        help="A folder with a real series, on which the packed network has to give what its own framework gives; one for each "
        "input of the card, in its order. Not for ONNX.",
    ),
]


@dataclass(frozen=True)
class _How:
    """How an object is packed, whatever its network came from."""

    card: ModelCard
    out: Path
    part_size: int
    self_test: Path | None
    despite_privacy: str | None


def pack(
    network: _Network,
    out: Annotated[Path, typer.Option("--out", help="Folder to write the object to; made if it doesn't exist.")],
    card: _Card = None,
    reference: _References = None,
    self_test: Annotated[
        Path | None,
        typer.Option(
            "--self-test", help="A series to make the self-test from, in small; a phantom is used without it."
        ),
    ] = None,
    part_size: Annotated[
        int | None, typer.Option("--part-size", min=1024, help="Bytes of payload in one part; 64 MiB without it.")
    ] = None,
    despite_privacy: Annotated[
        str | None,
        typer.Option(
            "--despite-privacy",
            help="Why what looks like a patient's data is none; recorded in the object where something does.",
        ),
    ] = None,
    for_pacs: Annotated[
        str | None, typer.Option("--for", help="Pack for this archive: its max_part_size is kept to.")
    ] = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Turn a trained network into a model object, and read it back.

    The network's structure is checked, its self-test recorded, every byte put under a digest. The object is one DICOM
    study: a small descriptor, and parts that carry the files. Nothing is sent anywhere: `iodeep store` does that.
    A network, card or self-test that seems to say who a patient is is refused. A network of another framework is read
    in a contained process, and packed only if its result on the reference series is that framework's own.

    Example: `iodeep pack brain.onnx --card card.yaml --out brain-object`
    """
    output = Output(json)
    settings = load_configuration(config).settings
    if card is None:
        _draft(network, out, settings, output)
        return
    largest = settings.archive(for_pacs).max_part_size if for_pacs else part_size or DEFAULT_PART_SIZE
    how = _How(read_card(card), out, min(part_size or largest, largest), self_test, despite_privacy)
    with output.progress() as progress, Engine(settings.run) as engine:
        packed, imported = _packed(network, how, reference or [], engine, settings, progress)
    _tell(packed, out, imported, output)


def _packed(
    network: Path, how: _How, references: list[Path], engine: Engine, settings: Settings, progress: ProgressSink
) -> tuple[PackedAndChecked, Imported | None]:
    def pack_folder(folder: Path, came_from: str | None) -> PackedAndChecked:
        return pack_network(
            folder,
            how.card,
            how.out,
            engine,
            self_test_series=how.self_test,
            despite_privacy=how.despite_privacy,
            imported=came_from,
            part_size=how.part_size,
            progress=progress,
        )

    if not is_plain_onnx(network):
        imported = pack_source(network, how.card, engine, settings.run, references, pack_folder, progress=progress)
        return imported.packed, imported
    if references:
        raise InputError("ONNX has no framework of its own to be compared with", remedy="Leave --reference-series out.")
    return pack_folder(network, None), None


def _draft(network: Path, out: Path, settings: Settings, output: Output) -> None:
    if is_plain_onnx(network):
        raise InputError("ONNX needs a card", remedy="Write one (docs/card.md), and give it with --card.")
    with output.progress() as progress:
        draft = draft_card(network, out, settings.run, progress=progress)
    document = {
        "card": str(draft.path),
        "kind": draft.found.kind.value,
        "framework": draft.found.framework,
        "questions": [{"field": each.field, "sentence": each.sentence} for each in draft.questions],
        "notes": list(draft.found.notes),
        "warnings": list(draft.warnings),
    }
    output.answer(document, lambda console: _render_draft(console, draft))


def _render_draft(console: Console, draft: Draft) -> None:
    console.print(
        f"{draft.found.kind}, read with {escape(draft.found.framework)}. Its card is begun in {escape(str(draft.path))}."
    )
    _warn(console, draft.warnings)
    for note in draft.found.notes:
        console.print(f"  {escape(note)}")
    console.print(f"{len(draft.questions)} things that the source doesn't say are asked for:")
    for question in draft.questions:
        console.print(f"  {escape(question.field)}: {escape(question.sentence)}")
    console.print("Complete it, then pack with --card and --reference-series.")


def _warn(console: Console, warnings: Sequence[str]) -> None:
    for sentence in warnings:
        console.print(f"[bold red]WARNING[/] {escape(sentence)}")
    if warnings:
        console.print(escape(REMEDY))


def _tell(packed: PackedAndChecked, out: Path, imported: Imported | None, output: Output) -> None:
    model = packed.model
    agreement = imported.agreement if imported else None
    warnings = imported.warnings if imported else ()
    document: dict[str, Any] = {
        "descriptor": str(model.descriptor),
        "parts": [str(path) for path in model.parts],
        "study_instance_uid": model.study_instance_uid,
        "sop_instance_uid": model.identity.sop_instance_uid,
        "device_uid": model.identity.device_uid,
        "manifest_sha256": model.identity.manifest_sha256,
        "payload_bytes": model.total_bytes,
        "engine": packed.engine,
        "agreement": agreement.document() if agreement else None,
        "warnings": list(warnings),
    }

    def render(console: Console) -> None:
        name = escape(f"{model.identity.name} {model.identity.version}")
        console.print(f"{name}: {size(model.total_bytes)} in {escape(str(out))}")
        console.print(f"  descriptor  {model.descriptor.name}")
        console.print(f"  parts       {len(model.parts)}")
        console.print(f"  study       {model.study_instance_uid}")
        console.print(f"  manifest    sha256 {model.identity.manifest_sha256}")
        if agreement:
            console.print(f"  agreement   {escape(str(agreement))}")
        _warn(console, warnings)
        console.print(f"Read back and verified. Next: iodeep store {escape(str(out))} --to PACS")

    output.answer(document, render)
