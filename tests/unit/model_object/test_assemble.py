"""Assembling: every way in which parts can be wrong is a clear error of its own, and nothing half-written stays."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from iodeep.errors import InputError, IntegrityError, IODeepError, LocalStorageError, ObjectError
from iodeep.model_object import ModelDescriptor, PackedModel, assemble, read_descriptor
from iodeep.model_object.dicom_file import locate_payload, read_header
from iodeep.ports import Progress

from .models import ENSEMBLE, ROOT, edit, flip_byte, pack_ensemble


@pytest.fixture
def packed(tmp_path: Path) -> PackedModel:
    return pack_ensemble(tmp_path)


@pytest.fixture
def descriptor(packed: PackedModel) -> ModelDescriptor:
    return read_descriptor(packed.descriptor)


def refused(descriptor: ModelDescriptor, parts: list[Path], into: Path) -> str:
    """The message with which assembling ends; nothing may be left in ``into``."""
    with pytest.raises(ObjectError) as caught:
        assemble(descriptor, parts, into)
    assert not into.exists() or not list(into.iterdir())
    return str(caught.value)


def test_a_folder_and_the_descriptor_itself_may_be_given(
    packed: PackedModel, descriptor: ModelDescriptor, tmp_path: Path
) -> None:
    (packed.folder / "notes.txt").write_text("not DICOM")

    assert set(assemble(descriptor, [packed.folder], tmp_path / "a")) == set(ENSEMBLE)
    assert set(assemble(descriptor, packed.files, tmp_path / "b")) == set(ENSEMBLE)


def test_a_missing_part_is_named_with_its_uid(packed: PackedModel, descriptor: ModelDescriptor, tmp_path: Path) -> None:
    message = refused(descriptor, [*packed.parts[:2], *packed.parts[3:]], tmp_path / "back")

    assert "1 of 10 parts" in message
    assert "part 3 of 4 of fold-0.onnx" in message
    assert descriptor.parts[2].sop_instance_uid in message
    assert "max_study_size" in message


def test_a_part_that_is_given_twice_is_named(packed: PackedModel, descriptor: ModelDescriptor, tmp_path: Path) -> None:
    copy = Path(shutil.copy(packed.parts[1], tmp_path / "copy.dcm"))

    message = refused(descriptor, [*packed.parts, copy], tmp_path / "back")

    assert "part 2 of 4 of fold-0.onnx is there twice" in message
    assert "copy.dcm" in message


def test_a_part_of_another_model_is_an_error_by_name_and_left_aside_in_a_folder(
    packed: PackedModel, descriptor: ModelDescriptor, tmp_path: Path
) -> None:
    other = pack_ensemble(tmp_path / "other", seed=2)
    stranger = Path(shutil.copy(other.parts[0], packed.folder / "stranger.dcm"))

    assert "stranger.dcm is a part of another model" in refused(
        descriptor, [*packed.parts, stranger], tmp_path / "back"
    )
    assert set(assemble(descriptor, [packed.folder], tmp_path / "found")) == set(ENSEMBLE)


def test_parts_of_others_in_a_folder_are_mentioned_when_one_is_missing(
    packed: PackedModel, descriptor: ModelDescriptor, tmp_path: Path
) -> None:
    other = pack_ensemble(tmp_path / "other", seed=2)
    packed.parts[0].unlink()
    shutil.copy(other.parts[0], packed.parts[0])

    assert "1 parts of other models" in refused(descriptor, [packed.folder], tmp_path / "back")


def test_the_descriptor_of_another_model_is_named(
    packed: PackedModel, descriptor: ModelDescriptor, tmp_path: Path
) -> None:
    other = pack_ensemble(tmp_path / "other", seed=2)

    assert "descriptor of another model" in refused(descriptor, [*packed.parts, other.descriptor], tmp_path / "back")


def test_one_models_parts_never_serve_another_models_descriptor(packed: PackedModel, tmp_path: Path) -> None:
    other = read_descriptor(pack_ensemble(tmp_path / "other", seed=2).descriptor)

    assert "part of another model" in refused(other, list(packed.parts), tmp_path / "back")


@pytest.mark.parametrize("which", [0, 3, 9])
def test_an_altered_payload_names_part_and_file(
    packed: PackedModel, descriptor: ModelDescriptor, tmp_path: Path, which: int
) -> None:
    part = packed.parts[which]
    flip_byte(part, locate_payload(read_header(part)).offset)

    message = refused(descriptor, list(packed.parts), tmp_path / "back")

    assert f"{descriptor.parts[which]} was altered ({part.name})" in message


@pytest.mark.parametrize(
    ("number", "value"), [(0x20, "2"), (0x21, "7"), (0x22, "5"), (0x23, "0" * 64), (0x24, "../evil")]
)
def test_a_part_that_labels_itself_otherwise_than_the_manifest_is_refused(
    packed: PackedModel, descriptor: ModelDescriptor, tmp_path: Path, number: int, value: str
) -> None:
    def relabel(dataset: Dataset) -> None:
        dataset.private_block(0x0099, "IODEEP AIMODEL 1")[number].value = value

    edit(packed.parts[0], relabel)

    assert "says something else of itself" in refused(descriptor, list(packed.parts), tmp_path / "back")


def test_a_part_under_a_new_uid_is_refused(packed: PackedModel, descriptor: ModelDescriptor, tmp_path: Path) -> None:
    edit(packed.parts[0], lambda dataset: setattr(dataset, "SOPInstanceUID", generate_uid(prefix=None)))

    message = refused(descriptor, list(packed.parts), tmp_path / "back")

    assert "is not among the parts" in message
    assert "keep UIDs" in message


@pytest.mark.parametrize("change", [b"", b"more bytes"])
def test_a_payload_of_another_length_is_refused(
    packed: PackedModel, descriptor: ModelDescriptor, tmp_path: Path, change: bytes
) -> None:
    def resize(dataset: Dataset) -> None:
        payload = dataset.private_block(0x7FE1, "IODEEP AIMODEL 1")[0x30]
        payload.value = payload.value + change if change else payload.value[:-2]

    edit(packed.parts[0], resize)

    assert "has a wrong length" in refused(descriptor, list(packed.parts), tmp_path / "back")


@pytest.mark.parametrize("kept", [0, 100, 200, 1000, 2000, 0.9])
def test_a_truncated_part_is_refused(
    packed: PackedModel, descriptor: ModelDescriptor, tmp_path: Path, kept: float
) -> None:
    content = packed.parts[0].read_bytes()
    packed.parts[0].write_bytes(content[: int(kept if kept >= 1 or kept == 0 else kept * len(content))])

    assert packed.parts[0].name in refused(descriptor, list(packed.parts), tmp_path / "back")


def test_a_part_whose_private_elements_were_dropped_is_refused(
    packed: PackedModel, descriptor: ModelDescriptor, tmp_path: Path
) -> None:
    edit(packed.parts[0], lambda dataset: dataset.remove_private_tags())

    assert "archive dropped private elements" in refused(descriptor, list(packed.parts), tmp_path / "back")


def test_an_image_among_the_parts_is_refused(packed: PackedModel, descriptor: ModelDescriptor, tmp_path: Path) -> None:
    image = ROOT / "sample_data" / "mr-head" / "brain_001.dcm"

    assert "is not a part of a model" in refused(descriptor, [*packed.parts, image], tmp_path / "back")


def test_an_absent_file_is_named(packed: PackedModel, descriptor: ModelDescriptor, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.dcm"):
        assemble(descriptor, [*packed.parts, tmp_path / "absent.dcm"], tmp_path / "back")


def test_files_that_were_there_stay_when_assembling_fails(
    packed: PackedModel, descriptor: ModelDescriptor, tmp_path: Path
) -> None:
    before = {name: path.read_bytes() for name, path in assemble(descriptor, packed.parts, tmp_path / "back").items()}
    last = packed.parts[-1]
    flip_byte(last, locate_payload(read_header(last)).offset)

    with pytest.raises(IntegrityError):
        assemble(descriptor, packed.parts, tmp_path / "back")
    assert {path.name: path.read_bytes() for path in (tmp_path / "back").iterdir()} == before


def test_a_target_that_cannot_be_written_is_named(
    packed: PackedModel, descriptor: ModelDescriptor, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(LocalStorageError, match="file cannot be written"):
        assemble(descriptor, packed.parts, tmp_path / "file")


def test_whoever_stops_it_finds_nothing_half_written(
    packed: PackedModel, descriptor: ModelDescriptor, tmp_path: Path
) -> None:
    def stop(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        assemble(descriptor, packed.parts, tmp_path / "back", progress=stop)
    assert not list((tmp_path / "back").iterdir())


def test_parts_that_hold_but_make_another_file_are_refused(tmp_path: Path) -> None:
    """Someone swaps two parts' places in a manifest of their own making: the file's digest tells."""
    packed = pack_ensemble(tmp_path)
    descriptor = read_descriptor(packed.descriptor)
    manifest = descriptor.manifest
    first = manifest.files[0].model_copy(update={"sha256": "0" * 64})
    forged = ModelDescriptor(manifest.model_copy(update={"files": (first, *manifest.files[1:])}), descriptor.identity)

    with pytest.raises(IODeepError, match="together they are not the file"):
        assemble(forged, packed.parts, tmp_path / "back")


def test_the_parts_are_read_with_pydicom_too(packed: PackedModel) -> None:
    """An independent look at what is written: even length, last in the data set, Explicit VR Little Endian."""
    for path in packed.parts:
        dataset = dcmread(path)
        payload = dataset.private_block(0x7FE1, "IODEEP AIMODEL 1")[0x30]
        assert payload.VR == "OB"
        assert len(payload.value) % 2 == 0
        assert max(dataset.keys()) == payload.tag
        assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
