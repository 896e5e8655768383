"""The contained process as its parent sees it: given copies, limited, ended, and believed only after every check.

A source is copied byte by byte, never followed out of its folder; nothing of it is interpreted on this side.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from iodeep import errors
from iodeep.errors import InferenceError, InputError, IODeepError
from iodeep.inference.containment import told
from iodeep.packing.importing import ImportedNetwork, Question, ReferenceImage, ReferencePrediction, SourceKind
from iodeep.service.importing.copying import copied
from iodeep.settings import RunSettings

MOST_RESULT_BYTES = 16 << 20
_ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "MPLBACKEND": "Agg",
    "nnUNet_n_proc_DA": "1",  # without it, nnunetv2 runs a program to learn the machine's name when it is imported
    "nnUNet_compile": "f",
}
_FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
_Sentence = Annotated[str, StringConstraints(max_length=1000)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


_Kind = TypeVar("_Kind", bound=_Closed)


class _Read(_Closed):
    kind: SourceKind
    card: dict[str, Any]
    suggested: dict[str, Any]
    files: Annotated[dict[_FileName, _Sentence], Field(max_length=128)]
    framework: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 .,+_-]{1,200}$")]
    questions: Annotated[tuple[tuple[_Sentence, _Sentence], ...], Field(max_length=2000)]
    notes: Annotated[tuple[_Sentence, ...], Field(max_length=1000)]


class _Contained(_Closed):
    lacking: dict[str, _Sentence]


class _Predicted(_Closed):
    masks: tuple[Annotated[int, Field(ge=0, le=65535)], ...]
    heads: dict[str, tuple[float, ...]]


class ImportProcess:
    """A source, copied into ``folder``, and the processes that are asked about it, one after the other."""

    def __init__(self, source: Path, folder: Path, limits: RunSettings) -> None:
        if not source.exists():
            raise InputError(f"{source} does not exist", expected="a file or folder with a trained network")
        self._folder = folder
        self._limits = limits
        for name in ("source", "images", "out"):
            (folder / name).mkdir()
        self._source = copied(source, folder / "source")

    def lacking(self) -> tuple[str, ...]:
        """A sentence for each layer of containment that this machine refuses; InputError where an indispensable one is.

        Found out by a process that looks at nothing of the source, so that nothing in it can say otherwise.
        """
        return told(_valid(_Contained, self._asked({"act": "contain"})).lacking, "process that reads the source")

    def read(self, card: Mapping[str, Any] | None = None) -> ImportedNetwork:
        """What the source is; ``card``: a completed one, where there is one already."""
        document = _valid(_Read, self._asked({"act": "read", "card": card}))
        return ImportedNetwork(
            kind=document.kind,
            card=document.card,
            suggested=document.suggested,
            files={name: self._file(path) for name, path in document.files.items()},
            framework=document.framework,
            questions=tuple(Question(*each) for each in document.questions),
            notes=document.notes,
        )

    def predict(self, images: Sequence[ReferenceImage], card: Mapping[str, Any]) -> ReferencePrediction:
        """What the source's framework says of ``images``."""
        told = []
        for number, image in enumerate(images):
            image.voxels.astype(np.float32).tofile(self._folder / "images" / str(number))
            told.append({"name": image.name, "shape": image.voxels.shape, "affine": image.affine.tolist()})
        document = _valid(_Predicted, self._asked({"act": "predict", "images": told, "card": card}))
        return ReferencePrediction(
            {channel: self._mask(channel, images[0].voxels.shape) for channel in document.masks}, document.heads
        )

    def _mask(self, channel: int, shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        path = self._file(f"mask-{channel}")
        if path.stat().st_size != int(np.prod(shape)):
            raise _nonsense()
        return np.fromfile(path, np.uint8).reshape(shape).astype(np.bool_)

    def _file(self, name: str) -> Path:
        """A regular file below ``out``, by a way without links."""
        out = (self._folder / "out").resolve()
        path = out / name
        try:
            if not path.resolve().is_relative_to(out) or path.resolve() != path or not path.is_file():
                raise _nonsense()
        except (ValueError, OSError) as error:  # no name of a file at all: a NUL, or longer than any
            raise _nonsense() from error
        return path

    def _asked(self, request: dict[str, Any]) -> Any:
        (self._folder / "request.json").write_text(json.dumps({**request, "source": self._source}))
        (self._folder / "out" / "result.json").unlink(missing_ok=True)
        self._run()
        path = self._folder / "out" / "result.json"
        if not path.is_file() or path.is_symlink():
            raise self._died()
        if path.stat().st_size > MOST_RESULT_BYTES:
            raise _nonsense()
        try:
            result = json.loads(path.read_bytes())
            if result.get("memory"):
                raise self._died("MemoryError")
            if "error" in result:
                raise _error_of(result["error"])
            return result["result"]
        except (ValueError, KeyError, AttributeError, RecursionError) as error:
            raise _nonsense() from error

    def _run(self) -> None:
        """Start the process and wait for its end; what it says on stderr goes to a file, which its limits bound."""
        limits = self._limits
        arguments = [os.getpid(), limits.memory_mib << 20, limits.threads, self._folder]
        with (self._folder / "said").open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-I", "-B", "-m", "iodeep.service.importing.worker", *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        try:
            process.wait(limits.seconds)
        except subprocess.TimeoutExpired as error:
            raise InferenceError(
                f"the import took longer than its limit of {limits.seconds:g} s and was ended",
                remedy="Set seconds higher under [run] in iodeep.toml, or give a smaller reference series.",
            ) from error
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _last_words(self) -> list[str]:
        with (self._folder / "said").open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
            return file.read().decode("ascii", "replace").strip().splitlines()

    def _died(self, why: str = "") -> IODeepError:
        lines = [why] if why else self._last_words()
        return InputError(
            "the contained process that reads the source ended without an answer",
            found=lines[-1][:300] if lines else None,
            remedy=f"If memory ran out: [run] memory_mib in iodeep.toml is {self._limits.memory_mib} MiB now.",
        )


def _valid(kind: type[_Kind], document: Any) -> _Kind:
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        raise _nonsense() from error


def _error_of(said: Any) -> IODeepError:
    """The error that the process reported; a class that it cannot raise is taken for an InputError."""
    if not isinstance(said, dict):
        return _nonsense()
    texts = {key: str(value)[:2000] for key, value in said.items() if key in ("expected", "found", "remedy")}
    kinds = {kind.__name__: kind for kind in (errors.CardError, errors.NetworkError)}
    return kinds.get(str(said.get("error")), InputError)(str(said.get("problem", "the import failed"))[:2000], **texts)


def _nonsense() -> InputError:
    return InputError(
        "the contained process that reads the source gave an answer that cannot be used",
        remedy="Don't trust where the source came from; nothing was written.",
    )
