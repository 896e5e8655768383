"""The steps of a job on a real archive and network: whatever is lost between them, the same bytes come out."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest

from iodeep.card import card_document, card_of_document, read_card
from iodeep.errors import ArchiveUnreachableError, LocalStorageError, NotApprovedError, SelfTestError
from iodeep.inference import Engine
from iodeep.lifecycle_settings import LifecycleSettings
from iodeep.ports import Archive, Level, StoreReport, no_progress
from iodeep.service.admitting import Admission
from iodeep.service.audit.event import AuditEvent, EventKind
from iodeep.service.jobs import JobRequest, Step
from iodeep.service.jobs.steps import JobSteps, Workshop
from iodeep.service.jobs.workplace import Workplace
from iodeep.service.model_alerts import ModelAlerts
from iodeep.service.packing import pack_network
from iodeep.service.selecting import site_policy
from iodeep.service.self_testing import SelfTestBook, SelfTestResult
from iodeep.service.storing import dicom_files
from iodeep.settings import Retrieve, RunSettings, Settings
from iodeep.trust.lifecycle import ModelState, RegisteredRelease
from pacs_bridge import open_archive
from pacs_bridge.content_digest import content_digest, same_content
from tests.end_to_end.conftest import ROOT, FilledArchive
from tests.end_to_end.copies import Copy, copied_head
from tests.networks import tiny_segmenter
from tests.peers.servers import orthanc
from tests.unit.service.lifecycle.registers import approved, change, register

pytestmark = pytest.mark.slow

Documents = dict[Step, dict[str, Any]]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(RunSettings()) as engine:
        yield engine


@pytest.fixture
def request_(archive: FilledArchive, tmp_path: Path) -> JobRequest:
    """A job for a copy of the head series that nobody else asks about."""
    files = copied_head(tmp_path / "copy")
    with open_archive(archive.settings) as opened:
        opened.store(files.paths)
    return JobRequest(study_instance_uid=files.study, series_instance_uid=files.series, pacs="main", results_to="main")


class LosesTheLine:
    """An archive that takes one file, and is then gone."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def __getattr__(self, name: str) -> Any:
        return getattr(self._archive, name)

    def __enter__(self) -> LosesTheLine:
        self._archive.__enter__()
        return self

    def __exit__(self, *left: Any) -> None:
        self._archive.__exit__(*left)

    def store(self, paths: Sequence[Path], **options: Any) -> StoreReport:
        self._archive.store(paths[:1], **options)
        raise ArchiveUnreachableError("the association was lost")


def steps_in(
    folder: Path,
    archive: FilledArchive,
    engine: Engine,
    request: JobRequest,
    *,
    loses: bool = False,
    record: Callable[[AuditEvent], None] = lambda _: None,
    self_tests: SelfTestBook | None = None,
    admission: Admission | None = None,
) -> JobSteps:
    def open_named(_: str) -> Archive:
        opened = open_archive(archive.settings)
        return LosesTheLine(opened) if loses else opened

    shop = Workshop(
        open_archive=open_named,
        models_from="",
        cache=folder / "cache",
        spool=folder / "spool",
        policy=site_policy(Settings(lifecycle=LifecycleSettings() if admission else None), admission=admission),
        engine=engine,
        record=record,
        self_tests=self_tests,
    )
    return JobSteps(request, shop, Workplace(folder / "work"), progress=no_progress, cancel=threading.Event())


def do(steps: JobSteps, *wanted: Step) -> Documents:
    """Do steps as a worker does: what they give goes through JSON, as it is kept."""
    for step in wanted:
        steps.done[step] = json.loads(json.dumps(steps.do(step)))
    return steps.done


def taken_over(folder: Path, archive: FilledArchive, engine: Engine, request: JobRequest, done: Documents) -> JobSteps:
    """The job in another process, on another host: nothing but what was kept in the database."""
    steps = steps_in(folder, archive, engine, request)
    steps.done.update(done)
    return steps


class Book(dict[tuple[str, str], SelfTestResult]):
    """Results of self-tests, in memory."""

    def find(self, manifest_sha256: str, fingerprint: str) -> SelfTestResult | None:
        return self.get((manifest_sha256, fingerprint))

    def keep(self, result: SelfTestResult) -> None:
        self[result.manifest_sha256, result.fingerprint] = result


