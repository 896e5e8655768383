"""Jobs over HTTP: asked for once, listed, followed, ended, begun again; every refusal says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from iodeep.service.audit import EventKind
from iodeep.service.jobs import JobProgress, JobState, ResultRef, Step
from tests.unit.service.api.site import SERIES, STUDY, Site

ASK = {"study_instance_uid": STUDY, "series_instance_uid": SERIES}
NONE = "0" * 32
UNKNOWN = ({"pacs": "elsewhere", "results_to": "main"}, {"results_to": "elsewhere"})


def asked(client: httpx.Client, **more: Any) -> str:
    answer = client.post("/api/v1/jobs", json={**ASK, **more})
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["job_id"])


def test_the_same_request_is_the_same_job(client: httpx.Client, site: Site) -> None:
    first = client.post("/api/v1/jobs", json=ASK)
    again = client.post("/api/v1/jobs", json={**ASK, "priority": "stat"})

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["job_id"] == again.json()["job_id"]
    assert first.headers["Location"] == f"/api/v1/jobs/{first.json()['job_id']}"
    assert client.get(first.headers["Location"]).json()["request"]["pacs"] == "main"
    assert len(site.board.list()) == 1


def test_who_asked_is_recorded_before_the_job_is_there(client: httpx.Client, site: Site) -> None:
    site.audit.full = True

    answer = client.post("/api/v1/jobs", json=ASK)

    assert answer.status_code == 503
    assert site.board.list() == []
    site.audit.full = False
    job_id = asked(client)
    (event,) = [event for event in site.audit.events if event.kind is EventKind.JOB]
    assert (event.user, event.study_instance_uids) == ("anonymous", (STUDY,))
    assert job_id in event.detail


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"study_instance_uid": "1.2.x"}, "body.study_instance_uid"),
        ({"series_instance_uid": "1." * 40 + "1"}, "body.series_instance_uid"),
        ({"priority": "urgent"}, "body.priority"),
        ({"modell": "BRAIN"}, "body.modell"),
        ({"model": "A\\B"}, "body.model"),
        ({"instances": 0}, "body.instances"),
    ],
)
def test_a_request_that_is_wrong_names_the_field(client: httpx.Client, change: dict[str, Any], where: str) -> None:
    answer = client.post("/api/v1/jobs", json={**ASK, **change})

    assert answer.status_code == 422
    assert [error["where"] for error in answer.json()["errors"]] == [where]


def test_a_caller_cannot_name_an_address_for_an_archive(client: httpx.Client, site: Site) -> None:
    by_url = client.post("/api/v1/jobs", json={**ASK, "pacs": "dicom://EVIL@10.0.0.1:104"})
    unknown = [client.post("/api/v1/jobs", json={**ASK, **named}) for named in UNKNOWN]

    assert by_url.status_code == 422
    assert [(answer.status_code, answer.json()["expected"]) for answer in unknown] == [(404, "main")] * 2
    assert site.board.list() == []


def test_lists_are_filtered_and_go_on_page_by_page(client: httpx.Client, site: Site) -> None:
    ids = [asked(client, instances=count, priority="stat") for count in range(1, 6)]
    asked(client, instances=6)
    site.board.change(ids[0], state=JobState.DONE)

    address: str | None = "/api/v1/jobs?priority=stat&state=waiting&limit=2"
    found: list[str] = []
    while address:
        page = client.get(address).json()
        assert len(page["items"]) <= 2
        found += [job["job_id"] for job in page["items"]]
        address = page["next"]

    assert found == list(reversed(ids[1:]))


def test_a_misspelt_filter_shows_nothing(client: httpx.Client) -> None:
    answer = client.get("/api/v1/jobs?staet=failed")

    assert answer.status_code == 422
    assert "state" in answer.json()["expected"]


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_no_moment_is_too_far_away_to_ask_for(client: httpx.Client, since: str) -> None:
    asked(client)

    answer = client.get("/api/v1/jobs", params={"since": since})

    assert answer.status_code == 200
    assert bool(answer.json()["items"]) is since.startswith("0001")


@pytest.mark.parametrize("path", ["", "/results", "/events"])
def test_a_job_that_is_not_there_is_404(client: httpx.Client, path: str) -> None:
    assert client.get(f"/api/v1/jobs/{NONE}{path}").status_code == 404


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_changes_of_no_job_or_of_the_wrong_state_are_refused(client: httpx.Client, site: Site, verb: str) -> None:
    job_id = asked(client)
    site.board.change(job_id, state=JobState.DONE)

    assert client.post(f"/api/v1/jobs/{NONE}/{verb}").status_code == 404
    refused = client.post(f"/api/v1/jobs/{job_id}/{verb}")
    assert (refused.status_code, refused.json()["found"]) == (409, "done")


def test_a_job_is_ended_and_begun_again(client: httpx.Client, site: Site) -> None:
    job_id = asked(client)

    assert client.post(f"/api/v1/jobs/{job_id}/cancel").json()["state"] == "cancelled"
    assert client.post(f"/api/v1/jobs/{job_id}/retry").json()["state"] == "waiting"
    assert [event.action for event in site.audit.events if event.kind is EventKind.JOB] == ["C", "D", "U"]


def events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Identifier and job of each event of a stream."""
    name = ""
    for line in lines:
        if line.startswith("id: "):
            name = line[4:]
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])


