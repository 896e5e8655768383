"""Packing: exactly the card's files, into a folder that is whole or not there; what fails says so and leaves nothing."""

from __future__ import annotations

import os
import resource
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from iodeep.card import read_card
from iodeep.errors import CardError, InputError, IODeepError, LocalStorageError
from iodeep.model_object import Role, SelfTest, pack_model, read_descriptor
from iodeep.ports import Progress
from iodeep.volume import Volume

from .models import BRAIN_CARD, ENSEMBLE, brain_self_test, ensemble_card, pack_ensemble, write_payloads


def test_every_role_of_the_card_is_packed_into_the_series_of_its_kind(tmp_path: Path) -> None:
    packed = pack_ensemble(tmp_path)
    descriptor = read_descriptor(packed.descriptor)

    roles = {file.name: file.role for file in descriptor.manifest.files}
    assert roles == {
        "fold-0.onnx": Role.NETWORK,
        "fold-1.onnx": Role.NETWORK,
        "fold-0.onnx.data": Role.EXTERNAL_DATA,
        "trainable.safetensors": Role.TRAINABLE,
        "trainable.json": Role.TRAINABLE,
    }
    for path in packed.parts:
        dataset = dcmread(path)
        kind = 2 if path.name.startswith("trainable") else 1
        assert dataset.SeriesNumber == kind * 1_000_000 + 10_002
        assert dataset.StudyInstanceUID == packed.study_instance_uid
    numbers = [
        part.instance_number
        for part in descriptor.parts
        if part.series_instance_uid == descriptor.manifest.series.networks
    ]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_descriptor_says_what_the_card_says(tmp_path: Path) -> None:
    packed = pack_ensemble(tmp_path, self_test=brain_self_test())
    descriptor = read_descriptor(packed.descriptor)
    dataset = dcmread(packed.descriptor)

    assert descriptor.card == ensemble_card()
    assert descriptor.identity == packed.identity
    assert descriptor.total_bytes == sum(ENSEMBLE.values()) == packed.total_bytes
    assert descriptor.self_test is not None
    assert descriptor.self_test.expected_sha256 == brain_self_test().expected_sha256
    assert (dataset.PatientID, dataset.Modality, dataset.EquipmentModality) == (
        "AIM1.MR.HEAD.ANY.BRAINMASK",
        "OT",
        "MR",
    )
    assert dataset.BodyPartExamined == "HEAD"
    assert dataset.StudyDate == "20240131"
    assert dataset.DeviceUID == packed.identity.device_uid


def test_packing_again_gives_new_uids_of_the_same_device(tmp_path: Path) -> None:
    first, second = pack_ensemble(tmp_path / "1"), pack_ensemble(tmp_path / "2", part_size=500)

    assert first.identity.device_uid == second.identity.device_uid
    assert first.identity.sop_instance_uid != second.identity.sop_instance_uid
    assert first.study_instance_uid != second.study_instance_uid


def test_other_weights_are_another_device_of_the_same_family(tmp_path: Path) -> None:
    first, second = pack_ensemble(tmp_path / "1"), pack_ensemble(tmp_path / "2", seed=2)

    assert first.identity.device_uid != second.identity.device_uid
    assert first.identity.device_class_uid == second.identity.device_class_uid


def test_parts_are_stored_before_the_descriptor_by_which_a_model_is_found(tmp_path: Path) -> None:
    packed = pack_ensemble(tmp_path)

    assert packed.files[-1] == packed.descriptor
    assert set(packed.files) == set(packed.folder.iterdir())


def test_progress_counts_every_byte_of_each_step(tmp_path: Path) -> None:
    seen: list[Progress] = []
    files = write_payloads(tmp_path / "files", ENSEMBLE)

    pack_model(ensemble_card(), files, tmp_path / "packed", part_size=1000, progress=seen.append)

    last = {progress.step: progress for progress in seen}
    total = sum(ENSEMBLE.values())
    assert {step: (progress.done, progress.total) for step, progress in last.items()} == dict.fromkeys(
        ("digest", "write", "read back"), (total, total)
    )


