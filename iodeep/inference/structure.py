"""A network's structure is read and judged before any runtime is given the file.

Only the protobuf is parsed, within bounds; no external data is opened, nothing is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iodeep.card import ModelCard


@dataclass(frozen=True)
class TensorFacts:
    """A declared input or output; ``shape`` holds None where an axis is free."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class NetworkFacts:
    """What a checked network is made of."""

    opset: int
    producer: str
    operators: Mapping[str, int]
    """How often each operator occurs."""
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    parameters: int
    """Numbers in all weights."""
    external_data: tuple[str, ...]
    """External-data files that the network names, each one listed by the card."""
    file_bytes: int


def check_network(path: Path, card: ModelCard, *, folder: Path | None = None) -> NetworkFacts:
    """The facts of the ONNX file ``path``, once it is found to be what ``card`` says and harmless to load.

    ``folder`` holds the external data; left out, the folder of ``path``. Raises :class:`iodeep.errors.NetworkError`
    naming the operator, tensor or file, and what is allowed.
    """
    raise NotImplementedError
