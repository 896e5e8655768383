"""iodeep jobs, status and summary: the same over HTTP and at the database, and clear where neither is there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from iodeep.errors import ArchiveError, ExitCode, InputError, IODeepError, SettingsError
from iodeep.service.audit import EventKind, read_events
from iodeep.service.cli import app
from iodeep.service.configuration import load_configuration
from iodeep.service.jobs import JobProgress, JobRequest, JobState, Step
from iodeep.service.serving.composition import folders_of, job_board
from tests.unit.service.api.busy_day import busy_day
from tests.unit.service.api.site import SERIES, STUDY, Site

REQUEST = JobRequest(study_instance_uid=STUDY, series_instance_uid=SERIES, pacs="main", results_to="main")


def iodeep(*arguments: str) -> tuple[int, Any]:
    """How the command ended, and its JSON document."""
    ended = CliRunner().invoke(app, [*arguments, "--json"])
    if isinstance(ended.exception, IODeepError):
        raise ended.exception
    return ended.exit_code, json.loads(ended.stdout)


def words(*arguments: str) -> str:
    """What a person reads."""
    ended = CliRunner().invoke(app, [*arguments])
    assert not isinstance(ended.exception, IODeepError), ended.exception
    return ended.stdout


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No service is named, and no settings are found."""
    for name in ("IODEEP_URL", "IODEEP_API_KEY", "IODEEP_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def named(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> str:
    """The site's API, named as a user names it."""
    url = str(client.base_url).rstrip("/")
    monkeypatch.setenv("IODEEP_URL", url)
    return url


@pytest.fixture
def local(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The options that name a machine's own database, and the id of a job in it."""
    settings = tmp_path / "iodeep-local.toml"
    settings.write_text(f'[serve]\ndata = "{tmp_path / "data"}"\n', encoding="utf-8")
    configuration = load_configuration(settings)
    with closing(job_board(configuration, folders_of(configuration))) as board:
        record, _ = board.submit(REQUEST)
        yield str(settings), record.job_id


@pytest.mark.usefixtures("named")
def test_jobs_are_listed_shown_ended_and_begun_again_over_http(site: Site) -> None:
    record, _ = site.board.submit(REQUEST)

    assert [job["job_id"] for job in iodeep("jobs", "list", "--series", SERIES)[1]["jobs"]] == [record.job_id]
    assert iodeep("jobs", "list", "--state", "failed")[1] == {"jobs": []}
    assert iodeep("jobs", "show", record.job_id)[1]["request"]["series_instance_uid"] == SERIES
    assert iodeep("jobs", "cancel", record.job_id)[1]["state"] == "cancelled"
    assert iodeep("jobs", "retry", record.job_id)[1]["jobs"][0]["state"] == "waiting"
    with pytest.raises(InputError, match="cannot be begun again"):
        iodeep("jobs", "retry", record.job_id)
    with pytest.raises(InputError, match="there is no job"):
        iodeep("jobs", "show", "0" * 32)


def test_the_same_at_the_database_is_recorded(local: tuple[str, str], tmp_path: Path) -> None:
    config, job_id = local

    assert [job["job_id"] for job in iodeep("jobs", "list", "--config", config)[1]["jobs"]] == [job_id]
    assert iodeep("jobs", "cancel", job_id, "--config", config)[1]["state"] == "cancelled"
    assert iodeep("jobs", "retry", job_id, "--config", config)[1]["jobs"][0]["state"] == "waiting"
    assert iodeep("summary", "--config", config)[1]["open"] == 1
    assert iodeep("status", "--config", config)[1]["counts"]["waiting"] == 1
    events = [each.event for each in read_events(tmp_path / "data" / "audit")]
    assert [(event.kind, event.action) for event in events if event.kind is EventKind.JOB] == [
        (EventKind.JOB, "U"),
        (EventKind.JOB, "D"),
    ]


@pytest.mark.usefixtures("named")
def test_to_begin_again_names_jobs_or_all_that_failed() -> None:
    with pytest.raises(InputError, match="no job was named"):
        iodeep("jobs", "retry")


def test_a_day_of_jobs_is_told_in_words(
    start: Callable[[Site], httpx.Client], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.board = busy_day()
    monkeypatch.setenv("IODEEP_URL", str(start(site).base_url))

    status = words("status")
    assert "2 failed" in status
    assert "worker-2 on ai-node-2: dead" in status
    assert "main: answers in 1.5 ms" in status
    assert "MAINPACS refused the segmentation" in words("jobs", "list", "--state", "failed")
    shown = words("summary")
    assert "series seen" in shown
    assert len(iodeep("jobs", "retry", "--failed")[1]["jobs"]) == 2
    assert iodeep("status")[1]["counts"]["failed"] == 0


def test_an_archive_that_is_silent_is_told_by_the_exit_code(
    start: Callable[[Site], httpx.Client], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IODEEP_URL", str(start(site).base_url))
    site.archive_answers.clear()

    code, seen = iodeep("status")

    assert code == ExitCode.ARCHIVE
    assert seen["archives"][0]["problem"] == "nothing answers at main. Start it."


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize(
    ("state", "code"), [(JobState.DONE, 0), (JobState.REFUSED, 3), (JobState.FAILED, 7), (JobState.CANCELLED, 130)]
)
def test_a_job_is_followed_to_its_end_and_the_exit_code_says_how_it_ended(
    site: Site, state: JobState, code: int
) -> None:
    record, _ = site.board.submit(REQUEST)
    site.board.change(record.job_id, state=JobState.RUNNING, progress=JobProgress(step=Step.RUN, done=3, total=9))
    site.board.change(record.job_id, state=state)

    ended = CliRunner().invoke(app, ["jobs", "follow", record.job_id])

    assert ended.exit_code == code
    assert state.value in ended.stdout


def test_without_a_service_the_way_to_one_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "iodeep.toml"
    config.write_text(f'[serve]\ndata = "{tmp_path / "none"}"\n', encoding="utf-8")
    with pytest.raises(SettingsError, match="none has run on this machine"):
        iodeep("jobs", "list")
    assert not (tmp_path / "none").exists()
    monkeypatch.setenv("IODEEP_URL", "http://127.0.0.1:1")
    with pytest.raises(SettingsError, match="no service answers"):
        iodeep("status")


def test_a_service_that_asks_for_a_key_says_which_variable_brings_it(
    start: Callable[[Site], httpx.Client], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.serve = {"http": {"port": 0}}
    monkeypatch.setenv("IODEEP_URL", str(start(site).base_url))
    with pytest.raises(SettingsError, match="IODEEP_API_KEY"):
        iodeep("jobs", "list")
    monkeypatch.setenv("IODEEP_API_KEY", "wrong")
    with pytest.raises(SettingsError) as refused:
        iodeep("jobs", "list")
    assert "wrong" not in str(refused.value)


def test_problems_of_the_archive_keep_their_kind(site: Site, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise ArchiveError("it refused", remedy="Ask it why.")

    monkeypatch.setattr(site.board, "get", away)

    with pytest.raises(ArchiveError, match="it refused"):
        iodeep("jobs", "show", "0" * 32)
    assert named


def test_a_day_that_is_none_is_told() -> None:
    with pytest.raises(InputError, match="no day"):
        iodeep("summary", "--day", "tomorrow")
