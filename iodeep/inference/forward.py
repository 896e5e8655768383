"""One call on a batch: every network of the ensemble, every mirroring, activated and averaged; what comes out is checked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from iodeep.errors import InferenceError
from iodeep.inference.image import Floats
from iodeep.inference.runtime import Session

if TYPE_CHECKING:
    from iodeep.card import ModelCard
    from iodeep.card.outputs import Activation

Tensor = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Seen:
    """What the networks say about a batch: the segmentation's channels, and one (N, class) array a head."""

    voxels: Tensor | None
    heads: tuple[Floats, ...]


class Forward:
    """The card's networks as one function of a batch (N, channels, spatial axes).

    ``flat``: the axis along which slices are taken, None in 3D. ``voting``: an output of label values is turned into
    one channel a value, because several of them have to be averaged. ``seconds``: time inside the networks so far.
    """

    def __init__(self, card: ModelCard, sessions: Sequence[Session], flat: int | None, *, voting: bool) -> None:
        self._card = card
        self._sessions = sessions
        self._voting = voting
        spatial = [axis for axis in range(3) if axis != flat]
        mirrored = [spatial.index(axis) + 2 for axis in sorted(card.network.mirror_axes)]
        self._mirrorings = list(chain.from_iterable(combinations(mirrored, n) for n in range(len(mirrored) + 1)))
        self._tensors = [output.tensor for output in card.classifications]
        if card.segmentation:
            self._tensors.insert(0, card.segmentation.tensor)
        self.seconds = 0.0

    def __call__(self, batch: Floats) -> Seen:
        """The mean over networks and mirrorings."""
        calls = len(self._sessions) * len(self._mirrorings)
        total: list[Tensor] = []
        for session in self._sessions:
            for axes in self._mirrorings:
                outputs = self._one(session, batch, axes)
                if total:
                    for whole, part in zip(total, outputs, strict=True):
                        np.add(whole, part, out=whole)
                else:
                    total = outputs
        if calls > 1:
            for whole in total:
                np.divide(whole, np.float32(calls), out=whole)
        voxels = total.pop(0) if self._card.segmentation else None
        return Seen(voxels, tuple(total))

    def _one(self, session: Session, batch: Floats, axes: tuple[int, ...]) -> list[Tensor]:
        tensor = np.ascontiguousarray(np.flip(batch, axes)) if axes else batch
        begun = time.perf_counter()
        outputs = session.run(tensor, self._tensors)
        self.seconds += time.perf_counter() - begun
        for name, output in zip(self._tensors, outputs, strict=True):
            refuse_nonfinite(name, output)
        heads = outputs[1:] if self._card.segmentation else outputs
        told = [
            _head(output, declared, len(batch))
            for output, declared in zip(heads, self._card.classifications, strict=True)
        ]
        if not self._card.segmentation:
            return list(told)
        voxels = self._voxels(outputs[0], batch.shape)
        return [np.flip(voxels, axes) if axes else voxels, *told]

    def _voxels(self, output: Tensor, batch: tuple[int, ...]) -> Tensor:
        declared = self._card.segmentation
        assert declared is not None
        if declared.decode == "labels":
            if output.ndim == len(batch) - 1:
                output = output[:, None]
            _refuse_shape(declared.tensor, output, (batch[0], 1, *batch[2:]))
            return _one_hot(output, [segment.channel for segment in declared.segments]) if self._voting else output
        least = max(segment.channel for segment in declared.segments) + 1
        if output.ndim != len(batch) or output.shape[1] < max(least, 2 if declared.decode == "argmax" else 1):
            raise _wrong_shape(declared.tensor, output, f"{(batch[0], f'at least {least} channels', *batch[2:])}")
        _refuse_shape(declared.tensor, output, (batch[0], output.shape[1], *batch[2:]))
        return activated(output, declared.activation if declared.activate == "each" else "none")


def activated(output: Tensor, activation: Activation) -> Floats:
    """Softmax over axis 1, or sigmoid, in float32; may work in place."""
    values: Floats = np.asarray(output, np.float32)
    if activation == "none":
        return values
    if not values.flags.writeable:
        values = values.copy()
    if activation == "sigmoid":
        return _sigmoid(values)
    values -= values.max(axis=1, keepdims=True)
    np.exp(values, out=values)
    values /= values.sum(axis=1, keepdims=True)
    return values


def _sigmoid(values: Floats) -> Floats:
    """1 / (1 + exp(-x)) by way of tanh, which cannot overflow."""
    values *= np.float32(0.5)
    np.tanh(values, out=values)
    values += np.float32(1)
    values *= np.float32(0.5)
    return values


def refuse_nonfinite(name: str, output: Tensor) -> None:
    """NaN or infinity anywhere makes the whole result worthless."""
    if output.dtype.kind != "f" or np.isfinite(output.sum(dtype=np.float64)):
        return
    wrong = int((~np.isfinite(output)).sum())
    if wrong:
        raise InferenceError(
            f"the network gave NaN or infinity in {wrong} of {output.size} values of its output {name!r}",
            expected="finite numbers",
            remedy="Nothing was written. Check the preprocessing of the card, and whether the series is damaged.",
        )


def _head(output: Tensor, declared: Any, count: int) -> Floats:
    values = (
        output.reshape(output.shape[:2]) if output.ndim > 2 and output.size == np.prod(output.shape[:2]) else output
    )
    least = max(found.channel for found in declared.classes) + 1
    if values.ndim != 2 or values.shape[0] != count or values.shape[1] < least:
        raise _wrong_shape(declared.tensor, output, f"({count}, at least {least} classes)")
    return activated(values, declared.activation)


def _one_hot(output: Tensor, values: Sequence[int]) -> Floats:
    """One channel for background, one a segment; a value of neither is an error."""
    kept = [value for value in values if value != 0]
    out = np.stack([output[:, 0] == value for value in (0, *kept)], axis=1)
    if not out.any(axis=1).all():
        odd = ", ".join(f"{value:g}" for value in np.setdiff1d(output, [0, *kept])[:5])
        raise InferenceError(
            "the network gave label values that the card doesn't have",
            expected=f"0 and {', '.join(map(str, kept[:20]))}",
            found=odd,
            remedy="Correct the segments' channels in the card, or pack the network that belongs to it.",
        )
    return out.astype(np.float32)


def _refuse_shape(name: str, output: Tensor, expected: tuple[int, ...]) -> None:
    if output.shape != expected:
        raise _wrong_shape(name, output, f"{expected}")


def _wrong_shape(name: str, output: Tensor, expected: str) -> InferenceError:
    return InferenceError(
        f"the network's output {name!r} has another shape than the card says",
        expected=expected.replace("'", ""),
        found=f"{output.shape}",
        remedy="Check dimensions, segmentation.tensor and the segments' channels in the card.",
    )
