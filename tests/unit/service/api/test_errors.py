"""Whatever goes wrong, the answer is a problem document with a correlation id and without a stack trace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest
from starlette.requests import ClientDisconnect

from iodeep.errors import IODeepError, LocalStorageError
from iodeep.service.api.boundary import Boundary
from tests.unit.service.api.site import SERIES, STUDY, Site

MEMBERS = {"type", "title", "status", "detail", "correlation_id"}


def problem(answer: httpx.Response) -> dict[str, object]:
    """The document, checked for what each has."""
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, object] = answer.json()
    assert document.keys() >= MEMBERS
    assert document["status"] == answer.status_code
    assert document["correlation_id"] == answer.headers["X-Request-ID"]
    return document


def test_a_path_that_is_none_and_a_method_that_is_none_are_problems(client: httpx.Client) -> None:
    assert problem(client.get("/api/v1/nothing"))["title"] == "Not Found"
    refused = client.delete("/api/v1/jobs")
    assert problem(refused)["type"] == "urn:iodeep:problem:MethodNotAllowed"
    assert refused.headers["Allow"] == "GET, POST"


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_body_that_is_no_object_is_a_problem(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/api/v1/jobs", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code in (400, 422)
    problem(answer)


def test_an_archive_that_does_not_answer_is_504_with_what_to_do(client: httpx.Client, site: Site) -> None:
    site.archive_answers.clear()

    document = problem(client.get("/api/v1/studies?patient_id=P1"))

    assert (document["status"], document["remedy"]) == (504, "Start it.")


def test_a_database_that_does_not_answer_is_503(
    client: httpx.Client, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise LocalStorageError("the database does not answer")

    monkeypatch.setattr(site.board, "counts", away)
    monkeypatch.setattr(site.board, "list", away)

    assert problem(client.get("/api/v1/jobs"))["status"] == 503
    readiness = client.get("/api/v1/readiness")
    assert (readiness.status_code, readiness.json()["database"]) == (503, False)


@pytest.mark.parametrize("error", [RuntimeError("secret of a patient"), IODeepError("unforeseen")])
def test_a_defect_is_500_and_says_nothing_of_itself(
    client: httpx.Client, site: Site, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(site.board, "get", broken)

    answer = client.get(f"/api/v1/jobs/{'0' * 32}", headers={"X-Request-ID": "caller-0001"})

    assert problem(answer)["correlation_id"] == "caller-0001"
    assert answer.status_code == 500
    assert "Traceback" not in answer.text
    assert "secret" not in answer.text


def test_a_correlation_id_that_could_forge_a_log_is_replaced(client: httpx.Client) -> None:
    answer = client.get("/api/v1/health", headers={"X-Request-ID": "a b\tc"})

    assert len(answer.headers["X-Request-ID"]) == 32


def test_values_of_a_wrong_request_are_not_repeated(client: httpx.Client) -> None:
    answer = client.post("/api/v1/jobs", json={"study_instance_uid": "Doe^Jane", "series_instance_uid": SERIES})

    assert problem(answer)["status"] == 422
    assert "Doe" not in answer.text


def test_nobody_without_a_credential_gets_anything(start: Callable[[Site], httpx.Client], site: Site) -> None:
    site.serve = {"http": {"port": 0}}
    client = start(site)
    described = client.get("/api/v1/openapi.json").json()["paths"]
    calls = [(method, path, each) for path, methods in described.items() for method, each in methods.items()]
    ask = {"study_instance_uid": STUDY, "series_instance_uid": SERIES}
    names = {"job_id": "0" * 32, "uid": "1.2", "study": "1.2", "series": "1.2"}

    opened = set()
    for method, path, _ in calls:
        answer = client.request(method, path.format(**names), json=ask if method == "post" else None)
        if answer.status_code != 401:
            opened.add(path)
        else:
            assert "Bearer" in answer.headers["WWW-Authenticate"]

    assert len(calls) >= 20
    assert opened == {"/api/v1/health", "/api/v1/readiness", "/api/v1/sign-in"}
    assert site.board.list() == []
    for path in ("studies", "workitems", "pacs/main/studies"):
        assert client.get(f"/dicom-web/{path}").status_code == 401


def test_a_viewer_looks_and_changes_nothing(start: Callable[[Site], httpx.Client], site: Site) -> None:
    site.serve = {"http": {"port": 0}, "access": {"anonymous": "viewer"}}
    client = start(site)
    ask = {"study_instance_uid": STUDY, "series_instance_uid": SERIES}

    assert client.get("/api/v1/jobs").status_code == 200
    for path, body in (("jobs", ask), (f"jobs/{'0' * 32}/cancel", None), (f"jobs/{'0' * 32}/retry", None)):
        assert problem(client.post(f"/api/v1/{path}", json=body))["status"] == 403
    assert client.get("/api/v1/audit").status_code == 403


def test_a_caller_that_went_away_is_no_defect(caplog: pytest.LogCaptureFixture) -> None:
    async def app(*_: object) -> None:
        raise ClientDisconnect

    async def nothing(*_: object) -> None:
        raise AssertionError("nobody is there to be answered")

    scope = {"type": "http", "method": "POST", "path": "/x", "headers": []}
    with caplog.at_level("INFO"):
        asyncio.run(Boundary(app)(scope, nothing, nothing))  # type: ignore[arg-type]
    assert "went away" in caplog.text
    assert "Traceback" not in caplog.text
