"""A scan reads headers only, groups by series, and tells of everything that it leaves out."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from iodeep.errors import InputError
from iodeep.terms import RAW_DATA_STORAGE
from iodeep.volume import find_series, open_series
from tests.synthetic import write_multiframe, write_series

ZEROS = np.zeros((3, 4, 5), np.int16)


def write_raw_data(path: Path) -> None:
    """A model object, as far as a scan can tell: Raw Data with a payload behind where pixels would be."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = RAW_DATA_STORAGE, "1.2.3"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = "1.2.4", "1.2.5", "OT"
    block = ds.private_block(0x7FE1, "IODEEP AIMODEL 1", create=True)
    block.add_new(0x10, "OB", b"payload!")
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(path, enforce_file_format=True)


def test_series_are_found_in_nested_folders_and_grouped(tmp_path: Path) -> None:
    first = write_series(tmp_path / "a" / "b", ZEROS, name="first")
    second = write_multiframe(tmp_path / "c", ZEROS, name="second")
    scan = find_series(tmp_path)
    assert [found.paths for found in scan] == [tuple(first), (second,)]
    assert [found.modality for found in scan] == ["CT", "MR"]
    assert scan[0].series_instance_uid != scan[1].series_instance_uid
    assert scan[0].study_instance_uid == scan[1].study_instance_uid
    assert scan[0].sop_class_uids == ("1.2.840.10008.5.1.4.1.1.2",)
    assert len(scan) == 2
    assert scan.unreadable == ()


def test_headers_hold_everything_but_pixels(tmp_path: Path) -> None:
    paths = write_series(tmp_path, ZEROS)
    for path, header in zip(paths, find_series(tmp_path)[0].headers, strict=True):
        whole = dcmread(path)
        del whole.PixelData
        assert header == whole


def test_what_is_no_image_is_counted(tmp_path: Path) -> None:
    write_series(tmp_path, ZEROS)
    (tmp_path / "notes.txt").write_text("no DICOM")
    (tmp_path / "empty").touch()
    (tmp_path / "DICOMDIR").write_bytes((tmp_path / "0000.dcm").read_bytes())
    write_raw_data(tmp_path / "model.dcm")
    scan = find_series(tmp_path)
    assert (len(scan), scan.not_dicom, scan.not_images, scan.unreadable) == (1, 3, 1, ())


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert len(find_series(tmp_path)) == 0


@pytest.mark.parametrize("keep", [200, 700, 1100, -100, -1])
def test_a_truncated_file_is_named(tmp_path: Path, keep: int) -> None:
    path = write_series(tmp_path, np.zeros((1, 32, 32), np.int16))[0]
    path.write_bytes(path.read_bytes()[:keep])
    scan = find_series(tmp_path)
    assert len(scan) == 0
    assert [broken.path for broken in scan.unreadable] == [path]
    assert "truncated" in scan.unreadable[0].reason
    assert str(path) in scan.unreadable[0].reason


def test_a_length_that_the_file_cannot_hold_is_not_read(tmp_path: Path) -> None:
    path = write_series(tmp_path, ZEROS[:1], overrides={"ImageComments": "x" * 100})[0]
    content = path.read_bytes()
    at = content.index(b"\x20\x00\x00\x40LT")
    path.write_bytes(content[: at + 4] + b"OB\0\0\xf0\xff\xff\x7f" + content[at + 8 :])
    reason = find_series(tmp_path).unreadable[0].reason
    assert "2,147,483,632 bytes" in reason


def test_garbage_in_a_value_is_told_of_the_file(tmp_path: Path) -> None:
    path = write_series(tmp_path, ZEROS[:1], overrides={"NumberOfFrames": "1"})[0]
    content = path.read_bytes()
    path.write_bytes(content.replace(b"\x28\x00\x08\x00IS\x02\x001 ", b"\x28\x00\x08\x00IS\x02\x00xy"))
    scan = find_series(tmp_path)
    assert len(scan) == 0
    assert str(path) in scan.unreadable[0].reason


def test_an_image_without_identity_is_told(tmp_path: Path) -> None:
    write_series(tmp_path, ZEROS[:1], overrides={"SeriesInstanceUID": None, "Modality": None})
    assert "lacks SeriesInstanceUID, Modality" in find_series(tmp_path).unreadable[0].reason


def test_a_path_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        find_series(tmp_path / "nowhere")


def test_a_file_given_twice_is_taken_once(tmp_path: Path) -> None:
    paths = write_series(tmp_path, ZEROS)
    assert find_series([tmp_path, paths[0]])[0].paths == tuple(paths)


def test_opening_a_file_that_is_no_image_says_so(tmp_path: Path) -> None:
    write_raw_data(tmp_path / "model.dcm")
    with pytest.raises(InputError, match="without an image"):
        open_series([tmp_path / "model.dcm"])
