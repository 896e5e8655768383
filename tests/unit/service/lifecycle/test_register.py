"""A site's register: states and who may change them, records that are altered, lost or moved, hosts that share it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from iodeep.errors import InputError, IntegrityError, LocalStorageError, NotTrustedError
from iodeep.lifecycle_settings import Act, LifecycleSettings, PersonSettings
from iodeep.service.audit import AuditEvent, EventKind, Outcome
from iodeep.service.lifecycle.site_register import SiteRegister
from iodeep.trust.lifecycle import SERVICE, ModelState, objection
from iodeep.trust.lifecycle.record import StateRecord
from tests.unit.service.lifecycle.registers import (
    Events,
    Somebody,
    approved,
    change,
    register,
    release,
    site_key,
    to_self_tested,
)

FIRST, SECOND = release(1, "1.0.0"), release(2, "1.1.0")
Q, S, A, R = ModelState.QUARANTINED, ModelState.SHADOW, ModelState.APPROVED, ModelState.RETIRED


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SiteRegister]:
    with register(tmp_path) as made:
        yield made


def two_people(folder: Path) -> tuple[Somebody, Somebody, LifecycleSettings]:
    ann, bob = Somebody("Ann"), Somebody("Bob")
    people = (ann.settings(folder), bob.settings(folder))
    return ann, bob, LifecycleSettings(approvals=2, skip_shadow=True, people=people)


def test_what_arrives_is_received_and_in_quarantine(site: SiteRegister) -> None:
    standing = site.receive(FIRST, SERVICE, "it arrived")

    assert standing.state is Q
    assert [record.after for record in site.history(FIRST.sop_instance_uid)] == [ModelState.RECEIVED, Q]
    assert "quarantine" in objection(standing, FIRST.manifest_sha256)


def test_what_is_known_is_left_as_it_is(site: SiteRegister) -> None:
    approved(site, FIRST)

    assert site.receive(FIRST, SERVICE, "seen again").state is A
    assert len(site.history(FIRST.sop_instance_uid)) == 5


def test_an_approved_release_may_run_and_says_who_approved_it(site: SiteRegister) -> None:
    approved(site, FIRST, "Ann")

    standing = site.standing(FIRST.sop_instance_uid)
    assert standing is not None
    assert standing.approved_by == ("Ann",)
    assert objection(standing, FIRST.manifest_sha256) == ""


def test_a_replaced_release_is_put_to_quarantine_and_has_to_be_checked_anew(site: SiteRegister) -> None:
    approved(site, FIRST)
    other = release(1, "1.0.0", manifest="f" * 64)
    was = site.standing(FIRST.sop_instance_uid)
    assert "REPLACED" in objection(was, other.manifest_sha256)

    standing = site.receive(other, SERVICE, "seen in the archive")

    assert (standing.state, standing.release) == (Q, other)
    assert standing.reason.startswith("REPLACED")
    with pytest.raises(NotTrustedError, match="not what this site registered"):
        site.change(
            FIRST.sop_instance_uid,
            ModelState.VERIFIED,
            by=SERVICE,
            reason="x",
            manifest_sha256=FIRST.manifest_sha256,
        )
    with pytest.raises(NotTrustedError, match="cannot become approved"):
        change(site, other, A)


def test_a_revoked_release_stays_so_whatever_takes_its_place(site: SiteRegister) -> None:
    approved(site, FIRST)
    change(site, FIRST, ModelState.REVOKED, SERVICE)

    standing = site.receive(release(1, "1.0.0", manifest="f" * 64), SERVICE, "seen in the archive")

    assert standing.state is ModelState.REVOKED
    with pytest.raises(NotTrustedError, match="service never"):
        change(site, FIRST, Q, SERVICE)
    assert change(site, FIRST, Q, "Ann") is Q


def test_no_state_about_content_without_the_digest_of_what_was_looked_at(site: SiteRegister) -> None:
    site.receive(FIRST, SERVICE, "it arrived")

    with pytest.raises(NotTrustedError, match="not looked at"):
        site.change(FIRST.sop_instance_uid, ModelState.VERIFIED, by=SERVICE, reason="x")


def test_the_service_approves_nothing(site: SiteRegister) -> None:
    to_self_tested(site, FIRST)

    for name in (SERVICE, "Service"):
        for state in (A, S, R):
            with pytest.raises(NotTrustedError, match="service never"):
                change(site, FIRST, state, name)


def test_a_step_is_not_left_out(site: SiteRegister) -> None:
    site.receive(FIRST, SERVICE, "it arrived")

    with pytest.raises(NotTrustedError, match="cannot become self-tested"):
        change(site, FIRST, ModelState.SELF_TESTED, SERVICE)


def test_a_shadow_is_left_out_only_where_site_or_approver_says_so(tmp_path: Path) -> None:
    with register(tmp_path, LifecycleSettings()) as site:
        to_self_tested(site, FIRST)
        with pytest.raises(NotTrustedError, match="never ran as a shadow"):
            change(site, FIRST, A)

        assert change(site, FIRST, A, skip_shadow=True) is A
        assert site.history(FIRST.sop_instance_uid)[-1].skip_shadow

        to_self_tested(site, SECOND)
        change(site, SECOND, S)
        assert change(site, SECOND, A) is A
        assert not site.history(SECOND.sop_instance_uid)[-1].skip_shadow


def test_a_note_changes_nothing_but_the_history(site: SiteRegister) -> None:
    approved(site, FIRST)

    standing = site.note(
        FIRST.sop_instance_uid,
        by=SERVICE,
        reason="self-test after an upgrade",
        evidence={"runtime": "abc"},
        manifest_sha256=FIRST.manifest_sha256,
    )

    assert (standing.state, standing.by) == (A, "Ann")
    assert site.history(FIRST.sop_instance_uid)[-1].evidence == {"runtime": "abc"}


def test_what_nobody_registered_cannot_be_changed(site: SiteRegister) -> None:
    assert site.standing("2.25.999") is None
    assert "never registered" in objection(None, "0" * 64)
    with pytest.raises(InputError, match="has not registered"):
        change_unknown(site)


def change_unknown(site: SiteRegister) -> None:
    site.change("2.25.999", R, by="Ann", reason="x")


@pytest.mark.parametrize("reason", ["", "x" * 5000, "half a sign \udc80"])
def test_a_reason_that_cannot_be_written_is_refused(site: SiteRegister, reason: str) -> None:
    approved(site, FIRST)

    with pytest.raises(InputError, match="cannot be recorded: reason"):
        site.change(FIRST.sop_instance_uid, R, by="Ann", reason=reason)
    assert site.standing(FIRST.sop_instance_uid).state is A  # type: ignore[union-attr]


def test_two_different_people_approve(tmp_path: Path) -> None:
    ann, bob, settings = two_people(tmp_path)
    with register(tmp_path, settings) as site:
        to_self_tested(site, FIRST)

        assert change(site, FIRST, A, ann) is ModelState.SELF_TESTED
        with pytest.raises(NotTrustedError, match="Ann has approved"):
            change(site, FIRST, A, ann)
        assert site.standing(FIRST.sop_instance_uid).approved_by == ("Ann",)  # type: ignore[union-attr]
        assert change(site, FIRST, A, bob) is A
        assert site.standing(FIRST.sop_instance_uid).approved_by == ("Ann", "Bob")  # type: ignore[union-attr]


def test_who_is_called_otherwise_at_the_second_sign_in_is_no_second_person(tmp_path: Path) -> None:
    """Providers let people change the name that they are known by; what identifies them stays."""
    people = tuple(PersonSettings(name=name, sign_in=True, may=(Act.APPROVE,)) for name in ("Ann", "Bob"))
    with register(tmp_path, LifecycleSettings(approvals=2, skip_shadow=True, people=people)) as site:
        to_self_tested(site, FIRST)

        def approve(by: str, subject: str) -> ModelState:
            return site.change(
                FIRST.sop_instance_uid,
                A,
                by=by,
                reason="it is good",
                evidence={"subject": subject},
                manifest_sha256=FIRST.manifest_sha256,
                signed_in=True,
            ).state

        assert approve("Ann", "7f3a") is ModelState.SELF_TESTED
        with pytest.raises(NotTrustedError, match="Bob has approved"):
            approve("Bob", "7f3a")
        assert approve("Bob", "81c0") is A


def test_a_changed_manifest_voids_the_first_approval(tmp_path: Path) -> None:
    ann, bob, settings = two_people(tmp_path)
    with register(tmp_path, settings) as site:
        to_self_tested(site, FIRST)
        change(site, FIRST, A, ann)
        replaced = release(1, "1.0.0", manifest="f" * 64)
        to_self_tested(site, replaced)

        assert change(site, replaced, A, bob) is ModelState.SELF_TESTED


def test_only_who_is_named_may_and_only_with_their_own_key(tmp_path: Path) -> None:
    _, _, settings = two_people(tmp_path)
    mallory = Somebody("Ann")
    with register(tmp_path, settings) as site:
        to_self_tested(site, FIRST)
        with pytest.raises(NotTrustedError, match="Carl may not approve"):
            change(site, FIRST, A, Somebody("Carl"))
        with pytest.raises(NotTrustedError, match="not by the key of Ann"):
            change(site, FIRST, A, mallory)
        with pytest.raises(NotTrustedError, match="Ann has not signed"):
            change(site, FIRST, A, "Ann")


def test_a_signature_is_good_for_one_change_of_one_release(tmp_path: Path) -> None:
    ann, _, settings = two_people(tmp_path)
    with register(tmp_path, settings) as site:
        to_self_tested(site, FIRST)
        to_self_tested(site, SECOND)
        good = ann.sign(site.history(FIRST.sop_instance_uid)[-1], A)

        def use(what: str = FIRST.sop_instance_uid, to: str = A, reason: str = "it is good") -> None:
            digest = (FIRST if what == FIRST.sop_instance_uid else SECOND).manifest_sha256
            site.change(what, ModelState(to), by="Ann", reason=reason, manifest_sha256=digest, signature=good)

        others: list[dict[str, str]] = [{"what": SECOND.sop_instance_uid}, {"to": R}, {"reason": "another one"}]
        for other in others:
            with pytest.raises(NotTrustedError, match="not this change"):
                use(**other)
        use()
        change(site, FIRST, Q, ann)
        to_self_tested(site, FIRST)
        with pytest.raises(NotTrustedError, match="not this change"):
            use()


def test_who_may_quarantine_need_not_be_one_who_may_approve(tmp_path: Path) -> None:
    ann, bob = Somebody("Ann"), Somebody("Bob")
    people = (ann.settings(tmp_path, [Act.APPROVE]), bob.settings(tmp_path, [Act.QUARANTINE]))
    with register(tmp_path, LifecycleSettings(skip_shadow=True, people=people)) as site:
        to_self_tested(site, FIRST)
        with pytest.raises(NotTrustedError, match="Bob may not approve"):
            change(site, FIRST, A, bob)
        change(site, FIRST, A, ann)
        with pytest.raises(NotTrustedError, match="Ann may not quarantine"):
            change(site, FIRST, Q, ann)
        assert change(site, FIRST, Q, bob) is Q


def test_every_change_is_audited_before_it_is_made(tmp_path: Path) -> None:
    class Full(Events):
        def record(self, event: AuditEvent) -> None:
            raise LocalStorageError("the disk is full")

    key, events = site_key(), Events()
    with register(tmp_path, key=key, audit=events) as site:
        approved(site, FIRST)
    assert [event.kind for event in events.events] == [EventKind.APPROVAL] * 5
    assert events.events[-1].user == "Ann"
    assert events.events[-1].model_uids == (FIRST.sop_instance_uid,)
    with register(tmp_path, key=key, audit=Full()) as site:
        with pytest.raises(LocalStorageError):
            change(site, FIRST, R)
        assert site.standing(FIRST.sop_instance_uid).state is A  # type: ignore[union-attr]


def test_what_was_refused_is_audited_too(tmp_path: Path) -> None:
    events = Events()
    with register(tmp_path, audit=events) as site:
        site.receive(FIRST, SERVICE, "it arrived")
        with pytest.raises(NotTrustedError):
            change(site, FIRST, A, "Mallory")

    assert (events.events[-1].outcome, events.events[-1].user) == (Outcome.MINOR_FAILURE, "Mallory")


def test_a_rollback_retires_the_newest_and_approves_the_one_before_again(site: SiteRegister) -> None:
    approved(site, FIRST)
    change(site, FIRST, R)
    approved(site, SECOND)

    newest, older = site.rollback("brain 1", by="Bob", reason="misses lesions")

    assert (newest.release, newest.state) == (SECOND, R)
    assert (older.release, older.state, older.by) == (FIRST, A, "Bob")
    assert objection(older, FIRST.manifest_sha256) == ""


def test_a_rollback_leaves_an_older_release_that_is_still_approved(site: SiteRegister) -> None:
    approved(site, FIRST)
    approved(site, SECOND)

    newest, older = site.rollback(SECOND.family_uid, by="Bob", reason="misses lesions")

    assert (newest.state, older.state, older.by) == (R, A, "Ann")


def test_a_rollback_with_nothing_to_go_back_to_is_refused_and_changes_nothing(site: SiteRegister) -> None:
    with pytest.raises(InputError, match="no model"):
        site.rollback("Brain 1", by="Bob", reason="x")
    to_self_tested(site, FIRST)
    with pytest.raises(NotTrustedError, match="nothing to take back"):
        site.rollback("Brain 1", by="Bob", reason="x")
    approved(site, SECOND)
    with pytest.raises(NotTrustedError, match="no other release was approved"):
        site.rollback("Brain 1", by="Bob", reason="x")
    change(site, FIRST, A)
    change(site, FIRST, Q)
    with pytest.raises(NotTrustedError, match=r"no other release was approved.*1.0.0 \(quarantined\)"):
        site.rollback("Brain 1", by="Bob", reason="x")

    assert site.standing(SECOND.sop_instance_uid).state is A  # type: ignore[union-attr]


def test_a_rollback_passes_over_what_was_retired_without_being_approved(site: SiteRegister) -> None:
    approved(site, FIRST)
    change(site, FIRST, Q)
    to_self_tested(site, FIRST)
    change(site, FIRST, R)
    approved(site, SECOND)

    with pytest.raises(NotTrustedError, match=r"no other release was approved.*1.0.0 \(retired\)"):
        site.rollback("Brain 1", by="Bob", reason="x")


def test_a_rollback_is_signed_by_one_who_may(tmp_path: Path) -> None:
    ann, bob, settings = two_people(tmp_path)
    with register(tmp_path, settings) as site:
        for what in (FIRST, SECOND):
            to_self_tested(site, what)
            change(site, what, A, ann)
            change(site, what, A, bob)
            if what is FIRST:
                change(site, what, R, bob)
        with pytest.raises(NotTrustedError, match="Ann has not signed"):
            site.rollback("Brain 1", by="Ann", reason="it is good")

        newest, older = site.rollback("Brain 1", by="Ann", reason="it is good", signer=ann.sign)

        assert (newest.state, older.state) == (R, A)
        assert older.approved_by == ("Ann", "Bob")


def test_a_retired_release_is_not_simply_approved_again(site: SiteRegister) -> None:
    approved(site, FIRST)
    change(site, FIRST, R)

    with pytest.raises(NotTrustedError, match="rollback"):
        change(site, FIRST, A)


def test_the_state_is_found_again_by_another_process_and_by_another_key_refused(tmp_path: Path) -> None:
    key = site_key()
    with register(tmp_path, key=key) as site:
        approved(site, FIRST)
    with register(tmp_path, key=key) as again:
        assert again.standing(FIRST.sop_instance_uid).state is A  # type: ignore[union-attr]
    with register(tmp_path) as stranger, pytest.raises(IntegrityError, match="another key"):
        stranger.standings()


Tamper = Callable[[sqlite3.Connection], object]
LAST = 5
TAMPERING: dict[str, Tamper] = {
    "a changed word": lambda db: db.execute(
        'UPDATE iodeep_state_records SET record = replace(record, \'"by":"Ann"\', \'"by":"Eve"\') WHERE sequence = 5'
    ),
    "a space more": lambda db: db.execute("UPDATE iodeep_state_records SET record = record || ' ' WHERE sequence = 3"),
    "another signature": lambda db: db.execute(
        "UPDATE iodeep_state_records SET signature = (SELECT signature FROM iodeep_state_records WHERE sequence = 1)"
        " WHERE sequence = 2"
    ),
    "a signature of no digits": lambda db: db.execute(
        "UPDATE iodeep_state_records SET signature = 'x' WHERE sequence = 2"
    ),
    "a dropped row": lambda db: db.execute("DELETE FROM iodeep_state_records WHERE sequence = 3"),
    "a dropped first row": lambda db: db.execute("DELETE FROM iodeep_state_records WHERE sequence = 1"),
    "a dropped last row": lambda db: db.execute("DELETE FROM iodeep_state_records WHERE sequence = 5"),
    "no rows": lambda db: db.execute("DELETE FROM iodeep_state_records"),
    "swapped rows": lambda db: db.executescript(
        "UPDATE iodeep_state_records SET sequence = 99 WHERE sequence = 3;"
        "UPDATE iodeep_state_records SET sequence = 3 WHERE sequence = 4;"
        "UPDATE iodeep_state_records SET sequence = 4 WHERE sequence = 99;"
    ),
    "a row twice": lambda db: db.execute(
        "INSERT INTO iodeep_state_records SELECT 6, record, signature FROM iodeep_state_records WHERE sequence = 5"
    ),
    "a lost end": lambda db: db.execute("DELETE FROM iodeep_state_end"),
    "an end that was moved": lambda db: db.executescript(
        "DELETE FROM iodeep_state_records WHERE sequence = 5; UPDATE iodeep_state_end SET sequence = 4, sha256 ="
        " (SELECT json_extract(record, '$.previous') FROM iodeep_state_records WHERE sequence = 4)"
    ),
    "another word of the end": lambda db: db.execute(
        "UPDATE iodeep_state_end SET signature = substr(signature, 3) || '00'"
    ),
}


@pytest.mark.parametrize("how", list(TAMPERING))
@pytest.mark.parametrize("reading", [True, False], ids=["while it is open", "opened anew"])
def test_what_was_tampered_with_is_refused_whoever_is_asked_about(tmp_path: Path, how: str, reading: bool) -> None:
    key = site_key()
    with register(tmp_path, key=key) as site:
        approved(site, FIRST)
        assert site.standings()
        with sqlite3.connect(tmp_path / "jobs.sqlite") as db:
            TAMPERING[how](db)
        db.close()
        if reading:
            refuses_everything(site)
    with register(tmp_path, key=key) as again:
        refuses_everything(again)


def refuses_everything(site: SiteRegister) -> None:
    asked: list[Callable[[], object]] = [
        site.standings,
        lambda: site.standing(FIRST.sop_instance_uid),
        lambda: site.history(FIRST.sop_instance_uid),
        lambda: site.receive(SECOND, SERVICE, "it arrived"),
        lambda: site.change(FIRST.sop_instance_uid, R, by="Ann", reason="x"),
        lambda: site.rollback("Brain 1", by="Ann", reason="x"),
    ]
    for ask in asked:
        with pytest.raises(IntegrityError):
            ask()


def test_a_record_that_the_site_signed_but_that_does_not_follow_is_refused(tmp_path: Path) -> None:
    """Whoever has the key cannot write a short cut either: the rules hold for what is read."""
    key = site_key()
    with register(tmp_path, key=key) as site:
        site.receive(FIRST, SERVICE, "it arrived")
        last = site.history(FIRST.sop_instance_uid)[-1]
    forged = StateRecord(
        **{
            **last.model_dump(),
            "sequence": 3,
            "previous": last.sha256,
            "before": Q,
            "wanted": A,
            "after": A,
            "by": "Ann",
            "release": FIRST,
        }
    )
    signed = key.sign(forged)
    with sqlite3.connect(tmp_path / "jobs.sqlite") as db:
        row = (3, signed.content.decode(), signed.value.hex())
        db.execute("INSERT INTO iodeep_state_records VALUES (?, ?, ?)", row)
    db.close()

    with register(tmp_path, key=key) as site, pytest.raises(IntegrityError, match="no way to approved"):
        site.standings()


def test_changes_of_many_at_once_are_made_one_after_another(tmp_path: Path) -> None:
    key = site_key()
    sites = [register(tmp_path, key=key) for _ in range(4)]

    def arrive(number: int) -> None:
        sites[number % 4].receive(release(number), SERVICE, "it arrived")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(arrive, [number % 12 for number in range(24)]))

    assert len(sites[0].standings()) == 12
    with sqlite3.connect(tmp_path / "jobs.sqlite") as db:
        rows = db.execute("SELECT record FROM iodeep_state_records ORDER BY sequence").fetchall()
    db.close()
    assert [json.loads(row[0])["sequence"] for row in rows] == list(range(1, 25))
    for site in sites:
        site.close()
