"""What archives do to an object on its way - Implicit VR, moved blocks, changed attributes - is undone or found out."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from iodeep.errors import IntegrityError, ObjectError
from iodeep.model_object import ObjectKind, PackedModel, assemble, read_descriptor, recognise

from .models import ENSEMBLE, brain_self_test, edit, pack_ensemble


@pytest.fixture
def packed(tmp_path: Path) -> PackedModel:
    return pack_ensemble(tmp_path, self_test=brain_self_test())


def reencode(path: Path, syntax: str) -> None:
    dataset = dcmread(path)
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.save_as(path, implicit_vr=syntax == ImplicitVRLittleEndian)


def move_block(dataset: Dataset, group: int, to: int) -> None:
    """Give our block another number, as an archive may that merges private elements (PS3.5 7.8.1)."""
    moved = [element for element in dataset.group_dataset(group) if element.tag.element > 0xFF]
    creator = dataset[group, 0x0010]
    for element in [*moved, creator]:
        del dataset[element.tag]
    dataset.add_new(Tag(group, 0x0010), "LO", "SOMEBODY ELSE")
    dataset.add_new(Tag(group, 0x1012), "LO", "theirs")
    dataset.add_new(Tag(group, to), "LO", creator.value)
    for element in moved:
        dataset.add_new(Tag(group, to << 8 | element.tag.element & 0xFF), element.VR, element.value)


def assert_whole(packed: PackedModel, into: Path) -> None:
    descriptor = read_descriptor(packed.descriptor)
    assert descriptor.identity == packed.identity
    assert descriptor.self_test is not None
    back = assemble(descriptor, packed.parts, into)
    for name, length in ENSEMBLE.items():
        assert back[name].read_bytes() == (into.parent / "files" / name).read_bytes()
        assert back[name].stat().st_size == length


def test_implicit_vr_changes_nothing(packed: PackedModel, tmp_path: Path) -> None:
    for path in packed.files:
        reencode(path, ImplicitVRLittleEndian)

    assert_whole(packed, tmp_path / "back")
    assert {recognise(path).kind for path in packed.parts} == {ObjectKind.PART}


def test_implicit_vr_turned_into_explicit_again_leaves_un_and_changes_nothing(
    packed: PackedModel, tmp_path: Path
) -> None:
    for path in packed.files:
        reencode(path, ImplicitVRLittleEndian)
        reencode(path, ExplicitVRLittleEndian)
    assert dcmread(packed.parts[0])[0x7FE1, 0x1030].VR == "UN"

    assert_whole(packed, tmp_path / "back")


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("block", [0x11, 0xFF])
def test_blocks_that_were_moved_are_found_by_their_creator(
    packed: PackedModel, tmp_path: Path, block: int, syntax: str
) -> None:
    for path in packed.files:
        edit(path, lambda dataset: move_block(dataset, 0x0099, block))
        if path != packed.descriptor:
            edit(path, lambda dataset: move_block(dataset, 0x7FE1, block))
        reencode(path, syntax)

    assert_whole(packed, tmp_path / "back")


@pytest.mark.parametrize("options", [["+ti"], ["+te"], ["+te", "-g"], ["+te", "+e"], ["+ti", "-e"]])
def test_dcmtk_may_rewrite_every_file(packed: PackedModel, tmp_path: Path, options: list[str]) -> None:
    """An independent writer: implicit and explicit, with group lengths or not, sequences of either length."""
    for path in packed.files:
        subprocess.run(["dcmconv", *options, path, tmp_path / "converted.dcm"], check=True, capture_output=True)
        shutil.move(tmp_path / "converted.dcm", path)

    assert_whole(packed, tmp_path / "back")


@pytest.mark.parametrize(("option", "name"), [("+td", "Deflated Explicit"), ("+tb", "Explicit VR Big Endian")])
def test_other_transfer_syntaxes_are_refused_by_name(
    packed: PackedModel, tmp_path: Path, option: str, name: str
) -> None:
    descriptor = read_descriptor(packed.descriptor)
    for path in packed.files:
        subprocess.run(["dcmconv", option, path, tmp_path / "converted.dcm"], check=True, capture_output=True)
        shutil.move(tmp_path / "converted.dcm", path)

    with pytest.raises(ObjectError, match=name):
        read_descriptor(packed.descriptor)
    with pytest.raises(ObjectError, match=r"deliver Explicit VR Little Endian \(1\.2\.840\.10008\.1\.2\.1\)"):
        assemble(descriptor, packed.parts, tmp_path / "back")
    assert name in recognise(packed.descriptor).reason


def test_two_blocks_of_ours_are_refused(packed: PackedModel) -> None:
    edit(packed.descriptor, lambda dataset: dataset.add_new(Tag(0x0099, 0x0042), "LO", "IODEEP AIMODEL 1"))

    with pytest.raises(ObjectError, match="2 times"):
        read_descriptor(packed.descriptor)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientID", "AIM1.CT.LIVER.ANY.BRAINMASK"),
        ("PatientID", ""),
        ("DeviceUID", "2.25.1"),
        ("ManufacturerDeviceClassUID", "2.25.1"),
        ("Modality", "MR"),
        ("EquipmentModality", "CT"),
        ("BodyPartExamined", "CHEST"),
        ("StudyInstanceUID", "2.25.1"),
        ("SeriesInstanceUID", "2.25.1"),
        ("SOPInstanceUID", "2.25.1"),
        ("SoftwareVersions", "9.9.9"),
        ("SeriesNumber", "7"),
        ("ManufacturerModelName", "Another"),
        ("ContentQualification", "PRODUCT"),
    ],
)
def test_an_attribute_that_says_something_else_than_the_manifest_is_found(
    packed: PackedModel, keyword: str, value: str
) -> None:
    edit(packed.descriptor, lambda dataset: setattr(dataset, keyword, value))

    with pytest.raises(IntegrityError, match=f"{keyword} of descriptor.dcm is not what its manifest says"):
        read_descriptor(packed.descriptor)


def test_another_region_than_the_manifests_is_found(packed: PackedModel) -> None:
    edit(packed.descriptor, lambda dataset: setattr(dataset.AnatomicRegionSequence[0], "CodeValue", "51185008"))

    with pytest.raises(IntegrityError, match="AnatomicRegionSequence"):
        read_descriptor(packed.descriptor)


def test_an_extended_attribute_that_an_archive_dropped_is_forgiven(packed: PackedModel) -> None:
    def drop(dataset: Dataset) -> None:
        del dataset.EquipmentModality, dataset.AnatomicRegionSequence, dataset.AlgorithmFamilyCodeSequence

    edit(packed.descriptor, drop)

    assert read_descriptor(packed.descriptor).identity == packed.identity


def test_a_dropped_self_test_is_found(packed: PackedModel) -> None:
    edit(packed.descriptor, lambda dataset: dataset.private_block(0x0099, "IODEEP AIMODEL 1").__delitem__(0x16))

    with pytest.raises(IntegrityError, match="self-test"):
        read_descriptor(packed.descriptor)


def test_an_altered_self_test_is_found(packed: PackedModel) -> None:
    def alter(dataset: Dataset) -> None:
        element = dataset.private_block(0x0099, "IODEEP AIMODEL 1")[0x16]
        element.value = element.value[:100] + b"X" + element.value[101:]

    edit(packed.descriptor, alter)

    with pytest.raises(IntegrityError, match=r"self-test of descriptor\.dcm was altered"):
        read_descriptor(packed.descriptor)
