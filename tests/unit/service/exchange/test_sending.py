"""A model goes from archive to archive in parts, goes on where it was interrupted, and never replaces what is there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from iodeep.errors import ArchiveError, IntegrityError, ObjectError
from iodeep.model_object import PackedModel, read_descriptor
from iodeep.service.exchange.exporting import export_model
from iodeep.service.exchange.sending import send_model
from iodeep.service.library import local_model
from iodeep.service.signing import sign_model
from iodeep.trust.signatures import SigningKey
from iodeep.trust_settings import SignerRole
from tests.unit.model_object.models import flip_byte, pack_ensemble
from tests.unit.service.exchange.folder_archive import FolderArchive


@pytest.fixture
def packed(tmp_path: Path) -> PackedModel:
    """Ten small parts, and a signature in the same folder."""
    packed = pack_ensemble(tmp_path)
    key = SigningKey(Ed25519PrivateKey.generate())
    sign_model(read_descriptor(packed.descriptor), key, SignerRole.DEVELOPER, packed.folder)
    return packed


@pytest.fixture
def source(packed: PackedModel, tmp_path: Path) -> Iterator[FolderArchive]:
    """An archive that has it."""
    archive = FolderArchive(tmp_path / "source")
    archive.store(sorted(packed.folder.glob("*.dcm")))
    yield archive
    assert not list(tmp_path.glob("part-*")), "a part was left behind"


@pytest.fixture
def target(tmp_path: Path) -> FolderArchive:
    """An empty one."""
    return FolderArchive(tmp_path / "target")


def test_all_of_it_arrives_the_descriptor_last(
    packed: PackedModel, source: FolderArchive, target: FolderArchive, tmp_path: Path
) -> None:
    descriptor, held = send_model(packed.study_instance_uid, source, target, tmp_path)

    assert (held.instances, held.held_before) == (len(descriptor.parts) + 2, 0)
    assert target.stored[-1] == packed.identity.sop_instance_uid
    assert {path.read_bytes() for path in target.folder.iterdir()} == {
        path.read_bytes() for path in source.folder.iterdir()
    }


def test_what_was_interrupted_goes_on_where_it_ended(
    packed: PackedModel, source: FolderArchive, target: FolderArchive, tmp_path: Path
) -> None:
    target.fails_after = 4
    with pytest.raises(ArchiveError, match="connection was lost"):
        send_model(packed.study_instance_uid, source, target, tmp_path)
    sent, target.fails_after = list(target.stored), None
    source.fetched.clear()

    _, held = send_model(packed.study_instance_uid, source, target, tmp_path)

    assert held.held_before == len(sent) == 4
    assert not set(source.fetched) & set(sent)
    assert len(set(target.stored)) == len(target.stored) == held.instances


def test_sending_twice_sends_nothing(
    packed: PackedModel, source: FolderArchive, target: FolderArchive, tmp_path: Path
) -> None:
    send_model(packed.study_instance_uid, source, target, tmp_path)
    sent = list(target.stored)

    _, held = send_model(packed.study_instance_uid, source, target, tmp_path)

    assert target.stored == sent
    assert held.held_before == held.instances


@pytest.mark.parametrize("which", ["part", "descriptor"])
def test_what_the_target_holds_under_the_same_uid_is_left_as_it_is(
    which: str, packed: PackedModel, source: FolderArchive, target: FolderArchive, tmp_path: Path
) -> None:
    uid = packed.identity.sop_instance_uid
    if which == "part":
        uid = read_descriptor(packed.descriptor).parts[1].sop_instance_uid
    shutil.copy(source.path(uid), target.path(uid))
    flip_byte(target.path(uid), -20)
    before = target.path(uid).read_bytes()

    with pytest.raises(IntegrityError, match=f"already holds something else under the UID of (the )?{which}"):
        send_model(packed.study_instance_uid, source, target, tmp_path)
    assert target.path(uid).read_bytes() == before


def test_a_part_that_was_altered_at_the_source_is_not_sent(
    packed: PackedModel, source: FolderArchive, target: FolderArchive, tmp_path: Path
) -> None:
    uid = read_descriptor(packed.descriptor).parts[1].sop_instance_uid
    flip_byte(source.path(uid), -20)

    with pytest.raises(ObjectError, match="was altered"):
        send_model(packed.study_instance_uid, source, target, tmp_path)
    assert uid not in target.stored
    assert packed.identity.sop_instance_uid not in target.stored


def test_an_archive_that_deletes_what_came_first_is_found_out(
    packed: PackedModel, source: FolderArchive, tmp_path: Path
) -> None:
    with pytest.raises(ArchiveError, match="no longer holds 1 of 12"):
        send_model(packed.study_instance_uid, source, FolderArchive(tmp_path / "t", forgets_after=6), tmp_path)


def test_a_signature_goes_along_on_media(packed: PackedModel, tmp_path: Path) -> None:
    written = export_model(local_model(packed.folder), tmp_path / "media")

    assert written.instances == 12


def test_another_models_signature_stays_behind(packed: PackedModel, tmp_path: Path) -> None:
    other = pack_ensemble(tmp_path / "other", seed=2)
    key = SigningKey(Ed25519PrivateKey.generate())
    strange = sign_model(read_descriptor(other.descriptor), key, SignerRole.DEVELOPER, tmp_path / "other")
    shutil.copy(strange, packed.folder)

    assert export_model(local_model(packed.folder), tmp_path / "media").instances == 12
