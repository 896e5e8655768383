"""One run from voxels to an answer, in this process: preprocess, network, back onto the source, postprocess."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from iodeep.errors import CardError
from iodeep.inference.decoding import ActivatedBlocks, ArgmaxSink, LabelSink, ProbabilitySink, Sink, ThresholdSink
from iodeep.inference.forward import Forward
from iodeep.inference.image import Floats, Image, Scan
from iodeep.inference.inputs import channels_of
from iodeep.inference.network_files import NetworkContent
from iodeep.inference.placing import labels_on_source, probabilities_on_source
from iodeep.inference.postprocessing import Mask, tidied_labels, tidied_masks
from iodeep.inference.preprocessing import preprocessed
from iodeep.inference.restoring import ValueSink, restored
from iodeep.inference.runtime import Runtime, Session
from iodeep.inference.sliding import Cutter, Slide
from iodeep.inference.structure import check_content
from iodeep.inference.windows import Windows, windows_of

if TYPE_CHECKING:
    from iodeep.card import ModelCard, SegmentationOutput

Report = Callable[[str, int, int | None, str], None]
"""Step, done, total, unit: as :class:`iodeep.ports.Progress`."""


@dataclass
class Answer:
    """What a run gave, on the source's grid: exactly one of ``labels`` and ``masks`` where there is a segmentation."""

    engine: str
    labels: np.ndarray[Any, Any] | None = None
    masks: Mask | None = None
    probabilities: Floats | None = None
    heads: tuple[Floats, ...] = ()
    """One vector a classification head, after activation."""
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        begun = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begun


class Sessions:
    """Checked and loaded networks, kept from one run to the next.

    A network is known by its files' inodes, sizes and times of change: whoever verified its digest did so on that file, and a
    session outlives a file that is altered afterwards.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._sessions: dict[tuple[object, ...], Session] = {}

    def of(self, card: ModelCard, files: Mapping[str, NetworkContent]) -> list[Session]:
        """The sessions of the card's networks; those of another card are let go."""
        kept: dict[tuple[object, ...], Session] = {}
        names = card.network.files
        identities = [self._identity(card, files[name]) for name in names]
        self._sessions = {key: session for key, session in self._sessions.items() if key in identities}
        for name, identity in zip(names, identities, strict=True):
            if identity not in self._sessions:
                check_content(files[name], card)
                self._sessions[identity] = self.runtime.load(files[name], card.network.input_tensor)
            kept[identity] = self._sessions[identity]
        return [kept[identity] for identity in identities]

    @staticmethod
    def _identity(card: ModelCard, content: NetworkContent) -> tuple[object, ...]:
        return (*content.identity, repr(card.network), repr(card.segmentation))


def predict(
    card: ModelCard,
    files: Mapping[str, NetworkContent],
    scans: Mapping[str, Scan],
    sessions: Sessions,
    *,
    probabilities: bool,
    report: Report,
) -> Answer:
    """Everything the card's networks say about ``scans``."""
    answer = Answer(sessions.runtime.name)
    with answer.timed("load"):
        loaded = sessions.of(card, files)
    with answer.timed("preprocess"):
        report("preprocess", 0, None, "steps")
        image = preprocessed(channels_of(card, scans), card.preprocessing)
    with answer.timed("around"):
        found = _through_networks(card, image, loaded, probabilities=probabilities, report=report, answer=answer)
    answer.seconds["blend"] = answer.seconds.pop("around") - answer.seconds["network"]
    with answer.timed("postprocess"):
        report("postprocess", 0, None, "steps")
        _put_back(card, image, found, answer, probabilities=probabilities)
    return answer


@dataclass
class _Found:
    """What the sinks of a run hold."""

    labels: ArgmaxSink | LabelSink | None = None
    masks: ThresholdSink | None = None
    probabilities: ProbabilitySink | None = None
    values: ValueSink | None = None

    def sinks(self, output: SegmentationOutput) -> Sequence[Sink]:
        found = [sink for sink in (self.labels, self.masks, self.probabilities, self.values) if sink is not None]
        if output.activate != "mean" or self.values:
            return found
        wanted = [segment.channel for segment in output.segments] if self.masks else None
        return [ActivatedBlocks(output.activation, wanted, found)]


