"""Commands about model objects: store, list, show, verify, fetch."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from iodeep.card import card_document
from iodeep.errors import ExitCode, InputError
from iodeep.inference import Engine
from iodeep.model_object import ModelDescriptor
from iodeep.ports import Archive, Level, Wanted
from iodeep.selection import ModelRow, list_models
from iodeep.service.cli import options
from iodeep.service.cli.output import Output, size, table
from iodeep.service.configuration import Configuration, data_folder, load_configuration
from iodeep.service.library import fetch_model, local_model, read_model, study_of_model
from iodeep.service.selecting import policy_for_commands
from iodeep.service.serving.context import DataFolders
from iodeep.service.storing import dicom_files, store_and_prove
from iodeep.service.subjects import is_uid
from iodeep.service.trusting import policy_of
from iodeep.service.verifying import verify_model
from pacs_bridge import open_archive


def store(
    paths: Annotated[list[Path], typer.Argument(help="DICOM files, or folders of them.")],
    to: Annotated[str | None, typer.Option("--to", help="Archive: a name in iodeep.toml, or a URL.")] = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Send DICOM files to an archive, then prove that it has them.

    After sending, each instance is found again, retrieved and compared: some archives answer Success and keep nothing.
    """
    output = Output(json)
    settings = load_configuration(config).settings
    with output.progress() as progress, open_archive(settings.archive(to)) as archive:
        report = store_and_prove(archive, dicom_files(paths), progress=progress)
        name = archive.name
    document = {
        "archive": name,
        "instances": report.instances,
        "bytes": report.bytes,
        "seconds": round(report.seconds, 3),
        "proved": True,
    }
    rate = report.bytes / max(report.seconds, 1e-9)

    def render(console: Console) -> None:
        console.print(
            f"{report.instances} instances, {size(report.bytes)}, sent to {escape(name)} at {size(int(rate))}/s, "
            "found again and compared: all there."
        )

    output.answer(document, render)


