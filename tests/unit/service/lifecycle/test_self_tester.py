"""A worker host tests by itself what the register has as approved, once for its runtime, and says loudly what fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from iodeep.lifecycle_settings import LifecycleSettings
from iodeep.model_object import ModelDescriptor, assemble, pack_model, read_descriptor
from iodeep.serve_settings import ServeSettings
from iodeep.service.audit import AuditFilter, EventKind, read_events
from iodeep.service.configuration import Configuration
from iodeep.service.jobs.self_tests import SelfTestTable
from iodeep.service.lifecycle.opening import open_register
from iodeep.service.lifecycle.site_register import SiteRegister
from iodeep.service.serving.composition import context_for, folders_of
from iodeep.service.serving.context import ServeContext
from iodeep.service.serving.self_tester import round_of_tests, self_tests_beside
from iodeep.service.storing import dicom_files
from iodeep.settings import RunSettings, Settings
from iodeep.trust.lifecycle import RegisteredRelease
from tests.unit.service.exchange.folder_archive import FolderArchive
from tests.unit.service.lifecycle.registers import approved


@dataclass(frozen=True)
class Host:
    """A worker host with an archive and a register."""

    context: ServeContext
    archive: FolderArchive
    register: SiteRegister

    @property
    def book(self) -> SelfTestTable:
        return SelfTestTable(self.register.engine)

    def approve(self, descriptor: ModelDescriptor) -> None:
        approved(self.register, RegisteredRelease.of(descriptor))

    def alerts(self) -> list[str]:
        wanted = AuditFilter(kinds=frozenset({EventKind.SECURITY_ALERT}))
        return [row.event.detail for row in read_events(self.context.folders.audit, wanted, 100)]

    def passed(self) -> dict[str, bool]:
        return {each.manifest_sha256: each.passed for each in self.book.all()}


@pytest.fixture
def host(releases: tuple[Path, Path], tmp_path: Path) -> Iterator[Host]:
    archive = FolderArchive(tmp_path / "archive")
    archive.store(dicom_files(releases))
    lifecycle = LifecycleSettings(skip_shadow=True)
    settings = Settings(serve=ServeSettings(data=tmp_path / "data"), run=RunSettings(threads=1), lifecycle=lifecycle)
    configuration = Configuration(settings, None, tmp_path / "cache")
    folders = folders_of(configuration)
    context = context_for("worker-1", configuration, folders, threading.Event())
    context = replace(context, open_archive=lambda _: archive)
    with open_register(configuration, folders, context.open_audit()) as register:
        yield Host(context, archive, register)


def disagreeing(host: Host, descriptor: ModelDescriptor, objects: Path, folder: Path) -> ModelDescriptor:
    """The model with a self-test that expects the opposite, stored."""
    test = descriptor.self_test
    assert test is not None
    (folder / "files").mkdir()
    files = assemble(descriptor, [objects], folder / "files")
    if test.labels is not None:
        test = replace(test, labels=(test.labels == 0).astype(np.uint8))
    else:
        assert test.classes
        test = replace(test, classes=tuple(replace(each, probability=1 - each.probability) for each in test.classes))
    packed = pack_model(descriptor.card, files, folder / "object", self_test=test)
    host.archive.store(packed.files)
    return read_descriptor(packed.descriptor)


def test_what_is_approved_is_tested_once_and_what_is_not_is_left_alone(
    host: Host, descriptors: tuple[ModelDescriptor, ModelDescriptor]
) -> None:
    first, second = descriptors
    tested: set[str] = set()
    round_of_tests(host.context, host.context.open_audit(), tested, threading.Event())
    assert host.passed() == {}

    host.approve(first)
    round_of_tests(host.context, host.context.open_audit(), tested, threading.Event())
    assert host.passed() == {first.identity.manifest_sha256: True}
    (kept,) = host.book.all()
    round_of_tests(host.context, host.context.open_audit(), set(), threading.Event())
    assert host.book.all() == [kept]

    host.approve(second)
    round_of_tests(host.context, host.context.open_audit(), tested, threading.Event())
    assert set(host.passed().values()) == {True}
    assert tested == {first.identity.manifest_sha256, second.identity.manifest_sha256}
    assert host.alerts() == []


def test_what_fails_is_a_security_alert_and_the_others_are_tested_all_the_same(
    host: Host, descriptors: tuple[ModelDescriptor, ModelDescriptor], releases: tuple[Path, Path], tmp_path: Path
) -> None:
    wrong = disagreeing(host, descriptors[0], releases[0], tmp_path)
    host.approve(wrong)
    host.approve(descriptors[1])

    round_of_tests(host.context, host.context.open_audit(), set(), threading.Event())

    assert host.passed() == {wrong.identity.manifest_sha256: False, descriptors[1].identity.manifest_sha256: True}
    (alert,) = host.alerts()
    assert "self-test of" in alert
    assert wrong.card.name in alert


def test_a_failure_is_tried_again_once_by_the_next_process(
    host: Host, descriptors: tuple[ModelDescriptor, ModelDescriptor]
) -> None:
    host.approve(descriptors[0])
    round_of_tests(host.context, host.context.open_audit(), set(), threading.Event())
    (kept,) = host.book.all()
    host.book.keep(replace(kept, passed=False))

    round_of_tests(host.context, host.context.open_audit(), {kept.manifest_sha256}, threading.Event())
    assert not host.book.all()[0].passed
    round_of_tests(host.context, host.context.open_audit(), set(), threading.Event())
    assert host.book.all()[0].passed


def test_what_was_replaced_in_the_archive_is_not_run(
    host: Host, descriptors: tuple[ModelDescriptor, ModelDescriptor]
) -> None:
    release = RegisteredRelease.of(descriptors[0])
    approved(host.register, release.model_copy(update={"manifest_sha256": "f" * 64}))

    round_of_tests(host.context, host.context.open_audit(), set(), threading.Event())

    assert host.passed() == {}


def test_a_model_that_cannot_be_had_keeps_no_other_from_being_tested(
    host: Host, descriptors: tuple[ModelDescriptor, ModelDescriptor]
) -> None:
    gone = RegisteredRelease.of(descriptors[0]).model_copy(
        update={"sop_instance_uid": "2.25.1", "study_instance_uid": "2.25.2", "manifest_sha256": "f" * 64}
    )
    approved(host.register, gone)
    host.approve(descriptors[1])
    tested: set[str] = set()

    round_of_tests(host.context, host.context.open_audit(), tested, threading.Event())

    assert host.passed() == {descriptors[1].identity.manifest_sha256: True}
    assert tested == {descriptors[1].identity.manifest_sha256}, "the other one is tried again"


def test_it_goes_on_beside_a_worker_and_ends_with_it(
    host: Host, descriptors: tuple[ModelDescriptor, ModelDescriptor]
) -> None:
    host.approve(descriptors[0])
    pause = threading.Event()
    with self_tests_beside(host.context), self_tests_beside(host.context):
        for _ in range(3000):
            if host.passed():
                break
            pause.wait(0.02)

    assert set(host.passed().values()) == {True}
    assert not [thread for thread in threading.enumerate() if thread.name == "self-tests"]
