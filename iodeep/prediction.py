"""What a network said about a series, on the series' own grid: the hand-over from inference to results."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from iodeep.terms import Code


@dataclass(frozen=True)
class Segmentation:
    """Masks on the source grid, axes (slice, row, column) as in :class:`iodeep.volume.Volume`.

    ``labels``: uint8 or uint16, 0 background, n = Segment Number, where segments exclude each other.
    ``masks``: bool (segment, slice, row, column) where they may overlap. Exactly one of the two is set.
    ``probabilities``: float32 (segment, slice, row, column), where they were asked for.
    """

    segment_count: int
    labels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | None = None
    masks: npt.NDArray[np.bool_] | None = None
    probabilities: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if (self.labels is None) is (self.masks is None):
            raise ValueError("exactly one of labels and masks must be given")

    def mask(self, number: int) -> npt.NDArray[np.bool_]:
        """The voxels of segment ``number`` (from 1)."""
        if self.masks is not None:
            mask: npt.NDArray[np.bool_] = self.masks[number - 1]
            return mask
        assert self.labels is not None
        return np.equal(self.labels, number)


@dataclass(frozen=True)
class ClassProbability:
    """One class of a classification head; ``present`` where the card's decision rule says so."""

    code: Code
    probability: float
    present: bool


@dataclass(frozen=True)
class Classification:
    """What one classification head said."""

    name: str
    finding: Code
    classes: tuple[ClassProbability, ...]


@dataclass(frozen=True)
class Prediction:
    """Everything one run gave, with seconds by stage (``preprocess``, ``network``, ``postprocess``)."""

    segmentation: Segmentation | None
    classifications: tuple[Classification, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    engine: str = ""
    """Runtime, version, execution provider and precision, such as ``onnxruntime 1.31.1 CPUExecutionProvider fp32``."""
