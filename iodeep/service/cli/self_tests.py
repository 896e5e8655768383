"""The command that runs models' self-tests on this host, with whatever it could run networks with."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from iodeep.errors import ExitCode, InputError
from iodeep.inference import Engine
from iodeep.model_object import ModelDescriptor, assemble, read_descriptor
from iodeep.ports import Archive
from iodeep.selection import list_models
from iodeep.service.cli import options
from iodeep.service.cli.output import Output, table
from iodeep.service.configuration import Configuration, data_folder, load_configuration, secret
from iodeep.service.jobs.database import answering, database_engine, database_url, make_tables
from iodeep.service.jobs.self_tests import SelfTestTable
from iodeep.service.library import fetch_descriptor, local_model, obtain_model, study_of_model
from iodeep.service.self_testing import SelfTestResult, self_tested
from iodeep.service.serving.context import DataFolders
from iodeep.terms.providers import ProviderName
from pacs_bridge import open_archive

Files = dict[str, Path]


def self_test(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[UID|FILE]", help="A model's UID, or its folder; without it every model of the archive."
        ),
    ] = None,
    pacs: options.Pacs = None,
    provider: Annotated[
        list[ProviderName] | None, typer.Option("--provider", help="What it is run with, instead of [run] provider.")
    ] = None,
    all_providers: Annotated[bool, typer.Option("--all", help="With every provider that this host has.")] = False,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Run models' own small inputs on this host, and compare with what was recorded when they were packed.

    Contained like every run, for each execution provider that is asked for. Where this machine's service keeps its data, the results
    are kept for it: a model that passes is run by it from then on, one that fails is not. Ends with code 5 where one failed.

    Example: `iodeep self-test 2.25.1234 --pacs main --all`
    """
    output, configuration = Output(json), load_configuration(config)
    providers = _providers(provider or (), all_providers, configuration)
    results: list[SelfTestResult] = []
    with tempfile.TemporaryDirectory(prefix="iodeep-") as name, _book(configuration) as book:
        for descriptor, files in _models(model, pacs, configuration, Path(name)):
            for each in providers:
                with Engine(configuration.settings.run.model_copy(update={"provider": each})) as engine:
                    results.append(self_tested(descriptor, files, engine))
                if book is not None:
                    book.keep(results[-1])
    document = {"kept": book is not None, "results": [_document(each) for each in results]}
    output.answer(document, lambda console: _render(console, results, kept=book is not None))
    if not all(each.passed for each in results):
        raise typer.Exit(ExitCode.NOT_TRUSTED)


def _providers(
    named: Sequence[ProviderName], all_providers: bool, configuration: Configuration
) -> tuple[ProviderName, ...]:
    from iodeep.inference.onnx_runtime import offered_providers  # a tenth of a second

    offered = offered_providers()
    wanted = offered if all_providers else tuple(dict.fromkeys(named)) or (configuration.settings.run.provider,)
    missing = [each.value for each in wanted if each not in offered]
    if missing:
        raise InputError(
            f"this host has no execution provider {', '.join(missing)}",
            expected=f"one of {', '.join(offered)}",
            remedy="Install the build of ONNX Runtime that has it, or name another one.",
        )
    return wanted


@contextmanager
def _book(configuration: Configuration) -> Iterator[SelfTestTable | None]:
    """Where the service finds the results; None where no service keeps its data on this machine."""
    folders = DataFolders(data_folder(configuration), configuration.settings.serve)
    named = configuration.settings.serve.jobs.database
    if not named and not folders.database.exists():
        yield None
        return
    engine = database_engine(database_url(secret(named), folders.database))
    try:
        with answering(engine):
            make_tables(engine)
        yield SelfTestTable(engine)
    finally:
        engine.dispose()


def _models(
    model: str | None, pacs: str | None, configuration: Configuration, workspace: Path
) -> Iterator[tuple[ModelDescriptor, Files]]:
    """Each model with its verified files."""
    if model is not None and Path(model).exists():
        local = local_model(Path(model))
        descriptor = read_descriptor(local.descriptor_path)
        yield descriptor, assemble(descriptor, local.part_paths, workspace)
        return
    with open_archive(configuration.settings.archive(pacs)) as archive:
        studies = _studies(archive, model, configuration, workspace)
        for number, study in enumerate(studies):
            descriptor = read_descriptor(fetch_descriptor(archive, study, workspace / str(number)))
            yield descriptor, obtain_model(archive, descriptor, configuration.cache).files


def _studies(archive: Archive, model: str | None, configuration: Configuration, workspace: Path) -> list[str]:
    if model is not None:
        return [study_of_model(archive, model, workspace)]
    return [row.study_instance_uid for row in list_models(archive, configuration.cache) if not row.problem]


def _document(result: SelfTestResult) -> dict[str, Any]:
    return {
        "model": result.name,
        "sop_instance_uid": result.sop_instance_uid,
        "manifest_sha256": result.manifest_sha256,
        "provider": result.runtime.provider,
        "precision": result.runtime.precision,
        "runtime": str(result.runtime),
        "fingerprint": result.fingerprint,
        "dice": list(result.dice),
        "largest_difference": result.largest_difference,
        "seconds": round(result.seconds, 3),
        "passed": result.passed,
        "sentences": list(result.sentences),
    }


def _render(console: Console, results: Sequence[SelfTestResult], *, kept: bool) -> None:
    rows = table(None, "model", "provider", "precision", "Dice by segment", "largest difference", "seconds", "passed")
    for each in results:
        dice = " ".join(f"{value:.4f}" for value in each.dice) or "-"
        largest = "-" if each.largest_difference is None else f"{each.largest_difference:.4f}"
        passed = "[green]yes[/]" if each.passed else "[red]no[/]"
        rows.add_row(
            escape(each.name),
            each.runtime.provider,
            each.runtime.precision,
            dice,
            largest,
            f"{each.seconds:.1f}",
            passed,
        )
    console.print(rows if results else "The archive holds no model.")
    for each in results:
        if not each.passed:
            console.print(escape(f"{each.name} with {each.runtime}: {each.sentence}"))
    if not kept:
        console.print("Not kept: no service has its data on this machine.")
