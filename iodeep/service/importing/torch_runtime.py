"""A source's own network within our pipeline, in the place of ONNX Runtime: what a card-led import is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from iodeep.errors import InferenceError
from iodeep.inference.image import Floats, Scan
from iodeep.inference.messages import by_attribute
from iodeep.inference.network_files import NetworkContent
from iodeep.inference.pipeline import Answer, Sessions, predict
from iodeep.inference.runtime import Session
from iodeep.packing.importing import ReferenceImage, ReferencePrediction


def predicted_by(network: Any, document: dict[str, Any], images: Sequence[ReferenceImage]) -> ReferencePrediction:
    """What ``network`` (a torch module) says within the steps of the card in ``document``."""
    card = by_attribute(document)
    scans = {image.name: Scan(image.voxels, image.affine) for image in images}
    answer = predict(card, {}, scans, _TorchSessions(network), probabilities=False, report=_silent)
    heads = {head.tensor: tuple(found.tolist()) for head, found in zip(card.classifications, answer.heads, strict=True)}
    return ReferencePrediction(_masks(card, answer), heads)


def _masks(card: Any, answer: Answer) -> dict[int, Any]:
    if card.segmentation is None:
        return {}
    if answer.masks is not None:
        return {segment.channel: answer.masks[segment.number - 1] for segment in card.segmentation.segments}
    return {segment.channel: answer.labels == segment.number for segment in card.segmentation.segments}


def _silent(_step: str, _done: int, _total: int | None, _unit: str) -> None:
    """Nobody looks."""


class _TorchSession:
    def __init__(self, network: Any) -> None:
        self._network = network

    def run(self, tensor: Floats, outputs: Sequence[str]) -> list[np.ndarray[Any, Any]]:
        import torch

        with torch.no_grad():
            found = self._network(torch.from_numpy(np.ascontiguousarray(tensor)))
        tensors = list(found) if isinstance(found, list | tuple) else [found]
        if len(tensors) < len(outputs) or not all(torch.is_tensor(each) for each in tensors[: len(outputs)]):
            raise InferenceError("the network gives fewer outputs than the card names", expected=", ".join(outputs))
        return [each.numpy() for each in tensors[: len(outputs)]]


class _TorchRuntime:
    name = "torch"

    def load(self, network: NetworkContent, input_tensor: str) -> Session:
        """It has one network, and that is loaded."""
        raise NotImplementedError


class _TorchSessions(Sessions):
    def __init__(self, network: Any) -> None:
        super().__init__(_TorchRuntime())
        self._network = network

    def of(self, card: Any, files: Mapping[str, NetworkContent]) -> list[Session]:  # noqa: ARG002 - there is one
        """The one network."""
        return [_TorchSession(self._network)]
