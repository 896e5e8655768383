"""We perform steps: of our own worklist, and of another one over UPS-RS; what becomes of the jobs becomes of the step."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from iodeep.serve_settings import PullSettings
from iodeep.service.jobs import Failure, JobProgress, JobState, Origin, Priority, ResultRef, Step
from iodeep.service.jobs.database import database_engine, database_url
from iodeep.service.worklist import Performer, Puller, Worklist
from iodeep.service.worklist.documents import Document, code, document, items, text
from iodeep.service.worklist.states import State
from tests.unit.service.jobs.fake_board import FakeBoard
from tests.unit.service.worklist.steps import OTHER, SERIES, SITE, STUDY, step

UID = "2.25.1"
OURS = ("99IODEEP", "SEGMENT")
SEG = ResultRef(
    study_instance_uid=STUDY,
    series_instance_uid="1.9",
    sop_instance_uid="1.9.1",
    sop_class_uid="1.66.4",
    modality="SEG",
)
SR = ResultRef(
    study_instance_uid=STUDY, series_instance_uid="1.8", sop_instance_uid="1.8.1", sop_class_uid="1.88", modality="SR"
)


@pytest.fixture
def board() -> FakeBoard:
    return FakeBoard()


@pytest.fixture
def performer(worklist: Worklist, board: FakeBoard) -> Performer:
    return Performer(worklist, board, SITE)


def _state(worklist: Worklist) -> str:
    return worklist.get(UID).state.value


def _reason(held: Document) -> str:
    return text(next(items(held, "ProcedureStepProgressInformationSequence")), "ReasonForCancellation")


def test_a_step_is_performed_from_its_beginning_to_its_results(
    worklist: Worklist, board: FakeBoard, performer: Performer
) -> None:
    worklist.create(UID, step(OURS, ScheduledProcedureStepPriority="HIGH"))
    performer.once()
    (job,) = board.list()
    request = job.request
    assert (request.series_instance_uid, request.pacs, request.model) == (SERIES, "main", None)
    assert (request.priority, request.origin, request.requested_by) == (Priority.STAT, Origin.WORKLIST, f"UPS {UID}")
    assert _state(worklist) == "SCHEDULED"

    board.change(job.job_id, state=JobState.RUNNING, progress=JobProgress(step=Step.RUN, done=1, total=2))
    performer.once()
    (progress,) = items(worklist.get(UID).document, "ProcedureStepProgressInformationSequence")
    assert (_state(worklist), text(progress, "ProcedureStepProgressDescription")) == ("IN PROGRESS", "run")
    assert text(progress, "ProcedureStepProgress") == "50"

    now = datetime.now(UTC)
    board.change(job.job_id, state=JobState.DONE, started=now, finished=now, model_name="M", results=(SEG, SR))
    performer.once()
    performer.once()
    (performed,) = items(worklist.get(UID).document, "UnifiedProcedureStepPerformedProcedureSequence")
    outputs = list(items(performed, "OutputInformationSequence"))
    assert _state(worklist) == "COMPLETED"
    assert [text(each, "SeriesInstanceUID") for each in outputs] == ["1.9", "1.8"]
    assert not worklist.ours()


def test_two_series_are_two_jobs_and_the_step_ends_with_the_last(
    worklist: Worklist, board: FakeBoard, performer: Performer
) -> None:
    worklist.create(UID, step(("99SITE", "BRAIN"), series=(SERIES, OTHER)))
    performer.once()
    first, second = board.list()
    assert {first.request.model, second.request.model} == {"BRAINMASK"}
    board.change(first.job_id, state=JobState.DONE)
    performer.once()
    assert _state(worklist) == "IN PROGRESS"
    board.change(second.job_id, state=JobState.DONE)
    performer.once()

    assert _state(worklist) == "COMPLETED"


@pytest.mark.parametrize(
    ("state", "failure", "reason"),
    [
        (JobState.REFUSED, Failure(step=Step.SELECT, kind="Refusal", problem="no model fits"), "no model fits"),
        (JobState.FAILED, Failure(step=Step.FETCH, kind="ArchiveError", problem="gone", remedy="Look."), "gone. Look."),
        (JobState.CANCELLED, None, "cancelled"),
    ],
)
def test_a_job_that_ends_otherwise_cancels_the_step_with_its_reason(
    worklist: Worklist, board: FakeBoard, performer: Performer, state: JobState, failure: Failure | None, reason: str
) -> None:
    worklist.create(UID, step(OURS))
    performer.once()
    board.change(board.list()[0].job_id, state=state, failure=failure)
    performer.once()

    assert (_state(worklist), _reason(worklist.get(UID).document)) == ("CANCELED", reason)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"series": ()}, "names no series"),
        ({"series": ("x",)}, "no series"),
        (
            {"OutputDestinationSequence": document(DICOMStorageSequence=document(DestinationAE="ELSEWHERE"))},
            "no archive of ours",
        ),
    ],
)
def test_a_step_that_cannot_become_a_job_is_cancelled_with_the_reason(
    worklist: Worklist, board: FakeBoard, performer: Performer, more: dict[str, Any], reason: str
) -> None:
    worklist.create(UID, step(OURS, **more))
    performer.once()

    assert _state(worklist) == "CANCELED"
    assert reason in _reason(worklist.get(UID).document)
    assert not board.list()


def test_the_step_may_name_its_model_and_where_results_go(
    worklist: Worklist, board: FakeBoard, performer: Performer
) -> None:
    named = document(
        ValueType="TEXT", ConceptNameCodeSequence=code("MODEL", "99IODEEP", "Model"), TextValue="LUNG-1.0.0"
    )
    to = document(DICOMStorageSequence=document(DestinationAE="RESULTS"))
    worklist.create(UID, step(OURS, ScheduledProcessingParametersSequence=named, OutputDestinationSequence=to))
    performer.once()

    request = board.list()[0].request
    assert (request.model, request.results_to) == ("LUNG-1.0.0", "results")


@pytest.mark.parametrize(
    "given",
    [
        step(("99SITE", "PRINT")),
        step(OURS, InputReadinessState="INCOMPLETE"),
        step(OURS, ScheduledProcedureStepStartDateTime="29990101"),
        step(OURS, ScheduledProcedureStepStartDateTime="29990101000000+0100"),
    ],
)
def test_what_is_not_ours_or_not_due_is_left_alone(
    worklist: Worklist, board: FakeBoard, performer: Performer, given: Document
) -> None:
    worklist.create(UID, given)
    performer.once()

    assert not board.list()
    assert _state(worklist) == "SCHEDULED"


@pytest.mark.parametrize("running", [False, True])
def test_a_cancel_request_ends_the_job(
    worklist: Worklist, board: FakeBoard, performer: Performer, running: bool
) -> None:
    worklist.create(UID, step(OURS))
    performer.once()
    job = board.list()[0].job_id
    if running:
        board.change(job, state=JobState.RUNNING)
        performer.once()
    assert not worklist.request_cancel(UID, "RIS", {}).refused
    performer.once()

    assert board.get(job).state is JobState.CANCELLED
    assert _state(worklist) == "CANCELED"
    if running:
        assert "RIS" in _reason(worklist.get(UID).document)


def test_a_step_that_another_claims_meanwhile_is_left_to_it(
    worklist: Worklist, board: FakeBoard, performer: Performer
) -> None:
    worklist.create(UID, step(OURS))
    performer.once()
    job = board.list()[0].job_id
    worklist.change_state(UID, "2.25.555", State.IN_PROGRESS)
    board.change(job, state=JobState.RUNNING)
    performer.once()

    assert board.get(job).state is JobState.CANCELLED
    assert worklist.get(UID).holder == "2.25.555"
    assert _state(worklist) == "IN PROGRESS"


def test_a_job_that_was_lost_before_it_was_submitted_is_submitted(worklist: Worklist, board: FakeBoard) -> None:
    worklist.create(UID, step(OURS))
    first = FakeBoard()
    Performer(worklist, first, SITE).once()
    Performer(worklist, board, SITE).once()

    assert [each.job_id for each in board.list()] == [each.job_id for each in first.list()]


@pytest.fixture
def puller(client: TestClient, board: FakeBoard, tmp_path: Path) -> Iterator[Puller]:
    engine = database_engine(database_url("", tmp_path / "ours.sqlite"))
    pull = PullSettings(root="http://testserver/dicom-web", label="AI")
    yield Puller(pull, engine, board, SITE, client)  # type: ignore[arg-type]
    engine.dispose()


def test_a_step_of_another_worklist_is_claimed_performed_and_reported(
    worklist: Worklist, board: FakeBoard, puller: Puller
) -> None:
    worklist.create(UID, step(OURS))
    worklist.create("2.25.2", step(("99SITE", "PRINT")))
    puller.once()
    (job,) = board.list()
    assert _state(worklist) == "IN PROGRESS"
    board.change(job.job_id, state=JobState.RUNNING, progress=JobProgress(step=Step.STORE))
    puller.once()
    assert (
        text(
            next(items(worklist.get(UID).document, "ProcedureStepProgressInformationSequence")), "ProcedureStepProgress"
        )
        == "71"
    )
    board.change(job.job_id, state=JobState.DONE, results=(SEG,))
    puller.once()

    assert _state(worklist) == "COMPLETED"
    assert worklist.get("2.25.2").state is State.SCHEDULED


def test_after_a_crash_right_after_the_claim_the_step_is_still_ours(
    worklist: Worklist, board: FakeBoard, puller: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(BaseException):
        pass

    def crash(*_: object) -> None:
        raise Crash

    worklist.create(UID, step(OURS))
    with monkeypatch.context() as patched:
        patched.setattr(board, "submit", crash)
        with pytest.raises(Crash):
            puller.once()
    assert (_state(worklist), len(board.list())) == ("IN PROGRESS", 0)
    puller.once()
    board.change(board.list()[0].job_id, state=JobState.DONE)
    puller.once()

    assert _state(worklist) == "COMPLETED"


def test_a_step_that_cannot_be_performed_is_cancelled_there(
    worklist: Worklist, board: FakeBoard, puller: Puller
) -> None:
    worklist.create(UID, step(OURS, series=()))
    puller.once()

    assert _state(worklist) == "CANCELED"
    assert not board.list()
