"""A run that happens twice gives the same thing twice, and files are there whole or not at all."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pydicom
import pytest

from iodeep.errors import LocalStorageError
from iodeep.prediction import Segmentation
from iodeep.results import Results, SegKind, images_of, result_uids, write_results
from tests.unit.results.support import IDENTITY, NOW, box_labels, make_series, results_of

LATER = datetime(2026, 3, 5, 6, 7, 8)
TIMES = {
    "InstanceCreationDate",
    "InstanceCreationTime",
    "SeriesDate",
    "SeriesTime",
    "ContentDate",
    "ContentTime",
    "ContributingEquipmentSequence",
}


def run(tmp_path: Path, now: datetime = NOW, kind: SegKind = SegKind.BINARY) -> Results:
    return results_of(make_series(tmp_path), Segmentation(2, labels=box_labels((6, 24, 20))), now=now, kind=kind)


def test_the_same_run_at_the_same_time_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write_results(run(tmp_path / "source"), tmp_path / "first")
    second = write_results(run(tmp_path / "source"), tmp_path / "second")
    assert [path.name for path in first] == [path.name for path in second]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_the_same_run_at_another_time_differs_in_its_times_alone(tmp_path: Path) -> None:
    for one, other in zip(run(tmp_path).datasets, run(tmp_path, LATER).datasets, strict=True):
        assert one.SOPInstanceUID == other.SOPInstanceUID
        differing = {element.keyword for element in one if element != other[element.tag]}
        assert differing == TIMES


def test_the_uids_of_results_are_known_before_they_are_made(tmp_path: Path) -> None:
    results = run(tmp_path)
    assert results.segmentation is not None
    known = result_uids((images_of(make_series(tmp_path)),), IDENTITY)
    assert known.segmentation == results.segmentation.SOPInstanceUID
    assert known.segmentation_series == results.segmentation.SeriesInstanceUID
    assert (known.report, known.report_series) == (results.report.SOPInstanceUID, results.report.SeriesInstanceUID)


def test_whatever_changes_a_result_changes_its_uids() -> None:
    one = result_uids(("1.2",), IDENTITY)
    others = [
        result_uids(("1.3",), IDENTITY),
        result_uids(("1.2", "1.3"), IDENTITY),
        result_uids(("1.2",), replace(IDENTITY, sop_instance_uid="2.25.9")),
        result_uids(("1.2",), replace(IDENTITY, manifest_sha256="cd" * 32)),
        result_uids(("1.2",), replace(IDENTITY, version="1.2.4")),
        result_uids(("1.2",), IDENTITY, SegKind.FRACTIONAL),
        result_uids(("1.2",), IDENTITY, run_parameters={"overlap": "0.5"}),
        result_uids(("1.2",), IDENTITY, run_parameters={"overlap": "0.25"}),
    ]
    everyone = [one, *others]
    assert len({uids.segmentation for uids in everyone}) == len(everyone)
    assert len({uids.tracking("segment 1") for uids in everyone}) == len(everyone)
    assert one == result_uids(("1.2",), IDENTITY, run_parameters={})


def test_a_series_that_has_got_more_images_gives_other_uids(tmp_path: Path) -> None:
    first = images_of(make_series(tmp_path / "part", (5, 24, 20)))
    whole = images_of(make_series(tmp_path / "whole", (6, 24, 20)))
    assert first != whole
    assert whole == images_of(make_series(tmp_path / "again", (6, 24, 20), file_order=[5, 4, 3, 2, 1, 0]))


def test_all_uids_of_a_result_differ_from_each_other() -> None:
    uids = result_uids(("1.2",), IDENTITY)
    named = [uids.segmentation, uids.segmentation_series, uids.report, uids.report_series, uids.dimension_organization]
    assert len({*named, uids.tracking("segment 1"), uids.tracking("segment 2")}) == 7


def test_files_are_explicit_little_endian_and_carry_their_own_names(tmp_path: Path) -> None:
    for path in write_results(run(tmp_path / "source"), tmp_path / "out"):
        read = pydicom.dcmread(path)
        assert path.name == f"{read.SOPInstanceUID}.dcm"
        assert read.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
        assert read.file_meta.MediaStorageSOPInstanceUID == read.SOPInstanceUID
        assert read.file_meta.MediaStorageSOPClassUID == read.SOPClassUID


def test_a_full_disk_leaves_nothing_and_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results, calls = run(tmp_path / "source"), []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LocalStorageError, match="No space left on device"):
        write_results(results, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_is_a_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(LocalStorageError, match="out"):
        write_results(run(tmp_path / "source"), tmp_path / "out")
