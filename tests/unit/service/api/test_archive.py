"""Models, the choice among them, studies and series: read from the archive, model objects apart from patients."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from iodeep.card import read_card
from iodeep.service.api.archive_reads import (
    ModelOut,
    PolicyNow,
    SelectionAsk,
    decide_without_images,
    model_with_card,
    models_of,
)
from iodeep.service.selecting import site_policy
from iodeep.service.serving import ServeContext
from tests.unit.selection.support import BRAIN_CARD, packed
from tests.unit.service.api.site import SERIES, STUDY, Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site with one model for the head."""
    packed(tmp_path / "brain", read_card(BRAIN_CARD))
    serve = {"http": {"port": 0}, "access": {"anonymous": "viewer"}}
    return Site(tmp_path / "data", serve=serve, models=(tmp_path / "brain" / "packed",))


def test_models_are_listed_and_one_is_shown_with_its_card(client: httpx.Client) -> None:
    (model,) = client.get("/api/v1/models").json()["items"]

    assert (model["name"], model["modality"], model["problem"]) == ("Brain extraction", "MR", None)
    for uid in (model["sop_instance_uid"], model["study_instance_uid"]):
        assert client.get(f"/api/v1/models/{uid}").json()["card"]["name"] == "Brain extraction"
    assert client.get("/api/v1/models/1.2.3").status_code == 404


@pytest.mark.parametrize(
    ("query", "found"), [("anatomy=HEAD", 1), ("anatomy=LIVER", 0), ("modality=CT", 0), ("name=brain", 1)]
)
def test_models_are_filtered(client: httpx.Client, query: str, found: int) -> None:
    assert len(client.get(f"/api/v1/models?{query}").json()["items"]) == found


def test_an_anatomy_that_is_no_defined_term_is_told(client: httpx.Client) -> None:
    answer = client.get("/api/v1/models?anatomy=NOSUCH")

    assert (answer.status_code, answer.json()["items"]) == (200, [])


def test_the_model_that_fits_a_series_is_named_with_its_reasons(client: httpx.Client) -> None:
    ask = {"study_instance_uid": STUDY, "series_instance_uid": SERIES}

    decision = client.post("/api/v1/selection", json=ask).json()

    assert decision["chosen"] == "Brain extraction 1.0.2"
    assert decision["refusal"] is None
    assert all(entry["sentence"] for entry in decision["candidates"][0]["requirements"])
    refused = client.post("/api/v1/selection", json={**ask, "model": "LUNG"}).json()
    assert refused["chosen"] is None
    assert refused["refusal"]


def test_a_series_without_images_or_that_is_not_there_is_404(client: httpx.Client) -> None:
    for series in ("1.2.3.1.2", "9.9"):
        ask = {"study_instance_uid": STUDY, "series_instance_uid": series}
        assert client.post("/api/v1/selection", json=ask).status_code == 404


def test_models_never_stand_among_patients(client: httpx.Client) -> None:
    models = client.get("/api/v1/models").json()["items"]
    studies = client.get("/api/v1/studies?patient_id=*").json()["items"]

    assert {study["patient_id"] for study in studies} == {"P1", "P2", "P3"}
    uid = models[0]["study_instance_uid"]
    assert client.get(f"/api/v1/studies?study={uid}").json()["items"] == []
    assert client.get(f"/api/v1/studies/{uid}/series").status_code == 404


def test_studies_come_page_by_page_the_newest_first(client: httpx.Client) -> None:
    address: str | None = "/api/v1/studies?patient_name=Doe*&limit=2"
    found: list[str] = []
    while address:
        page = client.get(address).json()
        found += [study["study_date"] for study in page["items"]]
        address = page["next"]

    assert found == ["20261119", "20261118", "20261117"]


def test_a_query_is_recorded_with_the_study_that_it_was_about(client: httpx.Client, site: Site) -> None:
    client.get(f"/api/v1/studies/{STUDY}/series")

    assert [(event.study_instance_uids, event.user) for event in site.audit.events] == [((STUDY,), "anonymous")]


def test_series_say_whether_they_hold_images(client: httpx.Client) -> None:
    rows = client.get(f"/api/v1/studies/{STUDY}/series").json()["items"]

    assert [(row["series_instance_uid"], row["has_images"]) for row in rows] == [(SERIES, True), ("1.2.3.1.2", False)]


@pytest.mark.parametrize("word", ["a\\b", "a\nb", "x" * 65])
def test_text_that_dicom_would_take_apart_is_refused(client: httpx.Client, word: str) -> None:
    assert client.get("/api/v1/studies", params={"patient_id": word}).status_code == 422


def policy_of(context: ServeContext) -> PolicyNow:
    return lambda: site_policy(context.settings, serving=True)


def listed(context: ServeContext) -> list[ModelOut]:
    return models_of(context, policy_of(context), "main", modality="", anatomy="", disease="", name="")


def test_models_are_taken_from_a_list_as_old_as_the_site_allows(site: Site) -> None:
    site.selection = {"catalogue_max_age_s": 3600}
    context = site.context()
    (model,) = listed(context)
    site.models = ()

    assert listed(context) == [model]
    assert (
        model_with_card(context, policy_of(context), "main", model.sop_instance_uid).card["name"] == "Brain extraction"
    )
    ask = SelectionAsk(study_instance_uid=STUDY, series_instance_uid=SERIES)
    assert (
        decide_without_images(context, policy_of(context), "main", "main", ask)["chosen_uid"] == model.sop_instance_uid
    )


def test_models_are_asked_for_each_time_where_the_site_says_nothing(site: Site) -> None:
    context = site.context()
    assert len(listed(context)) == 1
    site.models = ()

    assert listed(context) == []