def test_a_model_that_was_never_tested_here_is_tested_first_and_one_that_failed_sees_no_image(
    archive: FilledArchive, engine: Engine, request_: JobRequest, tmp_path: Path
) -> None:
    book = Book()
    first = steps_in(tmp_path / "first", archive, engine, request_, self_tests=book)
    do(first, Step.SELECT, Step.FETCH, Step.VERIFY)
    (kept,) = book.values()
    assert kept.passed
    assert kept.fingerprint == engine.runtime.fingerprint

    book.keep(replace(kept, passed=False, sentences=("It differs.",)))
    for step in (Step.VERIFY, Step.RUN):
        with pytest.raises(SelfTestError, match="is not run there") as caught:
            first.do(step)
        assert "It differs." in str(caught.value)
    assert not (tmp_path / "first" / "work" / "prediction.json").exists()


def test_what_a_model_gave_that_was_stopped_since_is_not_stored(
    archive: FilledArchive, engine: Engine, request_: JobRequest, tmp_path: Path
) -> None:
    steps = steps_in(tmp_path / "job", archive, engine, request_)
    do(steps, Step.SELECT)
    release = RegisteredRelease.of(steps._plan.descriptor)
    with register(tmp_path) as states:
        approved(states, release)
        admission = Admission(states, ModelAlerts(lambda _: None))
        steps = steps_in(tmp_path / "job", archive, engine, request_, admission=admission)
        done = do(steps, *(step for step in Step if step not in (Step.STORE, Step.CONFIRM)))
        change(states, release, ModelState.QUARANTINED)

        with pytest.raises(NotApprovedError, match="it is in quarantine"):
            steps.do(Step.STORE)

    with open_archive(archive.settings) as opened:
        uids = {each["sop_instance_uid"] for each in done[Step.SELECT]["results"]}
        assert uids
        study = {"StudyInstanceUID": request_.study_instance_uid}
        series = [row["SeriesInstanceUID"] for row in opened.find(Level.SERIES, study, ("SeriesInstanceUID",))]
        assert series == [request_.series_instance_uid]


def test_each_step_makes_again_what_another_host_had(
    archive: FilledArchive, engine: Engine, request_: JobRequest, tmp_path: Path
) -> None:
    done: Documents = {}
    for step in Step:
        steps = taken_over(tmp_path / step.value, archive, engine, request_, done)
        done = do(steps, step)
        steps.close()

    with open_archive(archive.settings) as opened:
        rows = opened.find(Level.SERIES, {"StudyInstanceUID": request_.study_instance_uid}, ("Modality",))
    assert sorted(row["Modality"] for row in rows) == ["MR", "SEG", "SR"]
    assert [each["modality"] for each in done[Step.SELECT]["results"]] == ["SEG", "SR"]


def test_a_line_lost_between_the_two_results_leaves_them_to_be_finished_to_the_same_bytes(
    archive: FilledArchive, engine: Engine, request_: JobRequest, tmp_path: Path
) -> None:
    first = steps_in(tmp_path / "first", archive, engine, request_, loses=True)
    do(first, *list(Step)[:5])
    with pytest.raises(ArchiveUnreachableError):
        first.do(Step.STORE)
    first.close()

    second = taken_over(tmp_path / "second", archive, engine, request_, first.done)
    do(second, Step.STORE, Step.CONFIRM)
    second.close()

    made = [
        {content_digest(path) for path in (tmp_path / each / "work" / "results").glob("*.dcm")}
        for each in ("first", "second")
    ]
    assert made[0] == made[1]
    assert len(made[0]) == 2


def test_it_is_recorded_whose_images_a_network_sees_and_what_is_sent_before_that_happens(
    archive: FilledArchive, engine: Engine, request_: JobRequest, tmp_path: Path
) -> None:
    recorded: list[AuditEvent] = []

    def refuse_the_second(event: AuditEvent) -> None:
        recorded.append(event)
        if event.kind is EventKind.INSTANCES_TRANSFERRED:
            raise LocalStorageError("the audit log cannot be written")

    steps = steps_in(tmp_path, archive, engine, request_, record=refuse_the_second)
    do(steps, *list(Step)[:5])
    with pytest.raises(LocalStorageError):
        steps.do(Step.STORE)
    steps.close()

    assert [each.kind for each in recorded] == [EventKind.INSTANCES_ACCESSED, EventKind.INSTANCES_TRANSFERRED]
    assert recorded[0].study_instance_uids == (request_.study_instance_uid,)
    assert recorded[0].model_uids == (steps.done[Step.SELECT]["model"]["uid"],)
    with open_archive(archive.settings) as opened:
        rows = opened.find(Level.SERIES, {"StudyInstanceUID": request_.study_instance_uid}, ("Modality",))
    assert [row["Modality"] for row in rows] == ["MR"]


