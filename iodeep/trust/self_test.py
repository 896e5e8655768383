"""Whether a site's own run of a model's self-test gives what was recorded when the model was packed.

The caller runs the network; this module only judges. Whatever cannot be compared counts as failed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from iodeep.card import SelfTestTolerance
from iodeep.model_object import SelfTest
from iodeep.prediction import Prediction, Segmentation
from iodeep.trust.digests import content_sha256


@dataclass(frozen=True)
class SelfTestVerdict:
    """Passed or not, with a sentence for each thing that was compared."""

    passed: bool
    exact: bool
    """Whether the segmentation equals the recorded one voxel by voxel."""
    dice: tuple[float, ...]
    """Of each segment, in order."""
    largest_probability_difference: float | None
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class _Finding:
    holds: bool
    sentence: str


def judge_self_test(self_test: SelfTest, prediction: Prediction, tolerance: SelfTestTolerance) -> SelfTestVerdict:
    """Compare a prediction on the self-test's inputs with what was recorded.

    A segment passes with a Dice coefficient of at least ``minimum_dice`` (two empty masks: 1); a class, and the mean
    foreground probability (ask the engine for probabilities where one was recorded), with a difference of at most ``maximum_probability_difference``.
    """
    segmented = self_test.labels is not None or self_test.masks is not None
    found = prediction.segmentation
    exact = found is not None and content_sha256(found) == self_test.expected_sha256
    findings, dice = _segmentation(self_test, found, tolerance, exact=exact) if segmented else ([], ())
    differences = _differences(self_test, prediction)
    findings += [_probability(subject, difference, tolerance) for subject, difference in differences.items()]
    return SelfTestVerdict(
        passed=bool(findings) and all(finding.holds for finding in findings),
        exact=exact,
        dice=dice,
        largest_probability_difference=max(differences.values(), default=None),
        sentences=tuple(finding.sentence for finding in findings),
    )


def dice_coefficient(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    """Twice the common voxels over the sum of both; 1 where both masks are empty."""
    total = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    return 2 * int(np.count_nonzero(first & second)) / total if total else 1.0


def _segmentation(
    self_test: SelfTest, found: Segmentation | None, tolerance: SelfTestTolerance, *, exact: bool
) -> tuple[list[_Finding], tuple[float, ...]]:
    if found is None:
        return [_Finding(holds=False, sentence="No segmentation came out, but one was recorded.")], ()
    shape = found.mask(1).shape
    recorded = _recorded(self_test, found.segment_count)
    grid = next(iter(self_test.inputs.values())).voxels.shape
    if shape != grid or recorded is None:
        sentence = f"The segmentation has {found.segment_count} segments on a grid of {shape}, unlike the recorded one."
        return [_Finding(holds=False, sentence=sentence)], ()
    dice = tuple(
        dice_coefficient(found.mask(number), recorded.mask(number)) for number in range(1, found.segment_count + 1)
    )
    findings = [
        _Finding(
            value >= tolerance.minimum_dice,
            f"Segment {number} has a Dice coefficient of {value:.4f} to the recorded one"
            f" (at least {tolerance.minimum_dice:g} is asked for).",
        )
        for number, value in enumerate(dice, start=1)
    ]
    if exact:
        findings.append(_Finding(holds=True, sentence="The segmentation is the recorded one, voxel by voxel."))
    return findings, dice


def _recorded(self_test: SelfTest, segment_count: int) -> Segmentation | None:
    """What was recorded; None where it has other segments than the ``segment_count`` that came out."""
    if self_test.masks is not None:
        masks = Segmentation(len(self_test.masks), masks=self_test.masks)
        return masks if masks.segment_count == segment_count else None
    labels = self_test.labels
    assert labels is not None
    return Segmentation(segment_count, labels=labels) if int(labels.max()) <= segment_count else None


def _differences(self_test: SelfTest, prediction: Prediction) -> dict[str, float]:
    """Absolute differences of probabilities by what they are of; infinite where nothing comparable came out."""
    came_out = {
        (head.name, answer.code): answer.probability for head in prediction.classifications for answer in head.classes
    }
    differences = {
        f"{expected.code.meaning} of {expected.head}": _difference(
            expected.probability, came_out.get((expected.head, expected.code))
        )
        for expected in self_test.classes
    }
    recorded = self_test.mean_foreground_probability
    probabilities = prediction.segmentation.probabilities if prediction.segmentation else None
    if recorded is not None:
        mean = None if probabilities is None else float(np.mean(probabilities.max(axis=0), dtype=np.float64))
        differences["the foreground on average"] = _difference(recorded, mean)
    return differences


def _difference(recorded: float, found: float | None) -> float:
    return math.inf if found is None or math.isnan(found) else abs(recorded - found)


def _probability(subject: str, difference: float, tolerance: SelfTestTolerance) -> _Finding:
    limit = tolerance.maximum_probability_difference
    if math.isinf(difference):
        return _Finding(holds=False, sentence=f"No probability came out for {subject}, but one was recorded.")
    return _Finding(
        difference <= limit,
        f"The probability of {subject} differs by {difference:.4f} from the recorded one (at most {limit:g} is allowed).",
    )
