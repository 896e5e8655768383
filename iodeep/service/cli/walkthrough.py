"""The demo: the whole way once, with a real object, a real archive, a real network and a real series."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from iodeep.errors import IntegrityError, Refusal
from iodeep.inference import Engine
from iodeep.ports import Archive, ProgressSink, Wanted
from iodeep.service.cli import options
from iodeep.service.cli.output import Output, people, size
from iodeep.service.cli.series import render_decision, render_run
from iodeep.service.configuration import Configuration, load_configuration
from iodeep.service.demonstration import SampleData, packed_models, sample_data
from iodeep.service.library import fetch_model
from iodeep.service.running import Job, RunReport, run_job
from iodeep.service.selecting import select_model, site_policy
from iodeep.service.storing import dicom_files, store_and_prove
from iodeep.service.subjects import local_series, subject_of
from iodeep.service.verifying import verify_model
from iodeep.settings import PacsSettings, Settings
from pacs_bridge import open_archive
from pacs_bridge.embedded import embedded_archive


def demo(
    pacs: Annotated[
        str | None, typer.Option("--pacs", "-p", help="Your own archive; without it one is started for the demo.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for everything that the demo makes.")] = Path(
        "iodeep-demo"
    ),
    data: Annotated[
        Path | None, typer.Option("--data", help="The sample_data folder; by default the checkout's.")
    ] = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Run the whole way once: pack, store, find, verify, run, write back, fetch back.

    Starts an archive of its own (pynetdicom's qrscp, as it comes), packs a real brain-extraction network and a few
    placeholders, stores them, sends a real MR series of the head, asks the archive which model fits, verifies and runs
    it, and writes a segmentation, a report and a picture. With `--pacs` the same happens in your own archive; to clean up
    there, delete the patients AIM1.* and 123565.
    """
    output = Output(json)
    console = people(stderr=json)
    configuration = load_configuration(config)
    out = out.absolute()
    started = perf_counter()
    with (
        _archive_settings(pacs, configuration, out, console) as settings,
        open_archive(settings) as archive,
        Engine(configuration.settings.run) as engine,
        output.progress() as progress,
    ):
        report, verdicts = _the_whole_way(archive, engine, sample_data(data), out, console, progress)
    document = {**report.as_document(), "verified": verdicts, "total_seconds": round(perf_counter() - started, 2)}
    output.answer(document, lambda console: _render_end(console, report, settings.name, out, perf_counter() - started))


def _the_whole_way(
    archive: Archive, engine: Engine, data: SampleData, out: Path, console: Console, progress: ProgressSink
) -> tuple[RunReport, list[str]]:
    cache, policy = out / "cache", site_policy(Settings())
    with _step(console, "pack the models into DICOM objects") as note:
        objects = list(packed_models(data, out / "objects", engine, progress=progress))
        note(f"{len(objects)} models")
    with _step(console, "store them by C-STORE, and prove that they are there") as note:
        files = [file for _, folder in objects for file in dicom_files([folder])]
        sent = store_and_prove(archive, files, progress=progress)
        note(f"{sent.instances} instances, {size(sent.bytes)}")
    with _step(console, "send the patient's series") as note:
        sent = store_and_prove(archive, dicom_files([data.series]), progress=progress)
        note(f"{sent.instances} slices")
    with tempfile.TemporaryDirectory(prefix="iodeep-") as name:
        workspace = Path(name)
        with _step(console, "retrieve the series from the archive"):
            subject = subject_of(_series_uid(data), archive, workspace, progress=progress)
        with _step(console, "ask by C-FIND which model fits"):
            decision = select_model(subject, archive, cache, policy, every_candidate=True, progress=progress).decision
        render_decision(console, decision, explain=True)
        if decision.chosen is None:
            raise Refusal(decision.refusal)
        with _step(console, "retrieve that model and verify it: digests, structure, self-test"):
            verdicts = _verified(archive, decision.chosen.study_instance_uid, engine, workspace)
        for verdict in verdicts:
            console.print(f"  [green]ok[/] {escape(verdict)}")
        with _step(console, "run it, write SEG and SR back, prove that they are there"):
            job = Job(subject, archive, cache, policy, wanted_model=decision.chosen.uid, out=out / "results")
            report = run_job(job, engine, workspace, progress=progress)
    with _step(console, "fetch the results back") as note:
        note(f"{_fetched_back(archive, report, subject.series[0].study_instance_uid, out)} instances")
    return report, verdicts


@contextmanager
def _archive_settings(
    pacs: str | None, configuration: Configuration, out: Path, console: Console
) -> Iterator[PacsSettings]:
    if pacs:
        yield configuration.settings.archive(pacs)
        return
    with ExitStack() as running:
        with _step(console, "start an archive: pynetdicom's qrscp") as note:
            settings = running.enter_context(embedded_archive(out / "archive"))
            note(f"{settings.aet} at port {settings.port}")
        yield settings


def _verified(archive: Archive, study: str, engine: Engine, workspace: Path) -> list[str]:
    local = fetch_model(archive, study, workspace / "model")
    verdict = verify_model(local.descriptor_path, local.part_paths, engine, workspace / "payload")
    if not verdict.holds:
        raise IntegrityError(" ".join(check.sentence for check in verdict.checks if not check.holds))
    return [check.sentence for check in verdict.checks]


def _series_uid(data: SampleData) -> str:
    return local_series(data.series)[0].series_instance_uid


def _fetched_back(archive: Archive, report: RunReport, study: str, out: Path) -> int:
    into = out / "fetched"
    into.mkdir(parents=True, exist_ok=True)
    uids = (report.uids.segmentation_series, report.uids.report_series)
    return sum(len(archive.fetch(Wanted(study, uid), into)) for uid in uids)


@contextmanager
def _step(console: Console, title: str) -> Iterator[_Note]:
    """One line a step, with its seconds, once it is done."""
    note = _Note()
    start = perf_counter()
    yield note
    remark = f" ({note.text})" if note.text else ""
    console.print(f"[green]{perf_counter() - start:6.2f} s[/]  {title}{remark}")


class _Note:
    """A remark that a step makes about itself."""

    def __init__(self) -> None:
        self.text = ""

    def __call__(self, text: str) -> None:
        self.text = text


def _render_end(console: Console, report: RunReport, archive: str, out: Path, seconds: float) -> None:
    console.print()
    render_run(console, report, archive)
    console.print(f"\nDone in {seconds:.1f} s. Everything is in {escape(str(out))}; no process is left running.")
