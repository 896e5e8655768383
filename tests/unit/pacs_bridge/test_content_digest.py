"""Two files are the same only where their data sets are, whatever a server made of their encoding."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from iodeep.errors import InputError
from pacs_bridge.content_digest import content_digest, same_content

RAW_DATA = "1.2.840.10008.5.1.4.1.1.66"


def _dataset(payload: bytes = b"weights!", *, patient: str = "AIM1.MR.BRAIN") -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = RAW_DATA
    dataset.SOPInstanceUID = "1.2.3"
    dataset.PatientID = patient
    code = Dataset()
    code.CodeValue = "12738006"
    code.CodeMeaning = "Brain"
    nested = Dataset()
    nested.ConceptCodeSequence = Sequence([code])
    dataset.ConceptNameCodeSequence = Sequence([nested, code])
    block = dataset.private_block(0x7FE1, "IODEEP AIMODEL 1", create=True)
    block.add_new(0x30, "OB", payload)
    return dataset


def _write(dataset: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian, *, undefined: bool = False) -> Path:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = UID(RAW_DATA)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    for element in dataset.iterall():
        if element.VR == "SQ":
            element.is_undefined_length = undefined
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    return _write(_dataset(), tmp_path / "ours.dcm")


def test_a_copy_is_the_same(ours: Path, tmp_path: Path) -> None:
    assert same_content(ours, _write(_dataset(), tmp_path / "theirs.dcm")) is None


def test_file_meta_information_does_not_count(ours: Path, tmp_path: Path) -> None:
    theirs = pydicom.dcmread(ours)
    theirs.file_meta.SourceApplicationEntityTitle = "SOMEBODY"
    pydicom.dcmwrite(tmp_path / "theirs.dcm", theirs)
    assert content_digest(ours) == content_digest(tmp_path / "theirs.dcm")
    assert same_content(ours, tmp_path / "theirs.dcm") is None


def test_implicit_vr_is_the_same_content_though_private_elements_became_unknown(ours: Path, tmp_path: Path) -> None:
    theirs = _write(_dataset(), tmp_path / "theirs.dcm", ImplicitVRLittleEndian)
    assert content_digest(ours) != content_digest(theirs)
    assert same_content(ours, theirs) is None


def test_private_sequences_in_implicit_vr_are_the_same_content(tmp_path: Path) -> None:
    def private() -> Dataset:
        dataset, item = _dataset(), Dataset()
        item.CodeValue = "1"
        dataset.private_block(0x0099, "IODEEP AIMODEL 1", create=True).add_new(0x40, "SQ", [item])
        return dataset

    ours = _write(private(), tmp_path / "ours.dcm")
    for undefined in (True, False):
        theirs = _write(private(), tmp_path / "theirs.dcm", ImplicitVRLittleEndian, undefined=undefined)
        assert same_content(ours, theirs) is None


def test_a_private_sequence_that_became_unknown_in_explicit_vr_is_the_same_content(tmp_path: Path) -> None:
    ours, theirs, item = _dataset(), _dataset(), Dataset()
    item.CodeValue = "1"
    ours.private_block(0x0099, "IODEEP AIMODEL 1", create=True).add_new(0x40, "SQ", [item])
    element = b"\x08\x00\x00\x01\x02\x00\x00\x001 "  # (0008,0100) in Implicit VR, as PS3.5 6.2.2 has it inside UN
    encoded = b"\xfe\xff\x00\xe0" + len(element).to_bytes(4, "little") + element
    theirs.private_block(0x0099, "IODEEP AIMODEL 1", create=True).add_new(0x40, "UN", encoded)
    assert same_content(_write(ours, tmp_path / "ours.dcm"), _write(theirs, tmp_path / "theirs.dcm")) is None


def test_sequences_of_other_length_encoding_are_the_same_content(ours: Path, tmp_path: Path) -> None:
    theirs = _write(_dataset(), tmp_path / "theirs.dcm", undefined=True)
    assert same_content(ours, theirs) is None


def test_group_lengths_do_not_count(ours: Path, tmp_path: Path) -> None:
    octets = ours.read_bytes()
    at = octets.index(b"\x08\x00\x16\x00UI")
    theirs = tmp_path / "theirs.dcm"
    theirs.write_bytes(octets[:at] + b"\x08\x00\x00\x00UL\x04\x00\x99\x00\x00\x00" + octets[at:])
    assert same_content(ours, theirs) is None


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_an_altered_payload_is_named(ours: Path, tmp_path: Path, syntax: str) -> None:
    theirs = _write(_dataset(b"weights?"), tmp_path / "theirs.dcm", syntax)
    difference = same_content(ours, theirs)
    assert difference is not None
    assert difference.where == "(7FE1,1030)"
    assert "altered" in difference.how


def test_a_lost_an_added_and_a_shortened_element_are_named(ours: Path, tmp_path: Path) -> None:
    less, more, shorter = _dataset(), _dataset(), _dataset(patient="AIM1")
    del less.ConceptNameCodeSequence[0].ConceptCodeSequence[0].CodeMeaning
    more.PatientName = "Somebody"
    told = [str(same_content(ours, _write(theirs, tmp_path / "theirs.dcm"))) for theirs in (less, more, shorter)]
    assert told[0].endswith("[1] > (0008,0104) CodeMeaning: the archive lost it")
    assert told[1] == "(0010,0010) PatientName: the archive added it"
    assert told[2] == "(0010,0020) PatientID: 14 bytes were sent, the archive has 4"


def test_a_lost_item_of_a_sequence_is_named(ours: Path, tmp_path: Path) -> None:
    theirs = _dataset()
    del theirs.ConceptNameCodeSequence[1]
    assert "lost item 2" in str(same_content(ours, _write(theirs, tmp_path / "theirs.dcm")))


def test_patients_values_are_not_in_the_text(ours: Path, tmp_path: Path) -> None:
    theirs = _write(_dataset(patient="DOE"), tmp_path / "theirs.dcm")
    assert "DOE" not in str(same_content(ours, theirs))


@pytest.mark.parametrize("cut", [1, 9, 40, 200])
def test_a_file_cut_off_by_the_archive_is_a_difference(ours: Path, tmp_path: Path, cut: int) -> None:
    theirs = tmp_path / "theirs.dcm"
    theirs.write_bytes(ours.read_bytes()[:-cut])
    assert same_content(ours, theirs) is not None


def test_a_retrieved_file_that_is_no_dicom_is_a_difference(ours: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.dcm"
    theirs.write_bytes(b"<html>")
    assert "malformed" in str(same_content(ours, theirs))


def test_a_local_file_that_is_no_dicom_is_bad_input(ours: Path, tmp_path: Path) -> None:
    local = tmp_path / "local.dcm"
    local.write_bytes(b"MZ")
    for read in (content_digest, lambda path: same_content(path, ours)):
        with pytest.raises(InputError, match=r"local\.dcm is not a DICOM file"):
            read(local)


def _image(fragment: bytes, *, offsets: bool) -> Dataset:
    dataset = _dataset()
    dataset.PixelData = encapsulate([fragment], has_bot=offsets)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset


def test_compressed_images_are_compared_by_fragment(tmp_path: Path) -> None:
    ours = _write(_image(b"\xff\xd8ab", offsets=True), tmp_path / "ours.dcm", JPEGBaseline8Bit)
    same = _write(_image(b"\xff\xd8ab", offsets=True), tmp_path / "same.dcm", JPEGBaseline8Bit, undefined=True)
    other = _write(_image(b"\xff\xd8ac", offsets=True), tmp_path / "other.dcm", JPEGBaseline8Bit)
    assert same_content(ours, same) is None
    assert same_content(ours, other) is not None


def test_a_recompressed_image_is_a_difference(ours: Path, tmp_path: Path) -> None:
    theirs = _write(_image(b"\xff\xd8ab", offsets=True), tmp_path / "theirs.dcm", JPEGBaseline8Bit)
    assert "re-encoded from Explicit VR Little Endian to JPEG Baseline" in str(same_content(ours, theirs))


def test_deflated_files_are_compared_whole(tmp_path: Path) -> None:
    ours = _write(_dataset(), tmp_path / "ours.dcm", DeflatedExplicitVRLittleEndian)
    other = _write(_dataset(b"weights?"), tmp_path / "other.dcm", DeflatedExplicitVRLittleEndian)
    assert same_content(ours, ours) is None
    assert "bytes differ" in str(same_content(ours, other))


def test_values_of_any_size_are_compared_in_bounded_memory(tmp_path: Path) -> None:
    payload = bytes(48 << 20)
    ours = _write(_dataset(payload), tmp_path / "ours.dcm")
    theirs = _write(_dataset(payload), tmp_path / "theirs.dcm", ImplicitVRLittleEndian)
    del payload
    tracemalloc.start()
    try:
        assert same_content(ours, theirs) is None
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@settings(max_examples=40, deadline=None)
@given(
    payload=st.binary(min_size=1, max_size=300),
    patient=st.text("ABC.-", max_size=20),
    implicit=st.booleans(),
    undefined=st.booleans(),
    change=st.integers(0, 299),
)
def test_any_encoding_is_the_same_and_any_changed_byte_is_not(
    payload: bytes, patient: str, implicit: bool, undefined: bool, change: int
) -> None:
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    altered = bytearray(payload)
    altered[change % len(payload)] ^= 0x55
    with TemporaryDirectory() as folder:
        ours = _write(_dataset(payload, patient=patient), Path(folder, "ours.dcm"))
        same = _write(_dataset(payload, patient=patient), Path(folder, "same.dcm"), syntax, undefined=undefined)
        other = _write(
            _dataset(bytes(altered), patient=patient), Path(folder, "other.dcm"), syntax, undefined=undefined
        )
        assert same_content(ours, same) is None
        assert same_content(ours, other) is not None


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 600), octet=st.integers(1, 255))
def test_damage_never_crashes_and_damage_to_a_value_never_passes(at: int, octet: int) -> None:
    with TemporaryDirectory() as folder:
        ours = _write(_dataset(), Path(folder, "ours.dcm"), undefined=True)
        octets = ours.read_bytes()
        start = octets.index(b"\x08\x00\x16\x00UI")
        place = start + at % (len(octets) - start)
        theirs = Path(folder, "theirs.dcm")
        theirs.write_bytes(octets[:place] + bytes([octets[place] ^ octet]) + octets[place + 1 :])
        difference = same_content(ours, theirs)
        assert difference is not None or place not in _value_bytes(octets)


def _value_bytes(octets: bytes) -> set[int]:
    values = (b"AIM1.MR.BRAIN", b"12738006", b"Brain", b"weights!", RAW_DATA.encode())
    starts = [(octets.rindex(value), len(value)) for value in values]
    return {at for start, length in starts for at in range(start, start + length)}
