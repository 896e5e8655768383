"""A self-test passes where the site's result is the recorded one within the tolerance, and in no other case."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from iodeep.card import SelfTestTolerance
from iodeep.model_object import ExpectedClass, SelfTest
from iodeep.prediction import Classification, ClassProbability, Prediction, Segmentation
from iodeep.terms import Code
from iodeep.trust import content_sha256, judge_self_test
from iodeep.volume import Volume

TUMOUR = Code("108369006", "SCT", "Neoplasm")
GRID = (4, 5, 6)
TOLERANCE = SelfTestTolerance(minimum_dice=0.9, maximum_probability_difference=0.02)
INPUTS = {"image": Volume(np.zeros(GRID, np.int16), np.eye(4))}


def cube(size: int = 3) -> npt.NDArray[np.uint8]:
    labels = np.zeros(GRID, np.uint8)
    labels[:size, :size, :size] = 1
    return labels


def said(labels: npt.NDArray[np.uint8], segments: int = 1) -> Prediction:
    return Prediction(Segmentation(segments, labels=labels))


def head(probability: float, name: str = "tumour") -> tuple[Classification, ...]:
    return (Classification(name, TUMOUR, (ClassProbability(TUMOUR, probability, present=True),)),)


SEGMENTS = SelfTest(inputs=INPUTS, labels=cube())
CLASSES = SelfTest(inputs=INPUTS, classes=(ExpectedClass("tumour", TUMOUR, 0.7),))


def test_the_recorded_result_passes_and_is_called_exact() -> None:
    verdict = judge_self_test(SEGMENTS, said(cube()), TOLERANCE)

    assert (verdict.passed, verdict.exact, verdict.dice) == (True, True, (1.0,))
    assert any("voxel by voxel" in sentence for sentence in verdict.sentences)


def test_a_result_within_the_tolerance_passes_and_is_not_called_exact() -> None:
    near = cube()
    near[0, 0, 0] = 0

    verdict = judge_self_test(SEGMENTS, said(near), TOLERANCE)

    assert (verdict.passed, verdict.exact) == (True, False)
    assert verdict.dice == pytest.approx((2 * 26 / 53,))


@pytest.mark.parametrize(
    "labels", [cube(2), np.zeros(GRID, np.uint8), np.ones(GRID, np.uint8)], ids=["small", "none", "all"]
)
def test_another_result_fails_and_says_by_how_much(labels: npt.NDArray[np.uint8]) -> None:
    verdict = judge_self_test(SEGMENTS, said(labels), TOLERANCE)

    assert not verdict.passed
    assert f"{verdict.dice[0]:.4f}" in verdict.sentences[0]


def test_every_segment_has_to_pass() -> None:
    two = cube()
    two[3, 4, 5] = 2
    wrong = cube()
    wrong[3, 4, 4] = 2

    verdict = judge_self_test(SelfTest(inputs=INPUTS, labels=two), said(wrong, 2), TOLERANCE)

    assert (verdict.passed, verdict.dice) == (False, (1.0, 0.0))


def test_a_segment_that_is_rightly_empty_counts_as_one() -> None:
    verdict = judge_self_test(SEGMENTS, said(cube(), 2), TOLERANCE)

    assert (verdict.passed, verdict.dice) == (True, (1.0, 1.0))


def test_a_segment_that_is_wrongly_not_empty_fails() -> None:
    extra = cube()
    extra[3, 4, 5] = 2

    assert not judge_self_test(SEGMENTS, said(extra, 2), TOLERANCE).passed


def test_no_segmentation_another_grid_and_other_segments_fail() -> None:
    masks = SelfTest(inputs=INPUTS, masks=np.stack([cube() > 0, cube(2) > 0]))
    labels_of_two = SelfTest(inputs=INPUTS, labels=cube() * np.uint8(2))

    assert not judge_self_test(SEGMENTS, Prediction(None), TOLERANCE).passed
    assert not judge_self_test(SEGMENTS, said(np.zeros((4, 5, 7), np.uint8)), TOLERANCE).passed
    assert not judge_self_test(masks, said(cube()), TOLERANCE).passed
    assert not judge_self_test(labels_of_two, said(cube() * np.uint8(2)), TOLERANCE).passed


def test_overlapping_masks_are_compared_one_by_one() -> None:
    recorded = np.stack([cube() > 0, cube(2) > 0])
    test = SelfTest(inputs=INPUTS, masks=recorded)

    verdict = judge_self_test(test, Prediction(Segmentation(2, masks=recorded.copy())), TOLERANCE)
    swapped = judge_self_test(test, Prediction(Segmentation(2, masks=recorded[::-1])), TOLERANCE)

    assert (verdict.passed, verdict.exact, verdict.dice) == (True, True, (1.0, 1.0))
    assert not swapped.passed


@pytest.mark.parametrize(("found", "passes"), [(0.7, True), (0.715, True), (0.685, True), (0.73, False), (0.0, False)])
def test_class_probabilities_have_a_tolerance_both_ways(found: float, passes: bool) -> None:
    verdict = judge_self_test(CLASSES, Prediction(None, head(found)), TOLERANCE)

    assert verdict.passed is passes
    assert verdict.largest_probability_difference == pytest.approx(abs(found - 0.7))


@pytest.mark.parametrize(
    "classifications", [(), head(0.7, "another head"), head(float("nan"))], ids=["none", "other", "NaN"]
)
def test_a_class_of_which_nothing_came_out_fails(classifications: tuple[Classification, ...]) -> None:
    verdict = judge_self_test(CLASSES, Prediction(None, classifications), TOLERANCE)

    assert not verdict.passed
    assert "No probability came out" in verdict.sentences[0]


def test_the_mean_foreground_probability_is_compared_where_one_was_recorded() -> None:
    probabilities = np.full((1, *GRID), 0.25, np.float32)
    recorded = replace(SEGMENTS, mean_foreground_probability=0.25)
    segmentation = Segmentation(1, labels=cube(), probabilities=probabilities)

    assert judge_self_test(recorded, Prediction(segmentation), TOLERANCE).passed
    assert not judge_self_test(
        recorded, Prediction(replace(segmentation, probabilities=probabilities * np.float32(2))), TOLERANCE
    ).passed
    assert not judge_self_test(recorded, said(cube()), TOLERANCE).passed


def test_the_content_digest_is_the_recorded_one_for_equal_content_only() -> None:
    assert content_sha256(Segmentation(1, labels=cube().astype(np.uint16))) == SEGMENTS.expected_sha256
    assert content_sha256(Segmentation(1, labels=cube(2))) != SEGMENTS.expected_sha256
    assert content_sha256(Segmentation(1, masks=(cube() > 0)[None])) != SEGMENTS.expected_sha256