def test_missing_and_extra_files_are_named(tmp_path: Path) -> None:
    files = write_payloads(tmp_path / "files", ENSEMBLE)
    files["unknown.bin"] = files.pop("fold-1.onnx")

    with pytest.raises(InputError, match=r"missing fold-1\.onnx; not named unknown\.bin"):
        pack_model(ensemble_card(), files, tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


@pytest.mark.parametrize("what", ["empty", "folder", "absent"])
def test_a_payload_that_is_no_file_with_content_is_refused(tmp_path: Path, what: str) -> None:
    files = write_payloads(tmp_path / "files", ENSEMBLE)
    bad = files["fold-1.onnx"] = tmp_path / "bad.onnx"
    if what == "empty":
        bad.touch()
    elif what == "folder":
        bad.mkdir()

    with pytest.raises(InputError, match=r"bad\.onnx, for fold-1\.onnx"):
        pack_model(ensemble_card(), files, tmp_path / "packed")


@pytest.mark.parametrize("part_size", [-1, 0, 0xFFFF_FFFE, 1 << 32])
def test_part_sizes_that_dicom_cannot_carry_are_refused(tmp_path: Path, part_size: int) -> None:
    files = write_payloads(tmp_path / "files", ENSEMBLE)

    with pytest.raises(InputError, match="part size"):
        pack_model(ensemble_card(), files, tmp_path / "packed", part_size=part_size)


def test_too_many_parts_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    files = write_payloads(tmp_path / "files", ENSEMBLE)
    os.truncate(files["fold-0.onnx"], 100_000)

    with pytest.raises(InputError, match="too many parts"):
        pack_model(ensemble_card(), files, tmp_path / "packed", part_size=1)


@pytest.mark.parametrize("field", ["name", "summary"])
@pytest.mark.parametrize("text", ["two\nlines", "back\\slash", "bell\a"])
def test_text_that_dicom_cannot_carry_is_refused(tmp_path: Path, field: str, text: str) -> None:
    files = write_payloads(tmp_path / "files", ENSEMBLE)

    with pytest.raises(CardError, match=field):
        pack_model(ensemble_card().model_copy(update={field: text}), files, tmp_path / "packed")


def test_a_name_in_any_script_survives(tmp_path: Path) -> None:
    files = write_payloads(tmp_path / "files", ENSEMBLE)
    card = ensemble_card().model_copy(update={"name": "脳抽出 größer"})

    packed = pack_model(card, files, tmp_path / "packed")

    assert read_descriptor(packed.descriptor).identity.name == "脳抽出 größer"
    assert str(dcmread(packed.descriptor).PatientName) == "AIMODEL^脳抽出 größer"


def test_several_regions_are_all_written_and_no_body_part(tmp_path: Path) -> None:
    card = ensemble_card()
    card = card.model_copy(update={"target": card.target.model_copy(update={"regions": ("HEAD", "NECK")})})
    packed = pack_model(card, write_payloads(tmp_path / "files", ENSEMBLE), tmp_path / "packed")
    dataset = dcmread(packed.descriptor)

    assert "BodyPartExamined" not in dataset
    assert len(dataset.AnatomicRegionSequence) == 2
    assert read_descriptor(packed.descriptor).patient_id == "AIM1.MR.MULTI.ANY.BRAINMASK"


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    files = write_payloads(tmp_path / "files", ENSEMBLE)
    out = tmp_path / "packed"
    out.mkdir()
    (out / "mine.txt").write_text("kept")

    with pytest.raises(InputError, match="exists already"):
        pack_model(ensemble_card(), files, out)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()

    assert pack_ensemble(tmp_path).descriptor.exists()


def test_a_file_that_changes_while_it_is_packed_is_noticed_and_nothing_stays(tmp_path: Path) -> None:
    files = write_payloads(tmp_path / "files", ENSEMBLE)

    def meddle(progress: Progress) -> None:
        if progress.step == "write" and progress.done == 1000:
            with files["fold-0.onnx"].open("r+b") as file:
                file.seek(2500)
                file.write(b"changed")

    with pytest.raises(IODeepError, match="changed while it was packed"):
        pack_model(ensemble_card(), files, tmp_path / "packed", part_size=1000, progress=meddle)
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


def test_content_that_changes_unseen_by_the_file_system_is_found_by_reading_back(tmp_path: Path) -> None:
    files = write_payloads(tmp_path / "files", {**ENSEMBLE, "fold-0.onnx": 30_000})
    status = files["fold-0.onnx"].stat()

    def meddle(progress: Progress) -> None:
        if progress.step == "write" and progress.done == 1000:
            with files["fold-0.onnx"].open("r+b") as file:
                file.seek(25_000)
                file.write(b"changed")
            os.utime(files["fold-0.onnx"], ns=(status.st_atime_ns, status.st_mtime_ns))

    with pytest.raises(IODeepError, match="not on the disk as it was read"):
        pack_model(ensemble_card(), files, tmp_path / "packed", part_size=1000, progress=meddle)
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


def test_a_file_that_shrinks_while_it_is_packed_leaves_nothing(tmp_path: Path) -> None:
    files = write_payloads(tmp_path / "files", ENSEMBLE)

    def meddle(progress: Progress) -> None:
        if progress.step == "write":
            os.truncate(files["fold-0.onnx"], 1500)

    with pytest.raises(IODeepError, match="changed"):
        pack_model(ensemble_card(), files, tmp_path / "packed", part_size=1000, progress=meddle)
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


def test_a_full_disk_leaves_nothing_and_says_so(tmp_path: Path) -> None:
    files = write_payloads(tmp_path / "files", {**ENSEMBLE, "fold-0.onnx": 300_000})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # the nearest thing to a full disk that needs no root
    try:
        with pytest.raises(LocalStorageError, match="nothing was left behind"):
            pack_model(ensemble_card(), files, tmp_path / "packed")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["files"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    files = write_payloads(tmp_path / "files", ENSEMBLE)
    (tmp_path / "file").touch()

    with pytest.raises(LocalStorageError, match="packed cannot be written"):
        pack_model(ensemble_card(), files, tmp_path / "file" / "packed")


def test_the_time_of_packing_is_kept_in_utc(tmp_path: Path) -> None:
    files = write_payloads(tmp_path / "files", ENSEMBLE)
    packed_at = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)

    packed = pack_model(ensemble_card(), files, tmp_path / "packed", packed_at=packed_at)

    assert read_descriptor(packed.descriptor).manifest.packed_at == packed_at
    dataset = dcmread(packed.descriptor)
    assert (dataset.ContentDate, dataset.ContentTime, dataset.TimezoneOffsetFromUTC) == ("20260304", "050607", "+0000")


def test_a_self_test_that_could_not_fail_is_refused(tmp_path: Path) -> None:
    empty = SelfTest(
        inputs={"image": Volume(np.ones((2, 3, 4), np.uint8), np.eye(4))}, labels=np.zeros((2, 3, 4), np.uint8)
    )

    with pytest.raises(InputError, match="empty"):
        pack_ensemble(tmp_path, self_test=empty)


def test_a_self_test_of_another_card_is_refused(tmp_path: Path) -> None:
    test = brain_self_test()
    other_input = SelfTest(inputs={"flair": test.inputs["image"]}, labels=test.labels)
    assert test.labels is not None
    other_segments = SelfTest(inputs=test.inputs, labels=test.labels * np.uint8(2))

    with pytest.raises(InputError, match="inputs are flair"):
        pack_ensemble(tmp_path / "1", self_test=other_input)
    with pytest.raises(InputError, match="segment 2"):
        pack_ensemble(tmp_path / "2", self_test=other_segments)


def test_a_tolerance_of_everything_is_refused(tmp_path: Path) -> None:
    card = read_card(BRAIN_CARD)
    card = card.model_copy(update={"self_test": card.self_test.model_copy(update={"minimum_dice": 0.0})})
    files = write_payloads(tmp_path / "files", {"brain-extraction.onnx": 10})

    with pytest.raises(InputError, match="tolerates any segmentation"):
        pack_model(card, files, tmp_path / "packed", self_test=brain_self_test())


def test_the_release_date_of_the_card_is_the_study_date(tmp_path: Path) -> None:
    files = write_payloads(tmp_path / "files", ENSEMBLE)
    card = ensemble_card().model_copy(update={"released": date(2026, 1, 31)})

    assert dcmread(pack_model(card, files, tmp_path / "packed").descriptor).StudyDate == "20260131"
