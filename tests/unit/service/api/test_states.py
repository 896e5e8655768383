"""Where models stand, over HTTP: read by viewers, changed by administrators who are signed in; trials are shown to them alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from iodeep.card import read_card
from iodeep.errors import NotTrustedError
from iodeep.model_object import read_descriptor
from iodeep.serve_settings import UserRole
from iodeep.service.access.api_keys import ApiKeys
from iodeep.service.audit import EventKind
from iodeep.service.jobs import JobRequest, JobState, ResultRef
from iodeep.service.library import local_model
from iodeep.service.lifecycle.opening import open_register
from iodeep.service.lifecycle.site_register import SiteRegister
from iodeep.trust.lifecycle import ModelState, RegisteredRelease
from tests.unit.selection.support import BRAIN_CARD, packed
from tests.unit.service.api.site import SERIES, STUDY, Site
from tests.unit.service.lifecycle.registers import Somebody, approved, change, to_self_tested

RESEARCH = {"host": "127.0.0.2", "port": 1, "aet": "RESEARCH"}
Start = Callable[[Site], httpx.Client]


@pytest.fixture
def model(tmp_path: Path) -> RegisteredRelease:
    packed(tmp_path / "brain", read_card(BRAIN_CARD))
    return RegisteredRelease.of(read_descriptor(local_model(tmp_path / "brain" / "packed").descriptor_path))


@pytest.fixture
def site(tmp_path: Path, model: RegisteredRelease) -> Site:
    """A site that asks for approval, with a model on its archive."""
    return Site(
        tmp_path / "data",
        serve={"http": {"port": 0}},
        models=(tmp_path / "brain" / "packed",),
        lifecycle={"shadow_archive": "research", "skip_shadow": True},
        further={"research": RESEARCH},
    )


@contextmanager
def register_of(site: Site) -> Iterator[SiteRegister]:
    context = site.context()
    with open_register(context.configuration, context.folders, site.audit) as opened:
        yield opened


def key(site: Site, name: str, role: UserRole) -> dict[str, str]:
    """A caller's credential."""
    _, secret = ApiKeys(site.root / "api-keys.json").add(name, frozenset({role}), None)
    return {"Authorization": f"Bearer {secret}"}


def ask(model: RegisteredRelease, state: str, **fields: object) -> dict[str, object]:
    return {"state": state, "reason": "as agreed", "manifest_sha256": model.manifest_sha256, **fields}


def test_an_administrator_approves_and_everybody_sees_it(site: Site, model: RegisteredRelease, start: Start) -> None:
    with register_of(site) as register:
        to_self_tested(register, model)
    boss, viewer = key(site, "Ann", UserRole.ADMINISTRATOR), key(site, "Vic", UserRole.VIEWER)
    client = start(site)
    path = f"/api/v1/models/{model.study_instance_uid}/state"
    before = client.get(path, headers=viewer).json()

    answer = client.post(path, json=ask(model, "approved"), headers=boss)

    assert (before["state"], before["runs"]) == ("self-tested", False)
    assert (answer.status_code, answer.json()["state"], answer.json()["runs"]) == (200, "approved", True)
    assert answer.json()["approved_by"] == ["Ann"]
    last = client.get(path, headers=viewer).json()["history"][-1]
    assert (last["by"], last["before"], last["after"], last["reason"]) == (
        "Ann",
        "self-tested",
        "approved",
        "as agreed",
    )
    (listed,) = client.get("/api/v1/models", headers=viewer).json()["items"]
    assert (listed["state"], listed["problem"]) == ("approved", None)
    told = [each for each in site.audit.events if each.kind is EventKind.APPROVAL and each.user == "Ann"]
    assert [each.model_uids for each in told] == [(model.sop_instance_uid,)]


def test_only_administrators_change_a_state(site: Site, model: RegisteredRelease, start: Start) -> None:
    with register_of(site) as register:
        to_self_tested(register, model)
    client = start(site)
    path = f"/api/v1/models/{model.sop_instance_uid}/state"
    for role in (UserRole.VIEWER, UserRole.CLINICIAN, UserRole.SERVICE):
        answer = client.post(path, json=ask(model, "approved"), headers=key(site, role.value, role))
        assert answer.status_code == 403
    with register_of(site) as register:
        standing = register.standing(model.sop_instance_uid)
    assert standing
    assert standing.state is ModelState.SELF_TESTED


