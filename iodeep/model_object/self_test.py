"""The self-test: a small input and what the network made of it, as deterministic bytes without pickle.

Encoded as a ZIP of ``.npy`` arrays and one JSON document with fixed dates, so that equal self-tests have equal bytes.
When decoding, every size is known and bounded before it is allocated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from iodeep.terms import Code
from iodeep.volume import Volume


@dataclass(frozen=True)
class ExpectedClass:
    """The probability that a classification head gave to one class."""

    head: str
    """:attr:`iodeep.card.ClassificationOutput.name`"""
    code: Code
    probability: float


@dataclass(frozen=True)
class SelfTest:
    """Inputs by the card's input names, and the output that was recorded when the model was packed.

    ``inputs``: int16, uint8 or float32 voxels with axes (slice, row, column), and their affine. ``labels`` or ``masks``
    as in :class:`iodeep.prediction.Segmentation`; at most one of the two, neither for a network that only classifies.
    """

    inputs: Mapping[str, Volume]
    labels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | None = None
    masks: npt.NDArray[np.bool_] | None = None
    classes: tuple[ExpectedClass, ...] = ()
    mean_foreground_probability: float | None = None

    @property
    def expected_sha256(self) -> str | None:
        """Digest of the expected segmentation, by :func:`segmentation_sha256`; None where nothing is segmented."""
        raise NotImplementedError

    def encode(self) -> bytes:
        """Deterministic bytes."""
        raise NotImplementedError

    @classmethod
    def decode(cls, encoded: bytes, origin: str = "the object") -> SelfTest:
        """The self-test of bytes that came from outside; anything odd or too large is an ObjectError."""
        raise NotImplementedError
