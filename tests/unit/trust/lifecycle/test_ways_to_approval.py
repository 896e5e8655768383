"""Whatever is tried in whatever order: nothing is approved without checks and people, and no altered chain is read."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from iodeep.errors import InputError, IntegrityError, NotTrustedError
from iodeep.lifecycle_settings import Act, LifecycleSettings
from iodeep.trust.lifecycle import SERVICE, ModelState, PersonalSignature, RegisteredRelease, StateRecord
from iodeep.trust.lifecycle.chain import ChainEnd, SignedRecord, SiteKey
from iodeep.trust.lifecycle.ledger import Ledger
from iodeep.trust.lifecycle.rules import SiteRules, Wish, arrival, rollback_of, site_rules
from tests.unit.service.lifecycle.registers import Somebody, release, site_key

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PEOPLE = (Somebody("Ann"), Somebody("Bob"), Somebody("Mallory"))
"""The last is nobody whom the site named."""
RELEASES = (
    release(1),
    release(1, manifest="f" * 64),  # replaces the first
    release(2, "1.1.0"),
    release(1, family=2),
)
Attempt = Callable[[SiteRules, Ledger], list[StateRecord]]
A = ModelState.APPROVED


@cache
def rules(approvals: int) -> SiteRules:
    with tempfile.TemporaryDirectory() as name:
        people = tuple(person.settings(Path(name), [Act.APPROVE, Act.RETIRE]) for person in PEOPLE[:2])
        return site_rules(LifecycleSettings.model_validate({"approvals": approvals, "people": people}))


def arrives(what: RegisteredRelease) -> Attempt:
    def attempt(_: SiteRules, ledger: Ledger) -> list[StateRecord]:
        added = []
        while (record := arrival(ledger, what, NOW, SERVICE, "seen")) is not None:
            ledger.add(record)
            added.append(record)
        return added

    return attempt


def wishes(
    what: RegisteredRelease, to: ModelState, by: str, signer: Somebody | None, stale: bool, skip: bool, kind: str
) -> Attempt:
    def attempt(site: SiteRules, ledger: Ledger) -> list[StateRecord]:
        case = ledger.case(what.sop_instance_uid)
        signature = None
        if signer is not None and case is not None:
            last = case.change if stale else case.newest
            signature = signer.sign(last, to, "it is good", by)
        wish = Wish(what.sop_instance_uid, to, by, "it is good", {}, what.manifest_sha256, skip, signature)
        record = site.record(ledger, replace(wish, note=kind == "note", rollback=kind == "rollback"), NOW)
        ledger.add(record)
        return [record]

    return attempt


def rolls_back(person: Somebody) -> Attempt:
    def attempt(site: SiteRules, ledger: Ledger) -> list[StateRecord]:
        plan, added = rollback_of(ledger, "2.25.1"), []
        for case, to in ((plan.newest, ModelState.RETIRED), (plan.older, A)):
            if case.state is not to:
                signature = person.sign(case.newest, to)
                uid = case.release.sop_instance_uid
                wish = Wish(uid, to, person.name, "it is good", signature=signature, rollback=to is A)
                added.append(site.record(ledger, wish, NOW))
                ledger.add(added[-1])
        return added

    return attempt


PERSON = st.sampled_from([None, *PEOPLE])
WISH = st.builds(
    wishes,
    st.sampled_from(RELEASES),
    st.sampled_from(ModelState),
    st.sampled_from([SERVICE, *(person.name for person in PEOPLE)]),
    PERSON,
    st.booleans(),
    st.booleans(),
    st.sampled_from(["change", "change", "change", "note", "rollback"]),
)


Approver = tuple[str, Somebody | None]
APPROVERS: tuple[Approver, Approver] = (("Ann", PEOPLE[0]), ("Bob", PEOPLE[1]))


def in_order(what: RegisteredRelease, skip: bool, approvers: tuple[Approver, Approver] = APPROVERS) -> list[Attempt]:
    """The way that leads to approval, so that the walks get there often enough to mean something."""
    states: list[tuple[ModelState, Approver]] = [(ModelState.VERIFIED, (SERVICE, None))]
    states += [(ModelState.SELF_TESTED, (SERVICE, None))]
    states += [] if skip else [(ModelState.SHADOW, ("Ann", None))]
    states += [(A, approver) for approver in approvers]
    return [arrives(what), *(wishes(what, to, by, who, False, skip, "change") for to, (by, who) in states)]


APPROVER = st.one_of(st.sampled_from(APPROVERS), st.tuples(st.sampled_from([SERVICE, "Ann", "Bob", "Mallory"]), PERSON))
WALK = st.lists(
    st.one_of(
        WISH.map(lambda one: [one]),
        st.sampled_from(RELEASES).map(lambda what: [arrives(what)]),
        st.sampled_from(PEOPLE).map(lambda person: [rolls_back(person)]),
        st.builds(in_order, st.sampled_from(RELEASES), st.booleans(), st.tuples(APPROVER, APPROVER)),
        st.builds(
            lambda steps, dropped: [step for place, step in enumerate(steps) if place != dropped],
            st.builds(in_order, st.sampled_from(RELEASES), st.booleans()),
            st.integers(0, 5),
        ),
    ),
    max_size=12,
).map(lambda parts: [step for part in parts for step in part])


def walked(approvals: int, walk: list[Attempt]) -> list[StateRecord]:
    """The records of those attempts that were let through."""
    ledger = Ledger()
    records: list[StateRecord] = []
    for attempt in walk:
        before = len(records)
        try:
            records += attempt(rules(approvals), ledger)
        except (InputError, NotTrustedError, IntegrityError):
            assert len(records) == before
    return records


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([1, 2]), WALK)
def test_nothing_is_approved_but_by_checks_and_as_many_people_as_are_asked_for(
    approvals: int, walk: list[Attempt]
) -> None:
    records = walked(approvals, walk)

    for place, record in enumerate(records):
        if record.after is A:
            assert_earned(records[: place + 1], approvals)


def assert_earned(records: list[StateRecord], approvals: int) -> None:
    """By the records alone, and by nothing of the software that let them through."""
    uid, digest = records[-1].release.sop_instance_uid, records[-1].release.manifest_sha256
    own = [record for record in records if record.release.sop_instance_uid == uid]
    start = max(place for place, record in enumerate(own) if record.after is ModelState.QUARANTINED)
    since = own[start:]
    assert {record.release.manifest_sha256 for record in since} == {digest}
    after = [record.after for record in since]
    assert ModelState.REVOKED not in after
    assert after.index(ModelState.VERIFIED) < after.index(ModelState.SELF_TESTED) < after.index(A)
    approving = since[: after.index(A) + 1]
    signers = {signer(record) for record in approving if record.wanted is A and record.before is not A}
    assert len(signers) >= approvals
    assert signers <= {person.name for person in PEOPLE[:2]}


def signer(record: StateRecord) -> str:
    """Whose key signed exactly this change; fails where nobody's did."""
    signature: PersonalSignature | None = record.signature
    assert signature is not None
    person = next(each for each in PEOPLE if each.name == record.by)
    public = person.key.private.public_key()
    assert isinstance(public, Ed25519PublicKey)
    public.verify(bytes.fromhex(signature.value), signature.statement.encode())
    said = json.loads(signature.statement)
    assert (said["manifest_sha256"], said["wanted"]) == (record.release.manifest_sha256, "approved")
    return person.name