def test_a_job_is_followed_to_its_end(client: httpx.Client, site: Site) -> None:
    job_id = asked(client)
    with client.stream("GET", f"/api/v1/jobs/{job_id}/events") as stream:
        seen = events(stream.iter_lines())
        assert next(seen)[1]["state"] == "waiting"
        site.board.change(job_id, state=JobState.RUNNING, progress=JobProgress(step=Step.RUN, done=1, total=2))
        assert next(seen)[1]["progress"]["total"] == 2
        site.board.change(job_id, state=JobState.DONE)
        last, job = next(seen)
        assert job["state"] == "done"
        assert list(seen) == []

    assert last == str(site.board.get(job_id).revision)


def test_a_follower_goes_on_from_what_it_saw_last(client: httpx.Client, site: Site) -> None:
    job_id = asked(client)
    seen = site.board.get(job_id).revision
    site.board.change(job_id, state=JobState.DONE)

    newer = client.get(f"/api/v1/jobs/{job_id}/events", headers={"Last-Event-ID": str(seen)})
    nothing = client.get(f"/api/v1/jobs/{job_id}/events", headers={"Last-Event-ID": str(seen + 1)})

    assert [job["state"] for _, job in events(iter(newer.text.splitlines()))] == ["done"]
    assert nothing.status_code == 204


def test_every_job_is_followed_in_one_stream_and_what_was_missed_comes_first(client: httpx.Client, site: Site) -> None:
    first = asked(client)
    with client.stream("GET", "/api/v1/events", headers={"Last-Event-ID": "0"}) as stream:
        seen = events(stream.iter_lines())
        assert next(seen)[1]["job_id"] == first
        second = asked(client, instances=7)
        names = {job["job_id"] for _, job in (next(seen), next(seen))}
        assert second in names


def test_streams_end_when_the_service_does(client: httpx.Client, site: Site) -> None:
    job_id = asked(client)
    with client.stream("GET", f"/api/v1/jobs/{job_id}/events") as stream:
        lines = stream.iter_lines()
        assert next(lines) == "event: job"
        site.stop.set()
        for _ in lines:
            pass


def test_results_name_what_was_stored(client: httpx.Client, site: Site) -> None:
    job_id = asked(client)
    result = {
        "study_instance_uid": STUDY,
        "series_instance_uid": "1.2.9",
        "sop_instance_uid": "1.2.9.1",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.66.4",
        "modality": "SEG",
    }
    site.board.change(
        job_id, state=JobState.DONE, results=(ResultRef.model_validate(result),), findings=("Brain: 1302 ml",)
    )

    assert client.get(f"/api/v1/jobs/{job_id}/results").json()["results"] == [result]
    (of_series,) = client.get(f"/api/v1/series/{SERIES}/results").json()["items"]
    assert (of_series["job_id"], of_series["findings"]) == (job_id, ["Brain: 1302 ml"])