def test_a_job_that_is_done_again_finds_its_results_and_stores_nothing(
    archive: FilledArchive, engine: Engine, request_: JobRequest, tmp_path: Path
) -> None:
    steps = steps_in(tmp_path / "first", archive, engine, request_)
    do(steps, *Step)
    steps.close()
    again = steps_in(tmp_path / "again", archive, engine, request_)
    found = do(again, Step.SELECT)[Step.SELECT]
    again.close()

    assert found["there"]
    assert found["findings"] == steps.done[Step.BUILD]["findings"]
    for path in (tmp_path / "first" / "work" / "results").glob("*.dcm"):
        assert same_content(path, tmp_path / "again" / "work" / "results" / path.name) is None


@pytest.fixture
def orthanc_archive(tmp_path: Path) -> Iterator[FilledArchive]:
    """An archive that tells Series Description in C-FIND."""
    with orthanc(tmp_path / "orthanc") as peer:
        yield FilledArchive(peer.settings(Retrieve.GET), {})


@pytest.mark.peers
def test_a_model_with_two_inputs_gets_the_one_that_came_and_the_other_out_of_the_archive(
    orthanc_archive: FilledArchive, engine: Engine, tmp_path: Path
) -> None:
    first, second = two_sequences(tmp_path / "study")
    model = two_input_model(tmp_path / "model", engine)
    with open_archive(orthanc_archive.settings) as opened:
        opened.store([*dicom_files([model]), *first.paths, *second.paths])
    shutil.copytree(first.paths[0].parent, tmp_path / "job" / "spool" / first.study / first.series)
    asked = JobRequest(
        study_instance_uid=first.study,
        series_instance_uid=first.series,
        pacs="main",
        results_to="main",
        instances=len(first.paths),
        model="TWOSEQ",
    )

    steps = steps_in(tmp_path / "job", orthanc_archive, engine, asked)
    done = do(steps, *Step)
    steps.close()

    assert done[Step.SELECT]["inputs"] == {"t1": first.series, "t2": second.series}
    with open_archive(orthanc_archive.settings) as opened:
        rows = opened.find(Level.SERIES, {"StudyInstanceUID": first.study}, ("Modality",))
    assert sorted(row["Modality"] for row in rows) == ["MR", "MR", "SEG", "SR"]


def two_sequences(folder: Path) -> tuple[Copy, Copy]:
    """Two series of one examination: the head, as T1 and as T2."""
    first, second = copied_head(folder / "t1"), copied_head(folder / "t2")
    for copy, words in ((first, "AX T1 SE"), (second, "AX T2 TSE")):
        for path in copy.paths:
            image = pydicom.dcmread(path)
            image.StudyInstanceUID, image.PatientID, image.SeriesDescription = first.study, "TWO", words
            for told_otherwise in ("EchoTime", "RepetitionTime", "InversionTime", "ScanningSequence"):
                image.pop(told_otherwise, None)
            image.save_as(path)
    return first, replace(second, study=first.study)


def two_input_model(folder: Path, engine: Engine) -> Path:
    """A packed model that needs both."""
    document = card_document(read_card(ROOT / "sample_data" / "brain" / "card.yaml"))
    inputs = [{"name": name, "modality": "MR", "sequences": [name.upper()]} for name in ("t1", "t2")]
    document |= {"name": "Two sequences", "token": "TWOSEQ", "inputs": inputs}
    document["preprocessing"] = [{"step": "orient", "axes": "RAS"}, {"step": "scale_range"}]
    document["network"] |= {"files": ["two.onnx"], "input_tensor": "input"}
    document["segmentation"] |= {"tensor": "output"}
    folder.mkdir()
    network = tiny_segmenter(folder / "two.onnx", threshold=0.25, inputs=2)
    pack_network(network, card_of_document(document, "test"), folder / "object", engine)
    return folder / "object"