def test_nobody_who_is_not_signed_in_approves(site: Site, model: RegisteredRelease, start: Start) -> None:
    site.serve["access"] = {"anonymous": "administrator"}
    with register_of(site) as register:
        to_self_tested(register, model)

    answer = start(site).post(f"/api/v1/models/{model.sop_instance_uid}/state", json=ask(model, "approved"))

    assert answer.status_code == 409
    assert "not signed in" in answer.json()["detail"]


def test_what_the_rules_do_not_allow_is_a_conflict_with_its_remedy(
    site: Site, model: RegisteredRelease, start: Start
) -> None:
    with register_of(site) as register:
        register.receive(model, "Ann", "it came")
    boss = key(site, "Ann", UserRole.ADMINISTRATOR)
    client = start(site)
    path = f"/api/v1/models/{model.sop_instance_uid}/state"

    early = client.post(path, json=ask(model, "approved"), headers=boss)
    other = client.post(path, json=ask(model, "approved", manifest_sha256="0" * 64), headers=boss)

    assert (early.status_code, other.status_code) == (409, 409)
    assert "iodeep approve" in early.json()["remedy"]
    assert "is not what this site registered" in other.json()["detail"]
    for wrong in ({"reason": " "}, {"state": "verified"}, {"by": "somebody else"}):
        assert client.post(path, json=ask(model, "approved") | wrong, headers=boss).status_code == 422
    assert client.get("/api/v1/models/1.2.3/state", headers=boss).status_code == 404


def test_a_model_that_is_not_approved_is_not_chosen(site: Site, model: RegisteredRelease, start: Start) -> None:
    viewer = key(site, "Vic", UserRole.VIEWER)
    client = start(site)
    series = {"study_instance_uid": STUDY, "series_instance_uid": SERIES}

    refused = client.post("/api/v1/selection", json=series, headers=viewer).json()
    with register_of(site) as register:
        approved(register, model)
    chosen = client.post("/api/v1/selection", json=series, headers=viewer).json()
    with register_of(site) as register:
        change(register, model, ModelState.RETIRED)
    retired = client.post("/api/v1/selection", json=series, headers=viewer).json()

    assert "never registered at this site" in refused["refusal"]
    assert chosen["chosen_uid"] == model.sop_instance_uid
    assert "it was retired" in retired["refusal"]


def test_a_trial_needs_an_archive_of_its_own(site: Site, model: RegisteredRelease, start: Start) -> None:
    site.lifecycle = {}
    with register_of(site) as register:
        to_self_tested(register, model)

    answer = start(site).post(
        f"/api/v1/models/{model.sop_instance_uid}/state",
        json=ask(model, "shadow"),
        headers=key(site, "Ann", UserRole.ADMINISTRATOR),
    )

    assert answer.status_code == 409
    assert "shadow_archive" in answer.json()["expected"]


def test_trials_are_shown_to_administrators_alone(site: Site, start: Start) -> None:
    real = JobRequest(study_instance_uid=STUDY, series_instance_uid=SERIES, pacs="main", results_to="main")
    trial = real.model_copy(update={"shadow": True, "results_to": "research"})
    reference = ResultRef(
        study_instance_uid=STUDY, series_instance_uid="9", sop_instance_uid="9.1", sop_class_uid="1.2", modality="SR"
    )
    for each in (real, trial):
        site.board.submit(each)
        site.board.change(each.job_id, state=JobState.DONE, results=(reference,))
    everybody = [key(site, role.value, role) for role in (UserRole.VIEWER, UserRole.CLINICIAN, UserRole.SERVICE)]
    boss = key(site, "Ann", UserRole.ADMINISTRATOR)
    client = start(site)

    def listed(who: dict[str, str]) -> set[str]:
        return {each["job_id"] for each in client.get("/api/v1/jobs", headers=who).json()["items"]}

    assert listed(boss) == {real.job_id, trial.job_id}
    for who in everybody:
        assert listed(who) == {real.job_id}
        for path in ("", "/results", "/events?seconds=0"):
            assert client.get(f"/api/v1/jobs/{trial.job_id}{path}", headers=who).status_code == 404
        stream = client.get("/api/v1/events?seconds=0", headers=who | {"Last-Event-ID": "1"}).text
        assert (real.job_id in stream, trial.job_id in stream) == (True, False)
    found = client.get(f"/api/v1/series/{SERIES}/results", headers=boss).json()["items"]
    assert [each["job_id"] for each in found] == [real.job_id]
    assert client.get(f"/api/v1/jobs/{trial.job_id}", headers=boss).json()["request"]["shadow"]
    assert trial.job_id in client.get("/api/v1/events?seconds=0", headers=boss | {"Last-Event-ID": "1"}).text


