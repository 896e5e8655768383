"""Every event becomes a message that the schema of PS3.15 A.5.1 takes, with the codes of its table in A.5.3."""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from iodeep.service.audit import AuditEvent, EventKind, Outcome, RecordedEvent
from iodeep.service.audit.message import as_xml

SCHEMA = etree.RelaxNG(etree.parse(str(Path(__file__).with_name("audit-message.rng"))))
UIDS = st.from_regex(r"[1-9][0-9]{0,8}(\.[1-9][0-9]{0,8}){1,5}", fullmatch=True)
TEXTS = st.text(max_size=40)
EVENTS = st.builds(
    AuditEvent,
    kind=st.sampled_from(EventKind),
    outcome=st.sampled_from(Outcome),
    user=TEXTS,
    address=st.sampled_from(["", "127.0.0.1", "::1", "ct-1.example"]),
    action=st.sampled_from("CRUDE"),
    event_type=st.sampled_from(["", "110123", "110126"]),
    patient_id=TEXTS,
    patient_name=TEXTS,
    study_instance_uids=st.lists(UIDS, max_size=3).map(tuple),
    sop_class_uids=st.lists(UIDS, max_size=3).map(tuple),
    instances=st.none() | st.integers(0, 5000),
    model_uids=st.lists(UIDS, max_size=2).map(tuple),
    detail=TEXTS,
    when=st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)),
)


def _tree(event: AuditEvent) -> etree._Element:
    tree = etree.fromstring(as_xml(RecordedEvent(7, "ab" * 32, "api@host[12]", event), "SITE"))
    SCHEMA.assertValid(tree)
    return tree


def _one(tree: etree._Element, path: str) -> etree._Element:
    (found,) = tree.findall(path)
    return found


def _objects(tree: etree._Element, code: str) -> list[etree._Element]:
    every = tree.findall("ParticipantObjectIdentification")
    return [each for each in every if _one(each, "ParticipantObjectIDTypeCode").get("csd-code") == code]


@given(event=EVENTS)
def test_any_event_is_a_valid_message(event: AuditEvent) -> None:
    _tree(event)


def test_the_schema_refuses_a_message_without_a_participant() -> None:
    tree = _tree(AuditEvent(EventKind.QUERY))
    for participant in tree.findall("ActiveParticipant"):
        tree.remove(participant)

    assert not SCHEMA.validate(tree)


@pytest.mark.parametrize(
    ("kind", "code", "event_type"),
    [
        (EventKind.APPLICATION_START, "110100", "110120"),
        (EventKind.APPLICATION_STOP, "110100", "110121"),
        (EventKind.QUERY, "110112", None),
        (EventKind.INSTANCES_ACCESSED, "110103", None),
        (EventKind.INSTANCES_TRANSFERRED, "110104", None),
        (EventKind.EXPORT, "110106", None),
        (EventKind.IMPORT, "110107", None),
        (EventKind.USER_AUTHENTICATION, "110114", "110122"),
        (EventKind.SECURITY_ALERT, "110113", "110132"),
    ],
)
def test_each_kind_has_the_code_of_its_table(kind: EventKind, code: str, event_type: str | None) -> None:
    tree = _tree(AuditEvent(kind))

    assert _one(tree, "EventIdentification/EventID").get("csd-code") == code
    assert [each.get("csd-code") for each in tree.findall("EventIdentification/EventTypeCode")] == (
        [event_type] if event_type else []
    )


def test_patient_study_and_model_take_part_each_as_what_it_is() -> None:
    event = AuditEvent(
        EventKind.INSTANCES_ACCESSED,
        patient_id="4711",
        patient_name="DOE^JANE",
        study_instance_uids=("1.2.3",),
        sop_class_uids=("1.2.840.10008.5.1.4.1.1.4",),
        instances=20,
        model_uids=("1.9",),
    )
    tree = _tree(event)

    (patient,) = _objects(tree, "2")
    assert (patient.get("ParticipantObjectTypeCode"), patient.get("ParticipantObjectTypeCodeRole")) == ("1", "1")
    assert (patient.get("ParticipantObjectID"), patient.findtext("ParticipantObjectName")) == ("4711", "DOE^JANE")
    (study,) = _objects(tree, "110180")
    assert (study.get("ParticipantObjectTypeCode"), study.get("ParticipantObjectTypeCodeRole")) == ("2", "3")
    assert _one(study, "ParticipantObjectDescription/SOPClass").get("NumberOfInstances") == "20"
    (model,) = _objects(tree, "MODEL")
    assert (model.get("ParticipantObjectID"), model.get("ParticipantObjectTypeCodeRole")) == ("1.9", "26")


def test_who_asked_from_where_and_who_answered_are_told_apart() -> None:
    tree = _tree(AuditEvent(EventKind.IMPORT, user="CT1", address="10.0.0.7"))
    other, us = tree.findall("ActiveParticipant")

    assert (other.get("UserID"), other.get("UserIsRequestor")) == ("CT1", "true")
    assert (other.get("NetworkAccessPointID"), other.get("NetworkAccessPointTypeCode")) == ("10.0.0.7", "2")
    assert _one(other, "RoleIDCode").get("csd-code") == "110153"
    assert (us.get("UserID"), us.get("UserIsRequestor")) == ("iodeep api", "false")
    assert (us.get("NetworkAccessPointID"), us.get("NetworkAccessPointTypeCode")) == ("host", "1")


def test_a_query_is_kept_as_it_was_asked() -> None:
    tree = _tree(AuditEvent(EventKind.QUERY, sop_class_uids=("1.2",), detail="PatientID=4711*"))
    (query,) = _objects(tree, "110181")

    assert b64decode(query.findtext("ParticipantObjectQuery") or "") == b"PatientID=4711*"


def test_the_line_of_the_log_goes_with_the_message() -> None:
    (line,) = _objects(_tree(AuditEvent(EventKind.JOB)), "LINE")

    assert line.get("ParticipantObjectID") == "7"
    assert b64decode(_one(line, "ParticipantObjectDetail").get("value") or "") == b"ab" * 32
