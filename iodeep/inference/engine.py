"""Run a card's networks on volumes, in a process of their own that has limits and dies with this one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from iodeep.ports import Cancellation, ProgressSink, no_progress

if TYPE_CHECKING:
    from iodeep.card import ModelCard
    from iodeep.prediction import Prediction
    from iodeep.settings import RunSettings
    from iodeep.volume import Volume


class Engine:
    """A process that runs networks and keeps their sessions from one run to the next.

    It starts on entering, so that its start-up overlaps with whatever the caller does before the first run::

        with Engine(settings.run) as engine:
            prediction = engine.run(card, {"net.onnx": path}, {"image": volume})
    """

    def __init__(self, limits: RunSettings) -> None:
        self._limits = limits

    def run(
        self,
        card: ModelCard,
        files: Mapping[str, Path],
        volumes: Mapping[str, Volume],
        *,
        probabilities: bool = False,
        progress: ProgressSink = no_progress,
        cancel: Cancellation | None = None,
    ) -> Prediction:
        """What the card's networks say about ``volumes`` (by input name), on the grid of the first input.

        ``files``: the card's file names and where they lie; external data lies beside the network that names it.
        """
        raise NotImplementedError

    def __enter__(self) -> Self:
        """The engine, its process starting."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process; nothing of it stays."""


def run_model(
    card: ModelCard,
    files: Mapping[str, Path],
    volumes: Mapping[str, Volume],
    *,
    limits: RunSettings,
    probabilities: bool = False,
    progress: ProgressSink = no_progress,
    cancel: Cancellation | None = None,
) -> Prediction:
    """An :class:`Engine` for one run."""
    with Engine(limits) as engine:
        return engine.run(card, files, volumes, probabilities=probabilities, progress=progress, cancel=cancel)


def run_in_process(
    card: ModelCard,
    files: Mapping[str, Path],
    volumes: Mapping[str, Volume],
    *,
    threads: int = 0,
    probabilities: bool = False,
    progress: ProgressSink = no_progress,
) -> Prediction:
    """The same in this process, without its limits: for tests and for a caller that is limited itself."""
    raise NotImplementedError
