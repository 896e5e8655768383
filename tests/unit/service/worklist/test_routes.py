"""UPS-RS as PS3.18 section 11 has it: status codes, warnings, and what a step never shows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from iodeep.service.worklist import Worklist
from iodeep.service.worklist.documents import Document, code, document, items, text
from iodeep.service.worklist.subscribing import FILTERED, GLOBAL
from tests.unit.service.worklist.steps import discontinued, performed, step

UID, OTHER_UID = "2.25.1", "2.25.2"
HOLDER, STRANGER = "2.25.100", "2.25.200"
JSON = {"Content-Type": "application/dicom+json"}


def _post(client: TestClient, path: str, body: Document | None = None) -> Any:
    return client.post(path, content=json.dumps([body]) if body is not None else b"", headers=JSON)


def _create(client: TestClient, uid: str = UID, **more: Any) -> Any:
    return _post(client, f"/workitems?{uid}", step(("99IODEEP", "SEGMENT"), **more))


def _state(client: TestClient, state: str, transaction: str = HOLDER, uid: str = UID) -> Any:
    body = document(ProcedureStepState=state, TransactionUID=transaction or None)
    return client.put(f"/workitems/{uid}/state", content=json.dumps([body]), headers=JSON)


def _get(client: TestClient, uid: str = UID) -> Document:
    (found,) = client.get(f"/workitems/{uid}").json()
    return dict(found)


def test_a_step_is_created_once_and_retrieved(client: TestClient) -> None:
    answer = _create(client)

    assert (answer.status_code, answer.headers["location"]) == (201, f"http://testserver/dicom-web/workitems/{UID}")
    assert "warning" not in answer.headers
    assert _create(client).status_code == 409
    held = _get(client)
    assert (text(held, "SOPInstanceUID"), text(held, "ProcedureStepState")) == (UID, "SCHEDULED")
    assert text(held, "ScheduledProcedureStepModificationDateTime")


@pytest.mark.parametrize("how", [f"?workitem={UID}", f"?AffectedSOPInstanceUID={UID}", f"?{UID}"])
def test_the_uid_may_be_named_in_each_edition_s_way(client: TestClient, how: str) -> None:
    assert _post(client, f"/workitems{how}", step()).headers["location"].endswith(UID)


def test_a_step_that_is_made_whole_is_told_of(client: TestClient) -> None:
    given = step()
    del given["00380010"]

    assert "created with modifications" in _post(client, f"/workitems?{UID}", given).headers["warning"]
    assert _get(client)["00380010"] == {"vr": "LO"}


@pytest.mark.parametrize(
    "more",
    [
        {"ProcedureStepState": "IN PROGRESS"},
        {"ScheduledProcedureStepPriority": "URGENT"},
        {"InputReadinessState": None},
        {"ProcedureStepLabel": None},
        {"TransactionUID": HOLDER},
        {"ProcedureStepProgressInformationSequence": document(ProcedureStepProgress="5")},
    ],
)
def test_a_step_that_the_table_does_not_allow_is_400(client: TestClient, more: dict[str, Any]) -> None:
    assert _create(client, **more).status_code == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"[1]", b'[{"00100010": 5}]', b"[" * 100_000])
def test_what_is_no_data_set_is_400(client: TestClient, body: bytes) -> None:
    assert client.post(f"/workitems?{UID}", content=body, headers=JSON).status_code == 400


def test_the_holder_alone_changes_and_completes_a_step(client: TestClient) -> None:
    _create(client)
    assert _state(client, "IN PROGRESS").status_code == 200

    refused = _post(client, f"/workitems/{UID}?transaction-uid={STRANGER}", performed())
    without = _post(client, f"/workitems/{UID}", performed())
    early = _state(client, "COMPLETED")
    assert [each.status_code for each in (refused, without, early)] == [400, 400, 409]
    assert "Transaction UID is missing" in without.headers["warning"]
    assert _post(client, f"/workitems/{UID}?{HOLDER}", performed()).status_code == 200
    wrong = _state(client, "COMPLETED", STRANGER)
    assert (wrong.status_code, "Transaction UID is incorrect" in wrong.headers["warning"]) == (400, True)
    assert _state(client, "COMPLETED").status_code == 200
    again = _state(client, "COMPLETED")
    assert (again.status_code, "already in the requested state of COMPLETED" in again.headers["warning"]) == (200, True)
    assert _post(client, f"/workitems/{UID}?{HOLDER}", performed()).status_code == 400


def test_the_transaction_uid_is_shown_to_nobody(client: TestClient) -> None:
    _create(client)
    _state(client, "IN PROGRESS")

    found = client.get("/workitems?includefield=all&ProcedureStepState=IN%20PROGRESS")
    assert HOLDER not in client.get(f"/workitems/{UID}").text
    assert HOLDER not in found.text
    assert len(found.json()) == 1


def test_what_must_not_change_is_refused(client: TestClient) -> None:
    _create(client)
    for changes in (document(PatientID="P2"), document(ProcedureStepState="COMPLETED"), document(SOPInstanceUID="1")):
        assert _post(client, f"/workitems/{UID}", changes).status_code == 400
    unclaimed = _post(client, f"/workitems/{UID}?transaction-uid={HOLDER}", document(ProcedureStepLabel="x"))
    assert (unclaimed.status_code, "did not reference a claimed" in unclaimed.headers["warning"]) == (409, True)


def test_cancelling_ends_what_has_not_begun_and_asks_who_performs(client: TestClient) -> None:
    _create(client)
    _create(client, OTHER_UID)
    _state(client, "IN PROGRESS", uid=OTHER_UID)
    reason = document(ReasonForCancellation="wrong patient")

    assert _post(client, f"/workitems/{UID}/cancelrequest", reason).status_code == 202
    (progress,) = items(_get(client), "ProcedureStepProgressInformationSequence")
    assert (text(_get(client), "ProcedureStepState"), text(progress, "ReasonForCancellation")) == (
        "CANCELED",
        "wrong patient",
    )
    again = _post(client, f"/workitems/{UID}/cancelrequest")
    assert (again.status_code, "already in the requested state of CANCELED" in again.headers["warning"]) == (409, True)
    assert _post(client, f"/workitems/{OTHER_UID}/cancelrequest").status_code == 409, "nobody hears of it"
    client.post(f"/workitems/{OTHER_UID}/subscribers/PERFORMER")
    assert _post(client, f"/workitems/{OTHER_UID}/cancelrequest").status_code == 202
    assert text(_get(client, OTHER_UID), "ProcedureStepState") == "IN PROGRESS"


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ("", 2),
        ("ProcedureStepState=SCHEDULED", 1),
        ("PatientID=P*", 2),
        ("00100020=P1", 1),
        ("ScheduledWorkitemCodeSequence.CodeValue=SEGMENT", 2),
        ("00404018.00080100=OTHER", 0),
        ("ScheduledProcedureStepStartDateTime=20190101-20201231", 2),
        ("InputInformationSequence.SeriesInstanceUID=1.2.3.4", 2),
        ("PatientName=Doe*&limit=1", 1),
        ("limit=1&offset=2", 0),
    ],
)
def test_steps_are_searched_for(client: TestClient, keys: str, found: int) -> None:
    _create(client)
    _create(client, OTHER_UID, PatientID="P2")
    _state(client, "IN PROGRESS", uid=OTHER_UID)

    answer = client.get(f"/workitems?{keys}")
    assert (answer.status_code, len(answer.json()) if found else 0) == (200 if found else 204, found)


def test_what_is_not_there_is_404(client: TestClient) -> None:
    assert client.get("/workitems/2.25.9").status_code == 404
    assert _state(client, "IN PROGRESS").status_code == 404
    assert _post(client, f"/workitems/{UID}/cancelrequest").status_code == 404
    assert client.post(f"/workitems/{UID}/subscribers/ME").status_code == 404
    assert client.delete(f"/workitems/{UID}/subscribers/ME").status_code == 404
    assert client.get("/workitems/x").status_code == 400


def _events(client: TestClient, aet: str, count: int) -> list[tuple[int, str]]:
    with client.websocket_connect(f"/dicom-web/subscribers/{aet}") as socket:
        reports = [json.loads(socket.receive_text()) for _ in range(count)]
    return [(each["00001002"]["Value"][0], text(each, "ProcedureStepState")) for each in reports]


def test_a_subscriber_of_a_step_hears_of_its_life(client: TestClient) -> None:
    _create(client)
    answer = client.post(f"/workitems/{UID}/subscribers/ME")
    assert (answer.status_code, answer.headers["content-location"]) == (201, "ws://testserver/dicom-web/subscribers/ME")
    _state(client, "IN PROGRESS")
    _post(
        client,
        f"/workitems/{UID}?{HOLDER}",
        document(ProcedureStepProgressInformationSequence=document(ProcedureStepProgress="5")),
    )
    _post(client, f"/workitems/{UID}/cancelrequest", document(ReasonForCancellation="late"))
    _post(client, f"/workitems/{UID}?{HOLDER}", discontinued())
    _state(client, "CANCELED")

    assert _events(client, "ME", 6) == [
        (1, "SCHEDULED"),
        (1, "IN PROGRESS"),
        (3, ""),
        (2, ""),
        (3, ""),
        (1, "CANCELED"),
    ]


def test_a_global_subscriber_hears_of_new_steps_until_it_suspends(client: TestClient) -> None:
    _create(client)
    assert client.post(f"/workitems/{GLOBAL}/subscribers/ME?deletionlock=true").status_code == 201
    station = {"ScheduledStationNameCodeSequence": code("X", "99X", "X")}
    _create(client, OTHER_UID, **station)
    assert client.post(f"/workitems/{GLOBAL}/subscribers/ME/suspend").status_code == 200
    _create(client, "2.25.3")

    assert _events(client, "ME", 3) == [(1, "SCHEDULED"), (1, "SCHEDULED"), (5, "")]
    assert client.delete(f"/workitems/{GLOBAL}/subscribers/ME").status_code == 200
    assert client.delete(f"/workitems/{GLOBAL}/subscribers/ME").status_code == 404


def test_a_filtered_subscriber_hears_of_what_fits(client: TestClient, worklist: Worklist) -> None:
    assert client.post(f"/workitems/{FILTERED}/subscribers/ME?filter=PatientID=P2").status_code == 201
    assert client.post(f"/workitems/{FILTERED}/subscribers/ME?filter=").status_code == 400
    _create(client)
    _create(client, OTHER_UID, PatientID="P2")

    assert len(worklist.subscriptions.waiting("ME")) == 1


def test_steps_that_ended_are_deleted_later_unless_locked(client: TestClient, worklist: Worklist) -> None:
    for uid in (UID, OTHER_UID):
        _create(client, uid)
        _post(client, f"/workitems/{uid}/cancelrequest")
    client.post(f"/workitems/{OTHER_UID}/subscribers/ME?deletionlock=true")

    assert worklist.purge(3600) == 0
    assert worklist.purge(-1) == 1
    assert client.get(f"/workitems/{UID}").status_code == 410
    assert client.get(f"/workitems/{OTHER_UID}").status_code == 200
    assert _create(client).status_code == 409, "a UID is never used again"


def test_a_restart_is_told_to_all_who_subscribed(worklist: Worklist) -> None:
    worklist.subscriptions.subscribe("ME", GLOBAL, lock=False)
    worklist.subscriptions.announce_restart()

    ((_, report),) = worklist.subscriptions.waiting("ME")
    assert (text(json.loads(report), "SCPStatus"), json.loads(report)["00001002"]["Value"]) == ("RESTARTED", [4])
