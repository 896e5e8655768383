"""What the room asks of whatever runs a network; :mod:`iodeep.inference.onnx_runtime` is the one in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from iodeep.inference.image import Floats
from iodeep.inference.network_files import NetworkContent


class Session(Protocol):
    """A loaded network."""

    def run(self, tensor: Floats, outputs: Sequence[str]) -> list[np.ndarray[Any, Any]]:
        """The named outputs for ``tensor`` (N, channels, spatial axes).

        Raises :class:`iodeep.errors.InferenceError`, or MemoryError where it ran out of memory.
        """


class Runtime(Protocol):
    """Loads networks; the same input gives the same bits again on the same machine."""

    @property
    def name(self) -> str:
        """Runtime, version, execution provider and precision, as a result records it."""

    def load(self, network: NetworkContent, input_tensor: str) -> Session:
        """Make ready a network whose structure was checked."""
