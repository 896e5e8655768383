"""Run a card's networks on volumes, in a process of their own that has limits and dies with this one."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from iodeep import errors
from iodeep.errors import InferenceError, InputError, IODeepError
from iodeep.inference.answers import prediction_of
from iodeep.inference.containment import told
from iodeep.inference.decoding import label_type
from iodeep.inference.messages import Array, mapped, new_memory, read_copy
from iodeep.inference.needs import needed_modules
from iodeep.inference.network_files import NetworkDescriptors, opened, read_content
from iodeep.inference.process import WorkerProcess
from iodeep.ports import Cancellation, Progress, ProgressSink, no_progress

if TYPE_CHECKING:
    from iodeep.card import ModelCard
    from iodeep.inference.fingerprint import RuntimeFacts
    from iodeep.prediction import Prediction
    from iodeep.settings import RunSettings
    from iodeep.volume import Volume


class Engine:
    """A process that runs networks and keeps their sessions from one run to the next.

    It starts on entering, so that its start-up overlaps with whatever the caller does before the first run::

        with Engine(settings.run) as engine:
            prediction = engine.run(card, {"net.onnx": path}, {"image": volume})

    One run at a time; a second thread waits. After a crash, a limit or a cancellation the next run starts a new process.
    """

    def __init__(self, limits: RunSettings) -> None:
        self._limits = limits
        self._process: WorkerProcess | None = None
        self._modules: frozenset[str] | None = None
        self._lacking: tuple[str, ...] | None = None
        self._runtime: RuntimeFacts | None = None
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Number of the process, None while there is none."""
        return self._process.pid if self._process else None

    @property
    def lacking(self) -> tuple[str, ...]:
        """A sentence on each layer of containment that this engine's processes don't have; empty is as it should be.

        Where none was contained yet, one is started to find out.
        """
        with self._lock:
            if self._lacking is None:
                self._enclosed(frozenset())
            return self._lacking or ()

    @property
    def runtime(self) -> RuntimeFacts:
        """What this engine's processes compute with, in their own words: what a self-test counts for.

        Where there was none yet, one is started to find out. InferenceError where it cannot be.
        """
        with self._lock:
            if self._runtime is None:
                self._enclosed(frozenset())
            assert self._runtime is not None
            return self._runtime

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
        Raises InputError, NetworkError, CardError or InferenceError with what to do, and CancelledError.
        """
        with (
            self._lock,
            _HandOver(card, volumes, self._limits, probabilities=probabilities) as handed,
            _Networks(card, files) as networks,
        ):
            request = {
                "card": card.model_dump(mode="json"),
                "networks": networks.told(len(handed.descriptors)),
                "volumes": handed.volumes,
                "outputs": handed.outputs,
                "probabilities": probabilities,
            }
            reply = self._asked(
                needed_modules(card), request, (*handed.descriptors, *networks.descriptors), progress, cancel
            )
            return self._told(reply, card, handed)

    def _asked(
        self,
        modules: frozenset[str],
        request: dict[str, Any],
        given: Sequence[int],
        progress: ProgressSink,
        cancel: Cancellation | None,
    ) -> dict[str, Any]:
        process = self._enclosed(modules)
        try:
            return process.ask(request, given, lambda said: progress(_progress(said)), cancel)
        except BaseException:
            self.stop()
            raise

    def _enclosed(self, modules: frozenset[str]) -> WorkerProcess:
        """A contained process that has imported ``modules``: the one that runs, or another that has its modules too."""
        if self._modules is not None and not modules <= self._modules:
            modules |= self._modules
            self.stop()
        if self._process is None or not self._process.alive:
            self.stop()
            self._process = WorkerProcess(self._limits)
        if self._modules is None:
            try:
                enclosed = self._process.enclose(sorted(modules))
                self._lacking, self._runtime = told(enclosed.lacking), enclosed.runtime
            except BaseException:
                self.stop()
                raise
            self._modules = modules
        return self._process

    def _told(self, reply: dict[str, Any], card: ModelCard, handed: _HandOver) -> Prediction:
        if reply.get("memory"):
            self.stop()
            raise _out_of_memory(self._limits)
        if "error" in reply:
            raise _error_of(reply["error"])
        try:
            result = reply["result"]
            seconds = {str(stage): float(value) for stage, value in result["seconds"].items()}
            heads = [[float(value) for value in head] for head in result["heads"]]
            return prediction_of(card, handed.results(), heads, seconds, str(result["engine"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self.stop()
            raise _nonsense() from error

    def stop(self) -> None:
        """End the process; the next run starts another."""
        self._modules = None
        if self._process:
            self._process.stop()
            self._process = None

    def __enter__(self) -> Self:
        """The engine, its process starting."""
        self._process = WorkerProcess(self._limits)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process; nothing of it stays."""
        self.stop()


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
    from iodeep.inference.image import Scan
    from iodeep.inference.onnx_runtime import OnnxRuntime
    from iodeep.inference.pipeline import Sessions, predict

    def report(step: str, done: int, total: int | None, unit: str) -> None:
        progress(Progress(step, done, total, unit))

    scans = {name: Scan(volume.voxels, volume.affine) for name, volume in volumes.items()}
    sessions = Sessions(OnnxRuntime(threads))
    networks = {name: read_content(files[name], card.network.external_data) for name in card.network.files}
    answer = predict(card, networks, scans, sessions, probabilities=probabilities, report=report)
    found = {"labels": answer.labels, "masks": answer.masks, "probabilities": answer.probabilities}
    arrays = {name: array for name, array in found.items() if array is not None}
    return prediction_of(card, arrays, [head.tolist() for head in answer.heads], answer.seconds, answer.engine)