def list_archive(
    pacs: options.Pacs = None,
    modality: Annotated[str, typer.Option(help="Target modality, such as MR.")] = "",
    anatomy: Annotated[str, typer.Option(help="Body Part Examined defined term, such as HEAD.")] = "",
    disease: Annotated[str, typer.Option(help="Condition: code, name or token, such as GLIOMA.")] = "",
    name: Annotated[str, typer.Option(help="Part of the model's name or token.")] = "",
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """List the models of an archive, found by C-FIND."""
    output = Output(json)
    configuration = load_configuration(config)
    with (
        output.progress() as progress,
        open_archive(configuration.settings.archive(pacs)) as archive,
        policy_for_commands(configuration) as policy,
    ):
        rows = list_models(
            archive,
            configuration.cache,
            modality=modality,
            anatomy=anatomy,
            disease=disease,
            name=name,
            max_age_s=configuration.settings.selection.catalogue_max_age_s,
            judged=policy.judge(archive, configuration.cache).judged,
            progress=progress,
        )
        states = policy.admission.states() if policy.admission else _states_here(configuration)
        archive_name = archive.name
    output.answer(
        {"archive": archive_name, "models": [_row_document(row, states) for row in rows]},
        lambda console: _render_rows(console, archive_name, rows, states),
    )


States = Mapping[str, str] | None
"""Where each release stands, by SOP Instance UID; None where no register is asked."""


def _states_here(configuration: Configuration) -> States:
    """What a service has registered on this machine, where one has run and its user asks."""
    from iodeep.service.lifecycle.reading import read_states

    return read_states(configuration, DataFolders(data_folder(configuration), configuration.settings.serve))


def _row_document(row: ModelRow, states: States) -> dict[str, Any]:
    state = {} if states is None else {"state": states.get(row.uid)}
    return state | {
        "name": row.name,
        "version": row.version,
        "modality": row.modality,
        "regions": list(row.regions),
        "conditions": list(row.conditions),
        "released": row.released,
        "payload_bytes": row.total_bytes,
        "sop_instance_uid": row.uid,
        "study_instance_uid": row.study_instance_uid,
        "problem": row.problem or None,
    }


def _render_rows(console: Console, archive: str, rows: list[ModelRow], states: States) -> None:
    if not rows:
        console.print(f"{escape(archive)} holds no such model.")
        return
    headings = ("model", "version", "for", "released", "size", "study", *(["state"] if states is not None else []))
    shown = table(f"Models in {escape(archive)}", *headings)
    for row in rows:
        target = " ".join(filter(None, (row.modality, "/".join(row.regions), ", ".join(row.conditions))))
        released = f"[red]{escape(row.problem)}[/]" if row.problem else row.released
        total = "" if row.total_bytes is None else size(row.total_bytes)
        state = [] if states is None else [states.get(row.uid, "not known")]
        shown.add_row(escape(row.name), row.version, escape(target), released, total, row.study_instance_uid, *state)
    console.print(shown)


_UidOrFile = Annotated[
    str,
    typer.Argument(metavar="UID|FILE", help="A model's study or descriptor UID, its descriptor file, or its folder."),
]


def show(
    model: _UidOrFile, pacs: options.Pacs = None, config: options.Config = None, json: options.Json = False
) -> None:
    """Show a model object: card, digests, provenance, size and parts."""
    with tempfile.TemporaryDirectory(prefix="iodeep-") as workspace, _archive_for(model, pacs, config) as archive:
        descriptor = read_model(archive, model, Path(workspace))
    Output(json).answer(_descriptor_document(descriptor), lambda console: _render_descriptor(console, descriptor))


def verify(
    model: _UidOrFile, pacs: options.Pacs = None, config: options.Config = None, json: options.Json = False
) -> None:
    """Check every digest, the network's structure, the self-test on this machine, and who signed it.

    Exit code 5 when anything does not hold: such a model is never run.
    """
    output = Output(json)
    settings = load_configuration(config).settings
    with (
        tempfile.TemporaryDirectory(prefix="iodeep-") as name,
        _archive_for(model, pacs, config) as archive,
        output.progress() as progress,
        Engine(settings.run) as engine,
    ):
        workspace = Path(name)
        if archive is None:
            local = local_model(Path(model))
        else:
            local = fetch_model(archive, model, workspace / "object", progress=progress)
        verdict = verify_model(
            local.descriptor_path,
            local.part_paths,
            engine,
            workspace / "payload",
            trust=policy_of(settings, serving=False),
            progress=progress,
        )
    document = {
        "holds": verdict.holds,
        "checks": [{"subject": c.subject, "holds": c.holds, "sentence": c.sentence} for c in verdict.checks],
    }

    def render(console: Console) -> None:
        for check in verdict.checks:
            console.print("[green]ok[/]" if check.holds else "[red]no[/]", escape(check.sentence))
        console.print("Everything holds." if verdict.holds else "[red]Do not run this model.[/]")

    output.answer(document, render)
    if not verdict.holds:
        raise typer.Exit(ExitCode.NOT_TRUSTED)


@contextmanager
def _archive_for(model: str, pacs: str | None, config: Path | None) -> Iterator[Archive | None]:
    """The archive that a UID is looked up in; None where ``model`` is a path."""
    if Path(model).exists():
        yield None
        return
    if not is_uid(model):
        raise InputError(f"{model} does not exist, and it is not a UID either")
    with open_archive(load_configuration(config).settings.archive(pacs)) as archive:
        yield archive


def _descriptor_document(descriptor: ModelDescriptor) -> dict[str, Any]:
    identity, manifest = descriptor.identity, descriptor.manifest
    return {
        "card": card_document(descriptor.card),
        "patient_id": descriptor.patient_id,
        "study_instance_uid": descriptor.study_instance_uid,
        "sop_instance_uid": identity.sop_instance_uid,
        "device_uid": identity.device_uid,
        "manifest_sha256": identity.manifest_sha256,
        "packed_at": manifest.packed_at.isoformat(),
        "packer": f"{manifest.packer.name} {manifest.packer.version}",
        "files": [{"name": f.name, "role": f.role, "bytes": f.length, "sha256": f.sha256} for f in manifest.files],
        "parts": len(descriptor.parts),
        "payload_bytes": descriptor.total_bytes,
        "self_test": descriptor.self_test is not None,
        "packed_despite": manifest.packed_despite,
        "imported": manifest.imported,
    }


def _render_descriptor(console: Console, descriptor: ModelDescriptor) -> None:
    card, identity, manifest = descriptor.card, descriptor.identity, descriptor.manifest
    rows = table(escape(f"{card.name} {card.version}"), "", "")
    rows.show_header = False
    eats = "; ".join(f"{each.name}: {each.modality} {'/'.join(each.sequences)}" for each in card.inputs)
    segments = ", ".join(segment.label for segment in card.segmentation.segments) if card.segmentation else ""
    heads = ", ".join(head.name for head in card.classifications)
    for label, text in {
        "summary": card.summary,
        "purpose": card.intended_use.purpose,
        "limits": "\n".join(card.intended_use.limits),
        "qualification": card.qualification,
        "target": f"{card.modality} {', '.join(card.target.regions)}",
        "conditions": ", ".join(condition.meaning for condition in card.target.conditions),
        "inputs": eats,
        "gives": ", ".join(filter(None, (segments, heads))),
        "performance": "\n".join(f"{p.metric} {p.value:g} ({p.test_set}, n = {p.cases})" for p in card.performance),
        "trained on": card.training.description,
        "developer": f"{card.developer.name}, {card.developer.contact}",
        "licence": f"{card.licence.spdx}, {card.licence.source}",
        "parents": "\n".join(card.parents),
        "packed despite": manifest.packed_despite,
        "imported": manifest.imported,
        "self-test": "carried" if descriptor.self_test else "none",
        "packed": f"{manifest.packed_at:%Y-%m-%d %H:%M} by {manifest.packer.name} {manifest.packer.version}",
        "patient ID": descriptor.patient_id,
        "study": descriptor.study_instance_uid,
        "descriptor": identity.sop_instance_uid,
        "device": identity.device_uid,
        "manifest": f"sha256 {identity.manifest_sha256}",
        "files": "\n".join(f"{f.name} ({f.role}), {size(f.length)}, sha256 {f.sha256}" for f in manifest.files),
        "parts": f"{len(descriptor.parts)}, {size(descriptor.total_bytes)} of payload",
    }.items():
        if text:
            rows.add_row(label, escape(text))
    console.print(rows)


def fetch(
    uid: Annotated[str, typer.Argument(metavar="UID", help="Study, series or model descriptor UID.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the DICOM files; made if it doesn't exist.")],
    pacs: options.Pacs = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Retrieve a study, a series or a whole model object as DICOM files."""
    output = Output(json)
    if not is_uid(uid):
        raise InputError(f"{uid!r} is not a UID", expected="digits and dots, such as 1.2.840.10008.1")
    settings = load_configuration(config).settings
    with (
        tempfile.TemporaryDirectory(prefix="iodeep-") as workspace,
        output.progress() as progress,
        open_archive(settings.archive(pacs)) as archive,
    ):
        files = archive.fetch(_wanted(archive, uid, Path(workspace)), out, progress=progress)
    output.answer(
        {"files": [str(path) for path in files]},
        lambda console: console.print(f"{len(files)} files in {escape(str(out))}."),
    )


def _wanted(archive: Archive, uid: str, workspace: Path) -> Wanted:
    if archive.find(Level.STUDY, {"StudyInstanceUID": uid}):
        return Wanted(uid)
    series = archive.find(Level.SERIES, {"SeriesInstanceUID": uid}, ("StudyInstanceUID",))
    return Wanted(series[0]["StudyInstanceUID"], uid) if series else Wanted(study_of_model(archive, uid, workspace))
