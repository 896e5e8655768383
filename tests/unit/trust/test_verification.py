"""Verification tells everything that is wrong with a model at once, in sentences, and raises nothing."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from iodeep.errors import InputError
from iodeep.model_object import PackedModel
from iodeep.model_object.dicom_file import locate_payload, read_header
from iodeep.ports import Progress
from iodeep.trust import file_sha256, verify_object
from tests.unit.model_object.models import ENSEMBLE, brain_self_test, flip_byte, pack_ensemble


@pytest.fixture
def packed(tmp_path: Path) -> PackedModel:
    return pack_ensemble(tmp_path, self_test=brain_self_test())


def alter(path: Path) -> None:
    flip_byte(path, locate_payload(read_header(path)).offset)


def test_a_whole_model_holds_and_every_file_is_named(packed: PackedModel) -> None:
    report = verify_object(packed.descriptor, [packed.folder])

    assert report.holds
    text = " ".join(report.sentences)
    for name, length in ENSEMBLE.items():
        assert f"{name} holds: {length} bytes" in text
    assert packed.identity.manifest_sha256 in text
    assert "self-test" in text


def test_everything_that_is_wrong_is_told_at_once(packed: PackedModel, tmp_path: Path) -> None:
    alter(packed.parts[0])
    packed.parts[5].unlink()
    stranger = pack_ensemble(tmp_path / "other", seed=2).parts[0]
    twice = Path(shutil.copy(packed.parts[7], tmp_path / "twice.dcm"))
    given = [path for path in packed.parts if path.exists()]

    report = verify_object(packed.descriptor, [*given, stranger, twice])

    assert not report.holds
    wrong = [check.sentence for check in report.checks if not check.holds]
    assert len(wrong) == 4
    for expected in ("part 1 of 4 of fold-0.onnx was altered", "Missing: ", "part of another model", "is there twice"):
        assert any(expected in sentence for sentence in wrong), expected
    assert any(check.holds and check.subject == "fold-1.onnx" for check in report.checks)


@pytest.mark.parametrize(
    "spoil",
    [
        Path.unlink,
        lambda path: path.write_bytes(b"?" * 500),
        lambda path: flip_byte(path, path.read_bytes().index(b'{"card"')),
    ],
    ids=["absent", "noise", "altered"],
)
def test_a_descriptor_that_cannot_be_read_is_told(packed: PackedModel, spoil: Callable[[Path], object]) -> None:
    spoil(packed.descriptor)

    report = verify_object(packed.descriptor, packed.parts)

    assert report.descriptor is None
    assert not report.holds
    assert report.sentences[0].startswith("Wrong: ")


def test_no_parts_at_all_is_not_whole(packed: PackedModel) -> None:
    assert not verify_object(packed.descriptor, []).holds


def test_progress_counts_every_byte(packed: PackedModel) -> None:
    seen: list[Progress] = []

    verify_object(packed.descriptor, packed.parts, progress=seen.append)

    assert (seen[-1].done, seen[-1].total) == (packed.total_bytes, packed.total_bytes)


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 10_000)

    assert file_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(InputError, match="absent"):
        file_sha256(tmp_path / "absent")
