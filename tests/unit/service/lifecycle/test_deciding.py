"""Deciding about models of an archive: what has to hold first, what is left in quarantine, what is kept beside the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import cast

import pytest
from pydicom import Dataset

from iodeep.errors import InferenceError, InputError, IntegrityError, NotTrustedError, SettingsError
from iodeep.inference import Engine
from iodeep.inference.fingerprint import RuntimeFacts
from iodeep.lifecycle_settings import LifecycleSettings
from iodeep.model_object import ModelDescriptor, ObjectKind, recognise
from iodeep.model_object import private_block as block
from iodeep.ports import Attributes, Level
from iodeep.service.jobs.database import make_tables
from iodeep.service.jobs.self_tests import SelfTestTable
from iodeep.service.lifecycle.archiving import check_nothing_lost, read_records, store_records
from iodeep.service.lifecycle.comparing import compared
from iodeep.service.lifecycle.deciding import (
    Decider,
    NotGoodEnoughError,
    Surroundings,
    change,
    name_of,
    promote,
    roll_back,
)
from iodeep.service.lifecycle.site_register import SiteRegister
from iodeep.service.storing import dicom_files
from iodeep.trust.lifecycle import SERVICE, ModelState, RegisteredRelease
from iodeep.trust.lifecycle.rules import site_rules
from tests.unit.model_object.models import edit, flip_byte
from tests.unit.service.exchange.folder_archive import FolderArchive
from tests.unit.service.lifecycle.registers import Somebody, register
from tests.unit.trust.signing import key_files, policy

A, Q, R = ModelState.APPROVED, ModelState.QUARANTINED, ModelState.RETIRED
ANN = Decider("Ann", "our trial")


class AnyArchive(FolderArchive):
    """One that ignores Patient ID as a key, as a server may."""

    def find(self, level: Level, match: Attributes, include: Sequence[str] = ()) -> list[Attributes]:
        return super().find(level, {name: value for name, value in match.items() if name != "PatientID"}, include)


@dataclass(frozen=True)
class Site:
    archive: AnyArchive
    register: SiteRegister
    around: Surroundings
    first: ModelDescriptor
    second: ModelDescriptor

    def state(self, descriptor: ModelDescriptor) -> ModelState | None:
        standing = self.register.standing(descriptor.identity.sop_instance_uid)
        return standing.state if standing else None

    def approve(self, descriptor: ModelDescriptor) -> ModelState:
        return promote(self.fresh(), descriptor.study_instance_uid, A, ANN).standing.state

    def fresh(self) -> Surroundings:
        """With a workspace of its own."""
        workspace = self.around.workspace / str(len(list(self.around.workspace.iterdir())))
        workspace.mkdir()
        return replace(self.around, workspace=workspace)


@pytest.fixture
def site(
    tmp_path: Path,
    engine: Engine,
    releases: tuple[Path, Path],
    descriptors: tuple[ModelDescriptor, ModelDescriptor],
) -> Iterator[Site]:
    archive = AnyArchive(tmp_path / "archive")
    archive.store(dicom_files(releases))
    (tmp_path / "work").mkdir()
    with register(tmp_path) as kept:
        make_tables(kept.engine)
        yield Site(archive, kept, Surroundings(archive, kept, engine, tmp_path / "work"), *descriptors)


def of_kind(site: Site, kind: ObjectKind, descriptor: ModelDescriptor) -> Path:
    return next(
        path
        for path in site.archive.folder.iterdir()
        if (found := recognise(path)).kind is kind and found.study_instance_uid == descriptor.study_instance_uid
    )


def forget(site: Site, descriptor: ModelDescriptor) -> None:
    for path in list(site.archive.folder.iterdir()):
        if recognise(path).study_instance_uid == descriptor.study_instance_uid:
            path.unlink()


def test_what_was_not_passed_yet_is_done_and_kept(site: Site) -> None:
    decided = promote(site.fresh(), site.first.study_instance_uid, A, ANN)

    assert decided.standing.state is A
    assert [check.holds for check in decided.checks].count(False) == 0
    runtime = site.around.engine.runtime
    kept = SelfTestTable(site.register.engine).find(site.first.identity.manifest_sha256, runtime.fingerprint)
    assert kept is not None
    assert kept.passed


def test_what_was_passed_is_not_done_again(site: Site) -> None:
    site.approve(site.first)
    change(site.register, RegisteredRelease.of(site.first), R, ANN)
    site.archive.fetched.clear()

    with pytest.raises(NotTrustedError, match="cannot become approved"):
        site.approve(site.first)
    assert len(site.archive.fetched) == 1


def test_a_damaged_part_leaves_it_in_quarantine(site: Site) -> None:
    part = of_kind(site, ObjectKind.PART, site.first)
    flip_byte(part, part.stat().st_size - 20)

    with pytest.raises(NotGoodEnoughError, match="stays in quarantine: Wrong:"):
        site.approve(site.first)

    standing = site.register.standing(site.first.identity.sop_instance_uid)
    assert standing is not None
    assert (standing.state, standing.by) == (Q, SERVICE)
    assert standing.reason.startswith("for Ann: Wrong:")


def test_a_model_that_the_policy_does_not_accept_stays_in_quarantine(site: Site, tmp_path: Path) -> None:
    trust = policy(key_files(tmp_path)[1])

    with pytest.raises(NotGoodEnoughError, match="bears no signature as developer"):
        promote(replace(site.fresh(), trust=trust), site.first.study_instance_uid, A, ANN)
    assert site.state(site.first) is Q


class Crashing:
    """An engine whose runtime ends, or never starts."""

    def __init__(self, facts: RuntimeFacts | None) -> None:
        self._facts = facts

    @property
    def runtime(self) -> RuntimeFacts:
        if self._facts is None:
            raise InferenceError("no process could be started")
        return self._facts

    def run(self, *_: object, **__: object) -> None:
        raise InferenceError("the process crashed")


@pytest.mark.parametrize("starts", [True, False], ids=["it crashes", "it does not start"])
def test_a_self_test_that_fails_puts_it_back_to_quarantine(site: Site, starts: bool) -> None:
    engine = cast("Engine", Crashing(site.around.engine.runtime if starts else None))

    with pytest.raises(NotGoodEnoughError, match="self-test could not be run"):
        promote(replace(site.fresh(), engine=engine), site.first.study_instance_uid, A, ANN)

    after = [record.after for record in site.register.history(site.first.identity.sop_instance_uid)]
    assert after[-2:] == [ModelState.VERIFIED, Q]


def test_a_model_that_failed_is_approved_once_the_cause_is_gone(site: Site) -> None:
    engine = cast("Engine", Crashing(None))
    with pytest.raises(NotGoodEnoughError):
        promote(replace(site.fresh(), engine=engine), site.first.study_instance_uid, A, ANN)

    assert site.approve(site.first) is A


def test_no_shadow_without_an_archive_for_it(site: Site) -> None:
    with pytest.raises(SettingsError, match="no archive for the results of shadows"):
        promote(site.fresh(), site.first.study_instance_uid, ModelState.SHADOW, ANN)
    assert site.state(site.first) is None


def taken_back(site: Site) -> None:
    roll_back(site.archive, site.register, site.first.card.name, ANN, site.fresh().workspace)


def test_a_rollback_wants_the_older_release_in_the_archive_as_it_was(site: Site) -> None:
    site.approve(site.first)
    site.approve(site.second)
    path = of_kind(site, ObjectKind.DESCRIPTOR, site.first)
    whole = path.read_bytes()

    edit(path, replaced_card)
    with pytest.raises(NotTrustedError, match="was replaced in folder: nothing was taken back"):
        taken_back(site)
    forget(site, site.first)
    with pytest.raises(NotTrustedError, match="is not in folder any more: nothing was taken back"):
        taken_back(site)
    assert (site.state(site.first), site.state(site.second)) == (A, A)

    path.write_bytes(whole)
    taken_back(site)
    assert (site.state(site.first), site.state(site.second)) == (A, R)


def replaced_card(descriptor: Dataset) -> None:
    """Another manifest, whose digest is right."""
    element = descriptor[block.MANIFEST.tag()]
    content = bytes(element.value).rstrip(b"\0").replace(b'"packed_at":"20', b'"packed_at":"19', 1)
    element.value = content + b"\0" * (len(content) % 2)
    descriptor[block.MANIFEST_SHA256.tag()].value = sha256(content).hexdigest()


def test_the_archive_is_compared_and_what_was_replaced_goes_to_quarantine(site: Site) -> None:
    site.approve(site.first)
    before = compared(site.register, site.archive, site.fresh().workspace, "Ann")
    assert [found.standing.state if found.standing else None for found in before] == [A, None]

    edit(of_kind(site, ObjectKind.DESCRIPTOR, site.first), replaced_card)
    forget(site, site.second)
    site.register.receive(RegisteredRelease.of(site.second), SERVICE, "it arrived")
    after = compared(site.register, site.archive, site.fresh().workspace, "Ann")

    assert [(found.note, found.standing.state if found.standing else None) for found in after] == [
        ("REPLACED", Q),
        ("folder does not have it", Q),
    ]
    assert site.register.standing(site.first.identity.sop_instance_uid).reason.startswith("REPLACED")  # type: ignore[union-attr]


def test_a_model_that_cannot_be_read_any_more_is_told_so(site: Site) -> None:
    site.approve(site.first)
    edit(
        of_kind(site, ObjectKind.DESCRIPTOR, site.first), lambda dataset: setattr(dataset, "PatientID", "AIM1.CT.X.X.X")
    )

    first, _ = compared(site.register, site.archive, site.fresh().workspace, "Ann")

    assert first.note.startswith("PatientID of")


def test_records_are_stored_once_and_read_back_with_their_signatures_checked(site: Site, tmp_path: Path) -> None:
    site.approve(site.first)
    history = site.register.history(site.first.identity.sop_instance_uid)

    stored = [store_records(site.archive, site.register, site.first, tmp_path) for _ in range(2)]

    assert stored == [5, 0]
    archived = read_records(site.archive, site.register, site.first.study_instance_uid, tmp_path)
    assert archived == history
    check_nothing_lost(history, archived)
    with pytest.raises(IntegrityError, match="has lost 2 records"):
        check_nothing_lost(history[:3], archived)
    assert site.approve(site.second) is A, "records beside a model are in nobody's way"


def test_an_archived_record_that_was_altered_is_refused(site: Site, tmp_path: Path) -> None:
    site.approve(site.first)
    store_records(site.archive, site.register, site.first, tmp_path)
    record = of_kind(site, ObjectKind.SITE_DOCUMENT, site.first)

    def alter(dataset: Dataset) -> None:
        element = dataset[block.DOCUMENT.tag()]
        element.value = bytes(element.value).replace(b'"reason":"', b'"reason":"X', 1)[: len(element.value)]

    edit(record, alter)

    with pytest.raises(IntegrityError, match="altered"):
        read_records(site.archive, site.register, site.first.study_instance_uid, tmp_path)


@pytest.mark.parametrize("name", [SERVICE, "Service", " SERVICE "])
def test_nobody_decides_under_the_name_of_the_service(name: str) -> None:
    """What the service does by itself, such as quarantine, needs nobody's key."""
    with pytest.raises(NotTrustedError, match="no person is called"):
        Decider(name, "because")


def test_who_decides_is_called_as_they_say_or_as_their_key_or_login_is(tmp_path: Path) -> None:
    ann = Somebody("Ann")
    named = site_rules(LifecycleSettings(people=(ann.settings(tmp_path),)))
    nobody = site_rules(LifecycleSettings())

    assert name_of(named, ann.key, None, "login") == "Ann"
    assert name_of(named, ann.key, "Bob", "login") == "Bob"
    assert name_of(named, None, None, "login") == "login"
    assert name_of(nobody, ann.key, None, "login") == "login"
    with pytest.raises(InputError, match="of nobody"):
        name_of(named, Somebody("Eve").key, None, "login")