@dataclass(frozen=True)
class _Output:
    name: str
    dtype: type[np.generic]
    shape: tuple[int, ...]


class _HandOver:
    """Memory shared with the process for one run: the volumes, and room for what comes back."""

    def __init__(
        self, card: ModelCard, volumes: Mapping[str, Volume], limits: RunSettings, *, probabilities: bool
    ) -> None:
        self._given = {name: volume for name, volume in volumes.items() if _is_image(name, volume)}
        self._limits = limits
        first = self._given.get(card.inputs[0].name)
        self._expected = _outputs(card, first.voxels.shape, probabilities=probabilities) if first else []
        self._stack = ExitStack()
        self.descriptors: list[int] = []
        self.volumes: list[dict[str, Any]] = []
        self.outputs: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for name, volume in self._given.items():
                into = self._shared(stack, name, volume.voxels.dtype, volume.voxels.shape, self.volumes)
                into[...] = volume.voxels
                self.volumes[-1]["affine"] = np.asarray(volume.affine, np.float64).tolist()
            for output in self._expected:
                self._shared(stack, output.name, np.dtype(output.dtype), output.shape, self.outputs)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _shared(
        self, stack: ExitStack, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], told: list[dict[str, Any]]
    ) -> Array:
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if size > self._limits.memory_mib << 20:
            raise _out_of_memory(self._limits)
        try:
            descriptor = new_memory(size)
        except OSError as error:
            raise _out_of_memory(self._limits) from error
        stack.callback(os.close, descriptor)
        self.descriptors.append(descriptor)
        told.append({"name": name, "dtype": dtype.str, "shape": shape})
        return mapped(descriptor, dtype.str, shape)

    def results(self) -> dict[str, Array]:
        """Copies of what the process wrote."""
        descriptors = self.descriptors[len(self.volumes) :]
        return {
            output.name: read_copy(descriptor, output.dtype, output.shape)
            for output, descriptor in zip(self._expected, descriptors, strict=True)
        }


class _Networks:
    """The card's files, open to be read for one run: the process opens nothing itself."""

    def __init__(self, card: ModelCard, files: Mapping[str, Path]) -> None:
        self._card = card
        self._files = files
        self._stack = ExitStack()
        self._open: dict[str, NetworkDescriptors] = {}

    def __enter__(self) -> Self:
        network = self._card.network
        missing = sorted(set(network.files) - set(self._files))
        if missing:
            raise InputError("networks that the card lists are missing", found=", ".join(missing))
        with ExitStack() as stack:
            for name in network.files:
                self._open[name] = stack.enter_context(opened(self._files[name], network.external_data))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def descriptors(self) -> list[int]:
        """All of them, in the order of :meth:`told`."""
        return [found for files in self._open.values() for found in (files.model, *files.external.values())]

    def told(self, first: int) -> list[dict[str, Any]]:
        """What each descriptor is, by its number in the message that carries it; ``first`` is that of the first."""
        numbers = iter(range(first, first + len(self.descriptors)))
        return [
            {"name": name, "model": next(numbers), "external": {place: next(numbers) for place in files.external}}
            for name, files in self._open.items()
        ]


def _is_image(name: str, volume: Volume) -> bool:
    if volume.voxels.dtype.kind not in "biuf" or volume.voxels.ndim != 3 or not volume.voxels.size:
        raise InputError(
            f"the volume for input {name!r} is not one of grey values",
            expected="three axes of integers or floats",
            found=f"{volume.voxels.dtype} {volume.voxels.shape}",
        )
    return True


def _outputs(card: ModelCard, shape: tuple[int, ...], *, probabilities: bool) -> list[_Output]:
    if card.segmentation is None:
        return []
    count = len(card.segmentation.segments)
    if card.segmentation.overlapping:
        outputs = [_Output("masks", np.bool_, (count, *shape))]
    else:
        outputs = [_Output("labels", label_type(count), shape)]
    if probabilities:
        outputs.append(_Output("probabilities", np.float32, (count, *shape)))
    return outputs


def _progress(said: Any) -> Progress:
    try:
        step, done, total, unit = said
        return Progress(str(step), int(done), None if total is None else int(total), str(unit))
    except (TypeError, ValueError) as error:
        raise _nonsense() from error


def _error_of(said: Any) -> IODeepError:
    """The error that the process reported; a class that it cannot raise is taken for an InferenceError."""
    if not isinstance(said, dict):
        return _nonsense()
    texts = {key: str(value) for key, value in said.items() if key in ("expected", "found", "remedy")}
    kinds = {kind.__name__: kind for kind in (errors.InputError, errors.CardError, errors.NetworkError)}
    kind = kinds.get(str(said.get("error")), InferenceError)
    return kind(str(said.get("problem", "the run failed")), **texts)


def _nonsense() -> InferenceError:
    return InferenceError(
        "the inference process gave an answer that cannot be used",
        remedy="Run it again; if it stays so, run `iodeep verify` on the model. Nothing was written.",
    )


def _out_of_memory(limits: RunSettings) -> InferenceError:
    return InferenceError(
        f"the run needs more memory than its limit of {limits.memory_mib} MiB",
        remedy="Set memory_mib higher under [run] in iodeep.toml if the machine has more, or use a card with smaller "
        "patches. Nothing was written.",
    )
