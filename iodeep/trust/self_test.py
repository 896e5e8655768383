"""Whether a site's own run of a model's self-test gives what was recorded when the model was packed.

The caller runs the network; this module only judges.
"""

from __future__ import annotations

from dataclasses import dataclass

from iodeep.card import SelfTestTolerance
from iodeep.model_object import SelfTest
from iodeep.prediction import Prediction


@dataclass(frozen=True)
class SelfTestVerdict:
    """Passed or not, with a sentence for each thing that was compared."""

    passed: bool
    exact: bool
    """Whether the segmentation equals the recorded one bit by bit."""
    dice: tuple[float, ...]
    """Of each segment, in order."""
    largest_probability_difference: float | None
    sentences: tuple[str, ...]


def judge_self_test(self_test: SelfTest, prediction: Prediction, tolerance: SelfTestTolerance) -> SelfTestVerdict:
    """Compare a prediction on the self-test's inputs with what was recorded."""
    raise NotImplementedError
