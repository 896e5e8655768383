"""Foreign validators find no error in results: dciodvfy, and PS3.3's module tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from iodeep.prediction import Prediction, Segmentation
from iodeep.results import Results, SegKind, build_results, write_results
from iodeep.volume import open_series
from tests.synthetic import SAGITTAL, write_multiframe
from tests.unit.results.support import IDENTITY, NOW, box_labels, make_card, make_series, results_of, segment
from tests.unit.results.test_report import ANSWER, HEAD, class_results
from tests.validators import dciodvfy_errors, missing_attributes


def faults(results: Results, folder: Path) -> dict[str, list[str]]:
    """Modality -> what is wrong with that data set. dciodvfy's tables of 2022 don't know label maps, nor references to them."""
    paths = write_results(results, folder)
    found = {}
    label_map = results.segmentation is not None and results.segmentation.SegmentationType == "LABELMAP"
    for dataset, path in zip(results.datasets, paths, strict=True):
        errors = [] if label_map else dciodvfy_errors(path)
        found[str(dataset.Modality)] = [*errors, *missing_attributes(dataset)]
    return found


CLEAN: dict[str, list[str]] = {"SEG": [], "SR": []}


@pytest.mark.parametrize("kind", SegKind)
def test_results_of_a_single_frame_series_are_valid(tmp_path: Path, kind: SegKind) -> None:
    series = make_series(tmp_path / "source")
    labels = box_labels(series.geometry.shape)
    fractions = np.stack([labels == 1, labels == 2]).astype(np.float32) * np.float32(0.7)
    segmentation = Segmentation(2, labels=labels, probabilities=fractions)
    assert faults(results_of(series, segmentation, kind=kind), tmp_path / "out") == CLEAN


def test_results_with_everything_that_a_segment_can_say_are_valid(tmp_path: Path) -> None:
    code = {"value": "24028007", "scheme": "SCT", "meaning": "Right"}
    region = {"value": "818981001", "scheme": "SCT", "meaning": "Abdomen"}
    card = make_card([segment(n, type_modifiers=[code], regions=[region]) for n in (1, 2)])
    series = make_series(tmp_path / "source")
    segmentation = Segmentation(2, labels=box_labels(series.geometry.shape))
    results = results_of(series, segmentation, card, decided="it fits", run_parameters={"a": "b"})
    assert faults(results, tmp_path / "out") == CLEAN


def test_results_in_which_nothing_was_found_are_valid(tmp_path: Path) -> None:
    series = make_series(tmp_path / "source")
    results = results_of(series, Segmentation(2, labels=np.zeros(series.geometry.shape, np.uint8)))
    assert faults(results, tmp_path / "out") == CLEAN


def test_results_of_overlapping_segments_are_valid(tmp_path: Path) -> None:
    series = make_series(tmp_path / "source")
    masks = np.ones((2, *series.geometry.shape), np.bool_)
    assert faults(results_of(series, Segmentation(2, masks=masks)), tmp_path / "out") == CLEAN


def test_results_of_a_single_slice_are_valid(tmp_path: Path) -> None:
    series = make_series(tmp_path / "source", (1, 24, 20))
    results = results_of(series, Segmentation(2, labels=box_labels((1, 24, 20))))
    assert faults(results, tmp_path / "out") == CLEAN


def test_results_of_a_multi_frame_series_are_valid(tmp_path: Path) -> None:
    voxels = np.arange(5 * 16 * 12).reshape(5, 16, 12).astype(np.int16)
    series = open_series([write_multiframe(tmp_path / "source", voxels, orientation=SAGITTAL)])
    results = results_of(series, Segmentation(2, labels=box_labels((5, 16, 12))))
    assert faults(results, tmp_path / "out") == CLEAN


def test_results_of_an_mr_series_are_valid(tmp_path: Path) -> None:
    series = make_series(tmp_path / "source", modality="MR")
    results = results_of(series, Segmentation(2, labels=box_labels(series.geometry.shape)))
    assert faults(results, tmp_path / "out") == CLEAN


def test_a_report_of_classes_alone_is_valid(tmp_path: Path) -> None:
    assert faults(class_results(tmp_path / "source"), tmp_path / "out") == {"SR": []}


def test_a_model_that_gives_both_has_one_valid_report(tmp_path: Path) -> None:
    series = make_series(tmp_path / "source")
    prediction = Prediction(Segmentation(2, labels=box_labels(series.geometry.shape)), (ANSWER,))
    results = build_results(series, prediction, make_card(2, classifications=[HEAD]), IDENTITY, now=NOW)
    assert faults(results, tmp_path / "out") == CLEAN


def test_the_validators_see_faults(tmp_path: Path) -> None:
    results = results_of(make_series(tmp_path / "source"), Segmentation(2, labels=box_labels((6, 24, 20))))
    assert results.segmentation is not None
    del results.segmentation.ContentLabel
    del results.segmentation.SegmentSequence[0].SegmentLabel
    results.segmentation.StudyInstanceUID = ""
    problems = missing_attributes(results.segmentation)
    assert [problem.split(" ")[0] for problem in problems] == [
        "ContentLabel",
        "SegmentSequence.SegmentLabel",
        "StudyInstanceUID",
    ]
    assert dciodvfy_errors(write_results(results, tmp_path / "out")[0])
