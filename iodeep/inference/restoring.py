"""For cards that bring values back: channels are read at the source's voxels, and only there decoded.

One channel at a time is on the source's grid, so that many classes of a large series need the memory of the network's own
grid a channel, and of a few volumes of the source's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from iodeep.inference.decoding import as_probabilities, label_type
from iodeep.inference.forward import activated
from iodeep.inference.image import Floats, Image, Shape
from iodeep.inference.placing import Way
from iodeep.inference.resampling import axis_alone

if TYPE_CHECKING:
    from iodeep.card import ModelCard, Preprocessing, SegmentationOutput

Mask = npt.NDArray[np.bool_]


class ValueSink:
    """Keeps all channels as they are."""

    def __init__(self, channels: int, shape: Shape, lead: int) -> None:
        self.values = np.zeros((channels, *shape), np.float32)
        self._layers = np.moveaxis(self.values, lead + 1, 1)

    def take(self, first: int, block: Floats) -> None:
        """Copy."""
        self._layers[:, first : first + block.shape[1]] = block


@dataclass(frozen=True)
class Restored:
    """What was found, on the source's grid: exactly one of ``labels`` and ``masks``."""

    labels: npt.NDArray[Any] | None
    masks: Mask | None
    probabilities: Floats | None


def restored(
    card: ModelCard, image: Image, values: Floats, channels: Sequence[int], *, probabilities: bool
) -> Restored:
    """``values`` (kept channel and the axes of ``image``) decoded on the source; ``channels``: the card's number of each."""
    output = card.segmentation
    assert output is not None
    assert output.restoration is not None
    way = Way(image, output.restoration.interpolation, _alone(card.preprocessing, image, output))
    if output.activate == "mean":
        values = activated(values[None], output.activation)[0]
    place = {channel: number for number, channel in enumerate(channels)}
    segments = [place[segment.channel] for segment in output.segments]
    maps = _maps(segments, way, _reader(values, way, output)) if probabilities else None
    if output.decode == "argmax":
        return Restored(_winners(values, segments, way), None, maps)
    masks = _claims(segments, way, _reader(values, way, output), output)
    if len(segments) > 1:
        return Restored(None, masks, maps)
    return Restored(masks[0].view(np.uint8), None, maps)


def _alone(steps: Sequence[Preprocessing], image: Image, output: SegmentationOutput) -> int | None:
    """The axis that goes back by nearest: told by the spacing that was asked for, then by the source's."""
    assert output.restoration is not None
    source = np.linalg.norm(image.source_affine[:3, :3], axis=0)
    back = [float(source[axis.source]) for axis in image.axes]
    asked = [step.mm for step in steps if step.step == "resample_spacing"]
    here = [kept if mm is None else mm for mm, kept in zip(asked[-1], back, strict=True)] if asked else image.spacing
    return axis_alone(here, back, output.restoration.anisotropic)


Reader = Callable[[int], Floats]
"""Kept channel -> its activated values within the box."""


def _reader(values: Floats, way: Way, output: SegmentationOutput) -> Reader:
    if output.activate != "restored" or output.activation == "none":
        return lambda number: way.of(values[number])
    if output.activation == "sigmoid":
        return lambda number: activated(way.of(values[number])[None], "sigmoid")[0]
    best, total = _exponents(values, way)
    return lambda number: np.asarray(np.exp(way.of(values[number]) - best) / total, np.float32)


def _exponents(values: Floats, way: Way) -> tuple[Floats, Floats]:
    """The largest value of all channels, and the sum of the exponentials of the differences to it."""
    best = way.of(values[0])
    total = np.ones_like(best)
    for channel in values[1:]:
        here = way.of(channel)
        larger = np.maximum(best, here)
        total *= np.exp(best - larger)
        total += np.exp(here - larger)
        best = larger
    return best, total


def _winners(values: Floats, segments: Sequence[int], way: Way) -> npt.NDArray[Any]:
    """The largest channel wins, the first of equals; softmax and sigmoid would not change which it is."""
    table = np.zeros(len(values), label_type(len(segments)))
    table[list(segments)] = np.arange(1, len(segments) + 1)
    best = way.of(values[0])
    labels = np.full(best.shape, table[0])
    for number, channel in enumerate(values[1:], 1):
        here = way.of(channel)
        labels[here > best] = table[number]
        np.maximum(best, here, out=best)
    return way.placed(labels)


def _claims(segments: Sequence[int], way: Way, read: Reader, output: SegmentationOutput) -> Mask:
    """Masks (segment and the source's axes) of what is at or above the threshold."""
    masks = np.zeros((len(segments), *way.source_shape), np.bool_)
    threshold = np.float32(output.threshold)
    if output.decode == "threshold":
        for mask, number in zip(masks, segments, strict=True):
            mask[way.box] = read(number) >= threshold
        return masks
    owner = np.zeros(way.shape, label_type(len(segments)))
    for segment, number in zip(output.segments, segments, strict=True):
        owner[read(number) >= threshold] = segment.number
    for segment, mask in zip(output.segments, masks, strict=True):
        mask[way.box] = np.isin(owner, [segment.number, *segment.includes])
    return masks


def _maps(segments: Sequence[int], way: Way, read: Reader) -> Floats:
    maps = np.zeros((len(segments), *way.source_shape), np.float32)
    for target, number in zip(maps, segments, strict=True):
        target[way.box] = as_probabilities(read(number))
    return maps
