"""What the framework that a network came from makes of a real image: the measure of every import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class ReferenceImage:
    """One input's series as :class:`iodeep.volume.Volume` holds it: stored values as grey values, rescaled.

    ``voxels``: (slice, row, column); ``affine``: maps their indices to LPS in mm. All images of one prediction lie on the
    grid of the first.
    """

    name: str
    """Of the card's input; in the order of the network's channels."""
    voxels: npt.NDArray[np.float32]
    affine: npt.NDArray[np.float64]


@dataclass(frozen=True)
class ReferencePrediction:
    """On the grid of the images: one mask a segment, and one vector a classification head.

    ``masks``: by the segment's *channel* as the card has it (label value, or output channel where segments overlap).
    ``heads``: by the head's tensor, after activation.
    """

    masks: Mapping[int, npt.NDArray[np.bool_]]
    heads: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