def _through_networks(
    card: ModelCard, image: Image, sessions: Sequence[Session], *, probabilities: bool, report: Report, answer: Answer
) -> _Found:
    network = card.network
    windows = windows_of(network, image.shape)
    if card.classifications and windows.count > 1:
        raise CardError(
            "a classification needs the whole series in one call of the network",
            found=f"{windows.count} windows ({network.dimensions}, {network.inference.mode})",
            remedy="Use dimensions 3D with mode whole, or a card without classifications for series of several slices.",
        )
    several = len(sessions) > 1 or bool(network.mirror_axes)
    decode = card.segmentation.decode if card.segmentation else None
    voting = decode == "labels" and (several or not windows.covered_once or probabilities)
    forward = Forward(card, sessions, windows.flat, voting=voting)
    found = _Found()

    def sinks_of(channels: int) -> Sequence[Sink]:
        assert card.segmentation is not None
        _open_sinks(found, card.segmentation, windows, channels, voting=voting, probabilities=probabilities)
        return found.sinks(card.segmentation)

    slide = Slide(windows, _needed_channels(card.segmentation), sinks_of)
    cutter = Cutter(image.voxels, windows.size, windows.flat, network.context_slices)
    seen = slide.run(cutter, forward, network.batch_size, lambda done, total: report("network", done, total, "windows"))
    answer.seconds["network"] = forward.seconds
    answer.heads = tuple(head[0] for head in seen.heads)
    return found


def _needed_channels(output: SegmentationOutput | None) -> list[int] | None:
    """Overlapping segments need their own channels only; an argmax needs all, background too, and so does a mean to activate."""
    if output is None or output.decode not in ("threshold", "nested") or output.activate != "each":
        return None
    return [segment.channel for segment in output.segments]


def _open_sinks(
    found: _Found, output: SegmentationOutput, windows: Windows, channels: int, *, voting: bool, probabilities: bool
) -> None:
    segments = output.segments
    if output.restoration:
        found.values = ValueSink(channels, windows.shape, windows.lead)
        return
    if output.decode == "threshold":
        found.masks = ThresholdSink(output.threshold, windows.shape, windows.lead, len(segments))
        places = list(range(len(segments)))
    elif output.decode == "labels" and not voting:
        found.labels = LabelSink(output, windows.shape, windows.lead)
        return
    else:
        places = [segment.channel for segment in segments]
        if voting:
            places = _places_of_values(places)
        table = np.zeros(channels, np.uint16)
        table[places] = [segment.number for segment in segments]
        found.labels = ArgmaxSink(table, windows.shape, windows.lead, len(segments))
    if probabilities:
        found.probabilities = ProbabilitySink(places, windows.shape, windows.lead)


def _places_of_values(values: list[int]) -> list[int]:
    """Where a vote keeps each label value: background first, then the values in the card's order."""
    order = [0, *(value for value in values if value != 0)]
    return [order.index(value) for value in values]


def _put_back(card: ModelCard, image: Image, found: _Found, answer: Answer, *, probabilities: bool) -> None:
    """Onto the source's grid, then the card's postprocessing there."""
    if card.segmentation is None:
        return
    if found.values:
        kept = found.values.values
        channels = _needed_channels(card.segmentation) or range(len(kept))
        back = restored(card, image, kept, channels, probabilities=probabilities)
        answer.labels, answer.masks, answer.probabilities = back.labels, back.masks, back.probabilities
    else:
        _labels_back(len(card.segmentation.segments), image, found, answer)
    voxel_ml = float(abs(np.linalg.det(image.source_affine[:3, :3]))) / 1000
    if answer.masks is not None:
        tidied_masks(answer.masks, card.postprocessing, voxel_ml)
    if answer.labels is not None:
        tidied_labels(answer.labels, len(card.segmentation.segments), card.postprocessing, voxel_ml)


def _labels_back(segments: int, image: Image, found: _Found, answer: Answer) -> None:
    if found.masks and segments > 1:
        answer.masks = np.stack([labels_on_source(mask, image) for mask in found.masks.masks])
    else:
        labels = found.masks.masks[0].view(np.uint8) if found.masks else found.labels.labels if found.labels else None
        assert labels is not None
        answer.labels = labels_on_source(labels, image)
    if found.probabilities:
        kept = found.probabilities.probabilities
        answer.probabilities = np.stack([probabilities_on_source(channel, image) for channel in kept])
