"""From a network's output to labels, masks and probabilities on its own grid, block by block as they are finished.

A sink takes finished blocks (channel, layers, two axes) and writes them where they belong; it never sees all channels
of the whole volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from iodeep.errors import InferenceError
from iodeep.inference.forward import activated
from iodeep.inference.image import Floats, Shape

if TYPE_CHECKING:
    from iodeep.card import SegmentationOutput
    from iodeep.card.outputs import Activation

Labels = npt.NDArray[Any]
"""uint8 up to 255 segments, then uint16; 0 is background, n Segment Number."""


class Sink(Protocol):
    """Takes blocks whose axis 1 is the lead axis of the sliding window, starting at layer ``first``."""

    def take(self, first: int, block: Floats) -> None:
        """Layers that no further window will touch."""


def label_type(count: int) -> type[np.uint8] | type[np.uint16]:
    """The smallest type that holds ``count`` segments and background."""
    return np.uint8 if count <= 255 else np.uint16


class ArgmaxSink:
    """The largest channel wins, the first of equals; channels of no segment are background."""

    def __init__(self, segment_of_channel: npt.NDArray[np.uint16], shape: Shape, lead: int, segments: int) -> None:
        self.labels: Labels = np.zeros(shape, label_type(segments))
        self._layers = np.moveaxis(self.labels, lead, 0)
        self._segment_of_channel = segment_of_channel.astype(self.labels.dtype)
        self._plain = bool(np.array_equal(segment_of_channel, np.arange(len(segment_of_channel))))

    def take(self, first: int, block: Floats) -> None:
        """A layer at a time, which fits the cache."""
        for layer in range(block.shape[1]):
            winner = winning_channel(block[:, layer], self.labels.dtype if self._plain else np.dtype(np.uint16))
            self._layers[first + layer] = winner if self._plain else self._segment_of_channel[winner]


def winning_channel(channels: Floats, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """``argmax`` over axis 0, an order of magnitude faster than numpy's: channels ascend, so a later winner is larger."""
    best = channels[0].copy()
    winner = np.zeros(best.shape, dtype)
    better = np.empty(best.shape, np.bool_)
    marked = np.empty(best.shape, dtype)
    for number, channel in enumerate(channels[1:], 1):
        np.greater(channel, best, out=better)
        np.multiply(better, dtype.type(number), out=marked)
        np.maximum(winner, marked, out=winner)
        np.maximum(best, channel, out=best)
    return winner


class ThresholdSink:
    """Each segment's channel on its own; blocks hold the segments' channels in order."""

    def __init__(self, threshold: float, shape: Shape, lead: int, segments: int) -> None:
        self.masks = np.zeros((segments, *shape), np.bool_)
        self._layers = np.moveaxis(self.masks, lead + 1, 1)
        self._threshold = np.float32(threshold)

    def take(self, first: int, block: Floats) -> None:
        """At or above the threshold."""
        np.greater_equal(block, self._threshold, out=self._layers[:, first : first + block.shape[1]])


class LabelSink:
    """The output holds label values: channel 0 of the block."""

    def __init__(self, output: SegmentationOutput, shape: Shape, lead: int) -> None:
        self.labels: Labels = np.zeros(shape, label_type(len(output.segments)))
        self._layers = np.moveaxis(self.labels, lead, 0)
        self._table = LabelTable(output)

    def take(self, first: int, block: npt.NDArray[Any]) -> None:
        """Translate values to segment numbers."""
        self._layers[first : first + block.shape[1]] = self._table.numbers(block[0])


class LabelTable:
    """Values that an output of labels may hold: 0 for background, and those of the card's segments."""

    def __init__(self, output: SegmentationOutput) -> None:
        self._highest = max(segment.channel for segment in output.segments)
        self._numbers = np.full(self._highest + 1, -1, np.int32)
        self._numbers[0] = 0
        for segment in output.segments:
            self._numbers[segment.channel] = segment.number
        self._tensor = output.tensor

    def numbers(self, values: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
        """Segment numbers of ``values``; a value that the card doesn't have is an error."""
        whole = values.astype(np.int64)
        known = (whole == values) & (whole >= 0) & (whole <= self._highest)
        numbers = self._numbers[np.where(known, whole, 0)]
        wrong = ~known | (numbers < 0)
        if wrong.any():
            odd = ", ".join(f"{value:g}" for value in np.unique(values[wrong])[:5])
            raise InferenceError(
                f"the output {self._tensor!r} holds label values that the card doesn't have",
                expected=f"0 and {', '.join(str(value) for value in np.flatnonzero(self._numbers > 0)[:20])}",
                found=f"{odd} in {int(wrong.sum())} of {wrong.size} voxels",
                remedy="Correct the segments' channels in the card, or pack the network that belongs to it.",
            )
        return numbers


class ProbabilitySink:
    """Keeps the segments' channels as they are; refuses what isn't a probability."""

    def __init__(self, channels: Sequence[int], shape: Shape, lead: int) -> None:
        self.probabilities = np.zeros((len(channels), *shape), np.float32)
        self._layers = np.moveaxis(self.probabilities, lead + 1, 1)
        self._channels = list(channels)

    def take(self, first: int, block: Floats) -> None:
        """Copy, allowing for rounding at the ends of 0..1."""
        self._layers[:, first : first + block.shape[1]] = as_probabilities(block[self._channels])


def as_probabilities(values: Floats) -> Floats:
    """``values``, clipped to 0..1 in place; InferenceError where that would change more than rounding."""
    low, high = float(values.min()), float(values.max())
    if low < -1e-3 or high > 1 + 1e-3:
        raise InferenceError(
            "the network's output holds no probabilities",
            expected="values of 0 to 1",
            found=f"{low:g} to {high:g}",
            remedy="Set segmentation.activation in the card to softmax or sigmoid, or don't ask for probabilities.",
        )
    return np.clip(values, 0, 1, out=values)


class ActivatedBlocks:
    """Activates blocks of mean values and hands them on to ``sinks``; ``channels``: those that they want, all where None."""

    def __init__(self, activation: Activation, channels: Sequence[int] | None, sinks: Sequence[Sink]) -> None:
        self._activation = activation
        self._channels = channels
        self._sinks = sinks

    def take(self, first: int, block: Floats) -> None:
        """A copy: the block is the accumulator's own."""
        values = activated(block[None].copy(), self._activation)[0]
        for sink in self._sinks:
            sink.take(first, values if self._channels is None else values[list(self._channels)])