def test_the_archive_of_trials_is_not_shown(site: Site, start: Start) -> None:
    boss = key(site, "Ann", UserRole.ADMINISTRATOR)
    client = start(site)

    assert client.get("/api/v1/studies?pacs=research", headers=boss).status_code == 404
    assert client.get("/dicom-web/pacs/research/studies", headers=boss).status_code == 404
    assert client.get("/dicom-web/pacs/main/studies", headers=boss).status_code == 200


def test_two_people_who_are_signed_in_approve(site: Site, model: RegisteredRelease, start: Start) -> None:
    may = {"sign_in": True, "may": ["approve", "quarantine"]}
    site.lifecycle = {
        "skip_shadow": True,
        "approvals": 2,
        "people": [{"name": "Ann", **may}, {"name": "Bob", **may}],
    }
    with register_of(site) as register:
        to_self_tested(register, model)
        with pytest.raises(NotTrustedError, match="Bob has not signed"):
            change(register, model, ModelState.APPROVED, "Bob")
    people = {name: key(site, name, UserRole.ADMINISTRATOR) for name in ("Ann", "Bob", "Eve")}
    client = start(site)
    path = f"/api/v1/models/{model.sop_instance_uid}/state"

    def by(name: str) -> httpx.Response:
        return client.post(path, json=ask(model, "approved"), headers=people[name])

    assert (by("Eve").status_code, "may not approve" in by("Eve").json()["detail"]) == (409, True)
    first = by("Ann")
    assert (first.status_code, first.json()["state"], first.json()["approved_by"]) == (200, "self-tested", ["Ann"])
    assert (by("Ann").status_code, "approved" in by("Ann").json()["detail"]) == (409, True)
    second = by("Bob")
    assert (second.status_code, second.json()["state"], second.json()["approved_by"]) == (
        200,
        "approved",
        ["Ann", "Bob"],
    )


def test_a_sign_in_is_no_signature_where_a_key_is_asked_for(
    site: Site, model: RegisteredRelease, start: Start, tmp_path: Path
) -> None:
    ann = Somebody("Ann").settings(tmp_path)
    site.lifecycle = {"skip_shadow": True, "people": [ann.model_dump(mode="json")]}
    with register_of(site) as register:
        to_self_tested(register, model)

    answer = start(site).post(
        f"/api/v1/models/{model.sop_instance_uid}/state",
        json=ask(model, "approved"),
        headers=key(site, "Ann", UserRole.ADMINISTRATOR),
    )

    assert answer.status_code == 409
    assert "sign_in = true" in answer.json()["remedy"]


def test_a_caller_who_is_called_as_the_service_calls_itself_changes_nothing(
    site: Site, model: RegisteredRelease, start: Start
) -> None:
    with register_of(site) as register:
        approved(register, model)
    client = start(site)

    answer = client.post(
        f"/api/v1/models/{model.study_instance_uid}/state",
        json=ask(model, "quarantined"),
        headers=key(site, "service", UserRole.ADMINISTRATOR),
    )

    assert answer.status_code == 409
    assert "no person is called" in answer.text
    with register_of(site) as register:
        (standing,) = register.standings()
    assert standing.state is ModelState.APPROVED
