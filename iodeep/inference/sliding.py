"""The sliding window: batches are cut from the image, and their outputs blended in one layer-thick accumulator.

Windows advance along the lead axis, so layers behind the current window are finished: they go to the sinks at once and
their place is used again. Memory is one window's thickness of the volume a channel, whatever the volume's length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np

from iodeep.inference.decoding import Sink
from iodeep.inference.forward import Forward, Seen, Tensor
from iodeep.inference.image import Floats, Shape
from iodeep.inference.windows import Window, Windows


class Cutter:
    """Cuts windows out of an image (channel and three axes) as the network wants them.

    Outside of the image a window holds zeros. In 2D the axis ``flat`` has one slice, which is dropped; in 2.5D each
    input's channel becomes ``2 * context + 1`` channels: the slice with its neighbours, the last one repeated.
    """

    def __init__(self, voxels: Floats, size: Shape, flat: int | None, context: int) -> None:
        self._voxels = voxels
        self._size = size
        self._flat = flat
        self._context = context

    def batch(self, windows: Sequence[Window]) -> Floats:
        """(N, channels, spatial axes)."""
        channels = len(self._voxels) * (2 * self._context + 1)
        spatial = [size for axis, size in enumerate(self._size) if axis != self._flat]
        out = np.zeros((len(windows), channels, *spatial), np.float32)
        for tensor, window in zip(out, windows, strict=True):
            self._cut(tensor, window.start)
        return out

    def _cut(self, tensor: Floats, start: Shape) -> None:
        source, target = [], []
        for axis, (first, size) in enumerate(zip(start, self._size, strict=True)):
            length = self._voxels.shape[axis + 1]
            inside = slice(max(first, 0), min(first + size, length))
            source.append(inside)
            if axis != self._flat:
                target.append(slice(inside.start - first, inside.stop - first))
        if self._flat is None:
            tensor[(slice(None), *target)] = self._voxels[(slice(None), *source)]
            return
        last = self._voxels.shape[self._flat + 1] - 1
        wanted = np.arange(-self._context, self._context + 1) + start[self._flat]
        source[self._flat] = np.clip(wanted, 0, last)  # type: ignore[call-overload]
        for number, channel in enumerate(self._voxels):
            slices = np.moveaxis(channel[tuple(source)], self._flat, 0)
            tensor[(slice(number * len(wanted), (number + 1) * len(wanted)), *target)] = slices


class Accumulator:
    """Blends windows that overlap; a ring of layers along the lead axis."""

    def __init__(self, windows: Windows, channels: int, sinks: Sequence[Sink]) -> None:
        lead = windows.lead
        beside = [length for axis, length in enumerate(windows.shape) if axis != lead]
        self._thickness = min(windows.size[lead], windows.shape[lead])
        self._ring = np.zeros((channels, self._thickness, *beside), np.float32)
        self._least = windows.least_weight
        self._weight = np.zeros((self._thickness, *beside), np.float32) if self._least else None
        self._lead = lead
        self._finished = 0
        self._length = windows.shape[lead]
        self._sinks = sinks

    def add(self, window: Window, output: Floats) -> None:
        """Add ``output``, the part of the window (channel and three axes) that lies on the volume; it may be changed."""
        first = max(window.start[self._lead], 0)
        self._finish(first)
        in_place = output.dtype == np.float32 and output.flags.writeable
        weights = _weights(window.weights, self._least)
        weighted = np.multiply(output, weights, out=output if in_place else None)
        moved = np.moveaxis(weighted, self._lead + 1, 1)
        along = np.moveaxis(weights, self._lead, 0)
        beside = [
            slice(max(start, 0), max(start, 0) + output.shape[axis + 1])
            for axis, start in enumerate(window.start)
            if axis != self._lead
        ]
        for ring, layers in self._places(first, first + moved.shape[1]):
            self._ring[(slice(None), ring, *beside)] += moved[:, layers]
            if self._weight is not None:
                self._weight[(ring, *beside)] += along[layers]

    def close(self) -> None:
        """Hand on what is left."""
        self._finish(self._length)

    def _finish(self, until: int) -> None:
        for ring, layers in self._places(self._finished, until):
            block = self._ring[:, ring]
            if self._weight is not None:
                block /= self._weight[ring]
                self._weight[ring] = 0
            for sink in self._sinks:
                sink.take(self._finished + layers.start, block)
            block[...] = 0
        self._finished = max(self._finished, until)

    def _places(self, first: int, last: int) -> Iterator[tuple[slice, slice]]:
        """Where the layers ``first`` to ``last`` lie in the ring, and which of them."""
        layer = first
        while layer < last:
            place = layer % self._thickness
            count = min(last - layer, self._thickness - place)
            yield slice(place, place + count), slice(layer - first, layer - first + count)
            layer += count


class Slide:
    """One way over all windows. ``channels``: those of the output that are needed, all where None.

    ``sinks_of`` says, once the number of channels is known, who takes the finished layers.
    """

    def __init__(
        self, windows: Windows, channels: Sequence[int] | None, sinks_of: Callable[[int], Sequence[Sink]]
    ) -> None:
        self._windows = windows
        self._channels = channels
        self._sinks_of = sinks_of
        self._sinks: Sequence[Sink] = ()
        self._accumulator: Accumulator | None = None

    def run(self, cutter: Cutter, forward: Forward, batch_size: int, report: Callable[[int, int], None]) -> Seen:
        """The last batch's answer, for its heads; ``report`` is told the windows done and their number."""
        seen = Seen(None, ())
        places = iter(self._windows)
        done = 0
        report(done, self._windows.count)
        while batch := list(islice(places, batch_size)):
            seen = forward(cutter.batch(batch))
            if seen.voxels is not None:
                for window, voxels in zip(batch, seen.voxels, strict=True):
                    self._place(window, voxels)
            done += len(batch)
            report(done, self._windows.count)
        if self._accumulator:
            self._accumulator.close()
        return seen

    def _place(self, window: Window, voxels: Tensor) -> None:
        output = self._on_volume(voxels if self._channels is None else voxels[list(self._channels)], window)
        self._sinks = self._sinks or self._sinks_of(len(output))
        if self._windows.one_a_layer:
            lead = self._windows.lead
            for sink in self._sinks:
                sink.take(max(window.start[lead], 0), np.moveaxis(output, lead + 1, 1))
            return
        self._accumulator = self._accumulator or Accumulator(self._windows, len(output), self._sinks)
        self._accumulator.add(window, output)

    def _on_volume(self, voxels: Tensor, window: Window) -> Tensor:
        """The window's output with three spatial axes, without what lies beyond the volume."""
        flat = self._windows.flat
        whole = voxels if flat is None else np.expand_dims(voxels, flat + 1)
        places = zip(window.start, self._windows.shape, self._windows.size, strict=True)
        inside = (slice(max(-start, 0), min(size, length - start)) for start, length, size in places)
        return whole[(slice(None), *inside)]


def _weights(curves: tuple[Floats, Floats, Floats], least: float) -> Floats:
    first, second, third = curves
    weights: Floats = (first[:, None] * second)[:, :, None] * third
    return np.maximum(weights, np.float32(least), out=weights) if least else weights