@cache
def chain() -> tuple[SiteKey, list[SignedRecord], ChainEnd]:
    """A chain of two releases that were approved by two people, and a rollback."""
    key, ledger, signed = site_key(), Ledger(), []
    walk = [*in_order(RELEASES[0], False), *in_order(RELEASES[2], True), rolls_back(PEOPLE[1])]
    for attempt in walk:
        signed += [key.sign(record) for record in attempt(rules(2), ledger)]
    assert ledger.sequence >= 13
    return key, signed, key.end_of(ledger)


def test_the_chain_as_it_was_written_is_read() -> None:
    key, signed, end = chain()

    assert [str(case.state) for case in key.read(signed, end).cases] == ["approved", "retired"]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_chain_is_read_that_was_altered_anywhere(data: st.DataObject) -> None:
    key, signed, end = chain()
    altered = list(signed)
    place = data.draw(st.integers(0, len(signed) - 1))
    other = data.draw(st.integers(0, len(signed) - 1).filter(lambda number: number != place))
    how = data.draw(st.sampled_from(["content", "value", "dropped", "swapped", "twice", "cut", "end"]))
    if how in ("content", "value"):
        original = getattr(signed[place], how)
        octet, mask = data.draw(st.integers(0, len(original) - 1)), data.draw(st.integers(1, 255))
        changed = bytearray(original)
        changed[octet] ^= mask
        altered[place] = replace(signed[place], **{how: bytes(changed)})
    elif how == "dropped":
        del altered[place]
    elif how == "swapped":
        altered[place], altered[other] = altered[other], altered[place]
    elif how == "twice":
        altered.insert(other, altered[place])
    elif how == "cut":
        altered = altered[:place]
    else:
        end = replace(end, sequence=end.sequence + data.draw(st.integers(-3, 3).filter(bool)))

    with pytest.raises(IntegrityError):
        key.read(altered, end)
    with pytest.raises(IntegrityError):
        key.read(altered, None if how == "end" and altered else end)
