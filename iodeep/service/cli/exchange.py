"""Commands by which models go from one hospital to another: export, import, send, catalogue."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from iodeep.errors import ExitCode, InputError
from iodeep.inference import Engine
from iodeep.model_object import ModelDescriptor
from iodeep.ports import ProgressSink
from iodeep.selection import Candidate, Catalogue
from iodeep.service.cli import options
from iodeep.service.cli.output import Output, people, size
from iodeep.service.configuration import Configuration, load_configuration
from iodeep.service.exchange.card_page import QUALIFICATIONS
from iodeep.service.exchange.catalogue import INDEX, write_catalogue
from iodeep.service.exchange.exporting import export_model
from iodeep.service.exchange.importing import ArrivedModel, check_accepted, receive, store_arrived
from iodeep.service.exchange.sending import send_model
from iodeep.service.library import LocalModel, fetch_model, local_model
from iodeep.service.subjects import is_uid
from iodeep.service.trusting import CandidateJudge, policy_of
from pacs_bridge import open_archive

if TYPE_CHECKING:
    from iodeep.trust.lifecycle import Standing


def export(
    model: Annotated[
        str,
        typer.Argument(metavar="UID|FOLDER", help="A model's study or descriptor UID, or the folder of its object."),
    ],
    out: Annotated[Path, typer.Option("--out", help="A folder, or a file ending in .zip (.zip.age where encrypted).")],
    encrypt_to: Annotated[
        Path | None,
        typer.Option("--encrypt-to", help="The receiver's public key (OpenSSH, PEM or age): no one else can open it."),
    ] = None,
    pacs: options.Pacs = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Write a model as DICOM media for another hospital: verified, with a DICOMDIR and its card as a page.

    What was written is read back. Nothing half-written stays.

    Example: `iodeep export 2.25.1234 --pacs hospital --out brain.zip`
    """
    output = Output(json)
    with tempfile.TemporaryDirectory(prefix="iodeep-") as name, output.progress() as progress:
        local = _found(model, pacs, config, Path(name), progress)
        written = export_model(local, out, receiver=encrypt_to, progress=progress)
    descriptor = written.descriptor
    document = {
        "out": str(written.out),
        "study_instance_uid": descriptor.study_instance_uid,
        "manifest_sha256": descriptor.identity.manifest_sha256,
        "instances": written.instances,
        "bytes": written.bytes,
        "encrypted": written.sealed,
    }

    def render(console: Console) -> None:
        sealed = ", encrypted to its receiver" if written.sealed else ""
        name = escape(f"{descriptor.card.name} {descriptor.card.version}")
        console.print(f"{name}: {written.instances} instances, {size(written.bytes)}, in {escape(str(out))}{sealed}.")
        console.print(f"Tell the receiver by another way: sha256 {descriptor.identity.manifest_sha256}")

    output.answer(document, render)


