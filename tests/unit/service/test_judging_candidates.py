"""Candidates are judged by who signed them and by where they stand, as the archive has them and not as an index remembers them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from iodeep.card import read_card
from iodeep.selection import Candidate, Catalogue
from iodeep.service.admitting import Admission
from iodeep.service.audit import EventKind
from iodeep.service.lifecycle.site_register import SiteRegister
from iodeep.service.model_alerts import ModelAlerts
from iodeep.service.selecting import SitePolicy, site_policy
from iodeep.settings import Settings, settings_of_document
from iodeep.trust.lifecycle import ModelState, RegisteredRelease
from tests.unit.selection.support import BRAIN_CARD, MemoryArchive, packed
from tests.unit.service.lifecycle.registers import Events, approved, register

UNSIGNED = settings_of_document({"trust": {"unsigned": "warn", "research": True}}, "test")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> MemoryArchive:
    folder = tmp_path_factory.mktemp("brain")
    packed(folder, read_card(BRAIN_CARD))
    return MemoryArchive(folder / "packed")


@pytest.fixture(scope="module")
def candidate(archive: MemoryArchive, tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    (found,) = Catalogue(archive, tmp_path_factory.mktemp("cache")).candidates()
    assert isinstance(found, Candidate)
    return found


@pytest.fixture
def states(tmp_path: Path) -> Iterator[SiteRegister]:
    with register(tmp_path) as opened:
        yield opened


def release_of(candidate: Candidate) -> RegisteredRelease:
    assert candidate.identity
    return RegisteredRelease.of_identity(candidate.identity, candidate.study_instance_uid)


def policy(settings: Settings, states: SiteRegister, events: Events) -> SitePolicy:
    alerts = ModelAlerts(events.record)
    return site_policy(settings, serving=True, admission=Admission(states, alerts), alerts=alerts)


def test_the_service_needs_a_register_to_ask(archive: MemoryArchive) -> None:
    with pytest.raises(ValueError, match="no register to ask"):
        site_policy(Settings(), serving=True)
    assert site_policy(Settings()).admission is None


def test_without_a_word_on_trust_the_service_refuses_what_nobody_signed_and_alerts_once(
    archive: MemoryArchive, candidate: Candidate, states: SiteRegister, tmp_path: Path
) -> None:
    approved(states, release_of(candidate))
    events = Events()
    site = policy(Settings(), states, events)

    for _ in range(2):
        judged = site.judge(archive, tmp_path / "work").judged(candidate)
        assert 'set unsigned = "warn" under [trust] in iodeep.toml' in judged.distrusted
        assert not judged.unapproved

    (alert,) = events.events
    assert (alert.kind, alert.event_type, alert.model_uids) == (EventKind.SECURITY_ALERT, "110132", (candidate.uid,))


def test_what_is_not_approved_is_no_alert(
    archive: MemoryArchive, candidate: Candidate, states: SiteRegister, tmp_path: Path
) -> None:
    events = Events()

    judged = policy(Settings(), states, events).judge(archive, tmp_path / "work").judged(candidate)

    assert "never registered" in judged.unapproved
    assert not events.events


def test_what_the_index_remembers_is_held_against_the_archive_before_it_is_called_replaced(
    archive: MemoryArchive, candidate: Candidate, states: SiteRegister, tmp_path: Path
) -> None:
    approved(states, release_of(candidate))
    assert candidate.identity
    stale = Candidate(
        candidate.card,
        identity=replace(candidate.identity, manifest_sha256="e" * 64),
        study_instance_uid=candidate.study_instance_uid,
    )
    events = Events()

    judged = policy(UNSIGNED, states, events).judge(archive, tmp_path / "work").judged(stale)

    assert (judged.unapproved, judged.identity) == ("", candidate.identity)
    assert not events.events


def test_what_the_archive_has_otherwise_than_it_was_approved_is_replaced(
    archive: MemoryArchive, candidate: Candidate, states: SiteRegister, tmp_path: Path
) -> None:
    approved(states, release_of(candidate).model_copy(update={"manifest_sha256": "e" * 64}))
    events = Events()
    site = policy(UNSIGNED, states, events)

    first = site.judge(archive, tmp_path / "work").judged(candidate)
    second = site.judge(archive, tmp_path / "work").judged(candidate)

    standing = states.standing(candidate.uid)
    assert "REPLACED" in first.unapproved
    assert "in quarantine" in second.unapproved
    assert standing
    assert standing.state is ModelState.QUARANTINED
    assert [each.event_type for each in events.events] == ["110135"]
