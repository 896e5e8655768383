"""The administrator's page in a real browser: sign-in, live jobs, a retry, keys, and nothing from elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from iodeep.card import read_card
from iodeep.model_object import read_descriptor
from iodeep.serve_settings import UserRole
from iodeep.service.access.api_keys import ApiKeys
from iodeep.service.intake_counters import write_counters
from iodeep.service.jobs import JobFilter, JobProgress, JobRequest, JobState, Step
from iodeep.service.library import local_model
from iodeep.service.lifecycle.opening import open_register
from iodeep.trust.lifecycle import RegisteredRelease
from tests.unit.selection.support import BRAIN_CARD, packed
from tests.unit.service.api.busy_day import busy_day, counters
from tests.unit.service.api.conftest import running
from tests.unit.service.api.site import SERIES, STUDY, Site
from tests.unit.service.lifecycle.registers import approved

CHROMIUM = shutil.which("chromium")
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-default-apps --disable-dev-shm-usage"
)
expect.set_options(timeout=30_000)  # a loaded machine draws late
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """A browser's page that notes what goes wrong on it, and where it asks."""
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=CHROMIUM, headless=True, args=QUIET.split()
        )
        try:
            yield context.new_page()
        finally:
            context.close()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A busy site with a clinician's key."""
    site = Site(tmp_path / "data", serve={"http": {"port": 0}}, board=busy_day())
    write_counters(site.root / "running", counters())
    return site


def test_an_administrator_signs_in_watches_and_begins_a_failed_job_again(site: Site, page: Page) -> None:
    _, key = ApiKeys(site.root / "api-keys.json").add("desk", frozenset({UserRole.CLINICIAN}), None)
    wrong: list[str] = []
    hosts: set[str] = set()
    page.on("console", lambda message: wrong.append(message.text) if "Content Security" in message.text else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))

    with running(site) as client:
        page.goto(f"{client.base_url}/console/")
        expect(page.locator("#door-title")).to_have_text("You are not signed in")
        expect(page.locator("#signed-in")).to_be_hidden()
        page.fill("#key", "iodeep_no_such")
        page.keyboard.press("Enter")
        expect(page.locator("#door-error")).not_to_be_empty()
        page.fill("#key", key)
        page.keyboard.press("Enter")
        expect(page.locator("#live")).to_have_text("Live")

        job = site.board.list(JobFilter(states=frozenset({JobState.RUNNING})))[0]
        progress = JobProgress(step=Step.RUN, done=77, total=99, unit="windows")
        site.board.change(job.job_id, progress=progress)
        expect(page.locator(f'[data-job="{job.job_id}"]')).to_contain_text("77 of 99 windows")

        page.keyboard.press("2")
        failed = page.locator("#rows tr")
        expect(failed).to_have_count(2)
        expect(failed.first).to_contain_text("Step")
        job_id = failed.first.get_attribute("data-job")
        failed.first.get_by_role("button", name="Retry").click()
        expect(failed).to_have_count(1)
        assert job_id is not None
        assert site.board.get(job_id).state is JobState.WAITING

        before = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.keyboard.press("t")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
        page.click("#leave")
        expect(page.locator("#door-words")).to_have_text("You have signed out.")
        assert len(hosts) == 1

    assert wrong == []


def test_nothing_moves_while_figures_change(site: Site, page: Page) -> None:
    site.serve = {"http": {"port": 0}, "access": {"anonymous": "viewer"}}
    page.set_viewport_size({"width": 1280, "height": 800})
    with running(site) as client:
        page.goto(f"{client.base_url}/console/")
        expect(page.locator("#live")).to_have_text("Live")
        expect(page.locator("#disk-free")).not_to_have_text("–")
        places = "[...document.querySelectorAll('.tile, .panel')].map(each => each.getBoundingClientRect().toJSON())"
        before = page.evaluate(places)
        for job in site.board.list(JobFilter(states=frozenset({JobState.WAITING}))):
            site.board.change(job.job_id, state=JobState.RUNNING)
        expect(page.locator("#n-waiting")).to_have_text("0")

        assert page.evaluate(places) == before
        assert page.locator("#rows button").count() == 0  # a viewer changes nothing


def test_where_models_stand_is_shown_and_trials_to_administrators(page: Page, tmp_path: Path) -> None:
    packed(tmp_path / "brain", read_card(BRAIN_CARD))
    site = Site(
        tmp_path / "data",
        serve={"http": {"port": 0}, "access": {"anonymous": "administrator"}},
        models=(tmp_path / "brain" / "packed",),
        lifecycle={"skip_shadow": True},
    )
    context = site.context()
    model = RegisteredRelease.of(read_descriptor(local_model(tmp_path / "brain" / "packed").descriptor_path))
    with open_register(context.configuration, context.folders, site.audit) as register:
        approved(register, model)
    trial = JobRequest(
        study_instance_uid=STUDY, series_instance_uid=SERIES, pacs="main", results_to="research", shadow=True
    )
    site.board.submit(trial)
    with running(site) as client:
        page.goto(f"{client.base_url}/console/")

        expect(page.locator("#models")).to_contain_text("approved")
        expect(page.locator(f'[data-job="{trial.job_id}"]')).to_contain_text("trial")