def import_(
    media: Annotated[
        Path, typer.Argument(metavar="FOLDER|ZIP", help="What `iodeep export` wrote, or a folder with a model's files.")
    ],
    to: Annotated[str | None, typer.Option("--to", help="Archive: a name in iodeep.toml, or a URL.")] = None,
    accept_licence: Annotated[
        str | None,
        typer.Option("--accept-licence", help="The licence that you accept with its intended use, such as MIT."),
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Your private key, where it was encrypted to you.")] = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Take a model from another hospital: verify everything, show its terms, store it, prove that it is stored.

    Digests, structure and the self-test are checked on this machine first. Licence, intended use and limits have to be
    accepted, on the terminal or by `--accept-licence`. Exit code 5 when anything does not hold: then nothing is stored.
    Where iodeep.toml has a section `[lifecycle]`, what was stored is registered, and in quarantine until it is approved.

    Example: `iodeep import brain.zip --to hospital --accept-licence MIT`
    """
    output = Output(json)
    configuration = load_configuration(config)
    settings = configuration.settings
    with tempfile.TemporaryDirectory(prefix="iodeep-") as name, open_archive(settings.archive(to)) as archive:
        workspace, trust = Path(name), policy_of(settings, serving=False)
        with output.progress() as progress, Engine(settings.run) as engine:
            arrived = receive(media, workspace, engine, key=key, trust=trust, progress=progress)
        if not arrived.verdict.holds:
            _tell_refused(output, arrived)
            raise typer.Exit(ExitCode.NOT_TRUSTED)
        descriptor = arrived.descriptor
        if not json:
            _show_terms(descriptor, arrived)
        check_accepted(descriptor, accept_licence, _ask(json=json))
        with output.progress() as progress:
            held = store_arrived(arrived, archive, workspace, progress=progress)
        archive_name = archive.name
    standing = _registered(configuration, descriptor, media)
    document = {
        "archive": archive_name,
        "name": descriptor.card.name,
        "version": str(descriptor.card.version),
        "study_instance_uid": descriptor.study_instance_uid,
        "sop_instance_uid": descriptor.identity.sop_instance_uid,
        "manifest_sha256": descriptor.identity.manifest_sha256,
        "accepted_licence": descriptor.card.licence.spdx,
        "instances": held.instances,
        "held_before": held.held_before,
    }
    if standing is not None:
        document["state"] = standing.state.value

    def render(console: Console) -> None:
        console.print(_stored(held.instances, held.held_before, archive_name))
        if standing is not None:
            console.print(escape(f"At this site it is {standing.state}; `iodeep approve` decides about it."))

    output.answer(document, render)


def _registered(configuration: Configuration, descriptor: ModelDescriptor, media: Path) -> Standing | None:
    """Where what was stored stands at this site; None where it has no section ``[lifecycle]``."""
    if configuration.settings.lifecycle is None:
        return None
    from iodeep.service.lifecycle.at_terminal import registered_arrival  # a database, for sites that keep a register

    return registered_arrival(configuration, descriptor, f"imported from {media}")


def send(
    uid: Annotated[str, typer.Argument(metavar="UID", help="A model's study or descriptor UID.")],
    source: Annotated[str, typer.Option("--from", help="Archive that has it: a name in iodeep.toml, or a URL.")],
    to: Annotated[str, typer.Option("--to", help="Archive that gets it: a name in iodeep.toml, or a URL.")],
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Send a model from one archive to another, each instance checked on its way and compared at the end.

    Part by part, so that it takes little memory and disk. Run it again where it was interrupted: what the target already
    holds and is equal is not sent again. An archive that holds something else under a UID of the model is left as it is.
    """
    output = Output(json)
    if not is_uid(uid):
        raise InputError(f"{uid!r} is not a UID", expected="digits and dots, such as 1.2.840.10008.1")
    settings = load_configuration(config).settings
    with (
        tempfile.TemporaryDirectory(prefix="iodeep-") as name,
        open_archive(settings.archive(source)) as giving,
        open_archive(settings.archive(to)) as taking,
        output.progress() as progress,
    ):
        descriptor, held = send_model(uid, giving, taking, Path(name), progress=progress)
        names = giving.name, taking.name
    document = {
        "from": names[0],
        "to": names[1],
        "study_instance_uid": descriptor.study_instance_uid,
        "manifest_sha256": descriptor.identity.manifest_sha256,
        "instances": held.instances,
        "held_before": held.held_before,
    }
    output.answer(document, lambda console: console.print(_stored(held.instances, held.held_before, names[1])))


def catalogue(
    out: Annotated[Path, typer.Option("--out", help="Folder for the pages; new or empty.")],
    title: Annotated[str, typer.Option("--title", help="What the first page is called.")] = "Models",
    pacs: options.Pacs = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Write the models of an archive as web pages that a site can publish.

    Cards with intended use, limits, evidence and licence. The pages hold no script and fetch nothing. Models that cannot
    be used, or that the site does not trust, are left out and named.
    """
    output = Output(json)
    configuration = load_configuration(config)
    with output.progress() as progress, open_archive(configuration.settings.archive(pacs)) as archive:
        judge = CandidateJudge(archive, configuration.cache, policy_of(configuration.settings, serving=False))
        found = Catalogue(archive, configuration.cache).candidates(progress=progress)
        judged = [judge.judged(each) if isinstance(each, Candidate) else each for each in found]
        published = write_catalogue(judged, out, title)
    document = {"out": str(out / INDEX), "models": published.shown, "left_out": list(published.left_out)}

    def render(console: Console) -> None:
        console.print(
            f"{'1 model' if published.shown == 1 else f'{published.shown} models'}: open {escape(str(out / INDEX))}"
        )
        for left in published.left_out:
            console.print(f"left out: {escape(left)}")

    output.answer(document, render)


def _found(model: str, pacs: str | None, config: Path | None, workspace: Path, progress: ProgressSink) -> LocalModel:
    if Path(model).exists():
        return local_model(Path(model))
    if not is_uid(model):
        raise InputError(f"{model} does not exist, and it is not a UID either")
    with open_archive(load_configuration(config).settings.archive(pacs)) as archive:
        return fetch_model(archive, model, workspace / "object", progress=progress)


def _stored(instances: int, held_before: int, archive: str) -> str:
    before = f" {held_before} were there already, and equal." if held_before else ""
    return f"{instances} instances of the model are in {escape(archive)}, found again and compared.{before}"


def _tell_refused(output: Output, arrived: ArrivedModel) -> None:
    checks = arrived.verdict.checks
    document = {
        "holds": False,
        "checks": [{"subject": c.subject, "holds": c.holds, "sentence": c.sentence} for c in checks],
    }

    def render(console: Console) -> None:
        for check in checks:
            console.print("[green]ok[/]" if check.holds else "[red]no[/]", escape(check.sentence))
        console.print("[red]The model does not hold. Nothing was stored.[/]")

    output.answer(document, render)


def _show_terms(descriptor: ModelDescriptor, arrived: ArrivedModel) -> None:
    console, card = people(), descriptor.card
    for check in arrived.verdict.checks:
        console.print("[green]ok[/]", escape(check.sentence))
    console.print()
    console.print(f"[bold]{escape(f'{card.name} {card.version}')}[/] by {escape(card.developer.name)}")
    for name, lines in {
        "Licence": [card.licence.spdx, card.licence.source, *filter(None, [card.licence.text])],
        "Intended use": [card.intended_use.purpose, f"For {card.intended_use.users}"],
        "Limits": list(card.intended_use.limits),
        "Qualification": [QUALIFICATIONS[card.qualification]],
        **({"Packed despite": [despite]} if (despite := descriptor.manifest.packed_despite) else {}),
    }.items():
        console.print(f"[bold]{name}[/]")
        for line in lines:
            console.print(f"  {escape(line)}")


def _ask(*, json: bool) -> Callable[[], bool] | None:
    """How somebody is asked; None where nobody is there to answer."""
    if json or not sys.stdin.isatty():
        return None
    return lambda: typer.confirm("Do you accept the licence, the intended use and the limits?", err=True)
