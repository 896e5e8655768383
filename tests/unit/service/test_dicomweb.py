"""``/dicom-web`` in the service: guarded like everything else, audited once for each series, and performing what is scheduled."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

from iodeep.service.audit import EventKind
from tests.unit.service.api.conftest import client, running, site, start
from tests.unit.service.api.site import Site
from tests.unit.service.worklist.steps import step

__all__ = ["client", "site", "start"]

UID = "2.25.1"
JSON = {"Content-Type": "application/dicom+json"}


def _create(client: httpx.Client, **headers: str) -> httpx.Response:
    body = json.dumps([step(("99IODEEP", "OTHERS"))])
    return client.post(f"/dicom-web/workitems?{UID}", content=body, headers=JSON | headers)


def test_without_credentials_nothing_is_given_and_nothing_taken(
    start: Callable[[Site], httpx.Client], tmp_path: Path
) -> None:
    client = start(Site(tmp_path, serve={"http": {"port": 0}}))
    answers = [
        client.get("/dicom-web/studies"),
        client.get("/dicom-web/studies/1.2/series/1.3/metadata"),
        client.post("/dicom-web/studies", content=b"x", headers={"Content-Type": "application/dicom"}),
        client.get("/dicom-web/workitems"),
        _create(client),
    ]

    assert [answer.status_code for answer in answers] == [401] * 5
    socket = f"{client.base_url.copy_with(path='/dicom-web/subscribers/ME')}".replace("http", "ws", 1)
    with pytest.raises((InvalidHandshake, ConnectionClosed)), connect(socket) as opened:
        opened.recv(10)


def test_a_viewer_reads_and_does_not_write(start: Callable[[Site], httpx.Client], tmp_path: Path) -> None:
    client = start(Site(tmp_path, serve={"http": {"port": 0}, "access": {"anonymous": "viewer"}}))

    assert client.get("/dicom-web/studies").status_code in (200, 204)
    assert client.get("/dicom-web/workitems").status_code == 204
    assert client.post("/dicom-web/studies", content=b"x").status_code == 403
    assert _create(client).status_code == 403


def test_a_search_is_audited_before_it_is_answered(site: Site) -> None:
    with running(site) as client:
        client.get("/dicom-web/studies?PatientID=P1")

    assert [event.detail for event in site.audit.events if event.kind is EventKind.QUERY] == ["PatientID=P1"]


def test_reports_go_through_a_real_web_socket(client: httpx.Client) -> None:
    assert _create(client).status_code == 201
    answer = client.post(f"/dicom-web/workitems/{UID}/subscribers/ME")
    with connect(answer.headers["content-location"]) as socket:
        report = json.loads(socket.recv(10))

    assert report["00741000"]["Value"] == ["SCHEDULED"]
