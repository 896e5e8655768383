"""Pack, verify and assemble a large model in a process of its own, and print what it took as JSON.

Run as ``python -m tests.unit.model_object.measure_large FOLDER BYTES_OF_EACH_FILE``; files are sparse. ``idle`` is the
peak before the large model: everything imported, a small model packed, verified and assembled.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from iodeep.model_object import assemble, pack_model, read_descriptor
from iodeep.trust import file_sha256, verify_object

from .models import ensemble_card

_T = TypeVar("_T")


def main(folder: Path, lengths: list[int]) -> None:
    """One small model to warm up, then the large one."""
    names = ("fold-0.onnx", "fold-1.onnx", "fold-0.onnx.data", "trainable.safetensors", "trainable.json")
    small = _run(folder / "small", dict.fromkeys(names, 100_000))
    idle = _peak()
    large = _run(folder / "large", {**dict.fromkeys(names, 1), **dict(zip(names, lengths, strict=False))})
    sys.stdout.write(json.dumps({"idle": idle, "peak": _peak(), "small": small, **large}) + "\n")


def _run(folder: Path, lengths: Mapping[str, int]) -> dict[str, object]:
    folder.mkdir()
    files = {name: _sparse(folder / name, length) for name, length in lengths.items()}
    total = sum(lengths.values())
    seconds: dict[str, float] = {}
    packed = _timed(seconds, "pack", lambda: pack_model(ensemble_card(), files, folder / "packed"))
    descriptor = read_descriptor(packed.descriptor)
    report = _timed(seconds, "verify", lambda: verify_object(packed.descriptor, packed.parts))
    back = _timed(seconds, "assemble", lambda: assemble(descriptor, reversed(packed.parts), folder / "back"))
    same = all(file_sha256(files[name]) == file_sha256(path) for name, path in back.items())
    shutil.rmtree(folder)
    speeds = {step: total / 1e6 / duration for step, duration in seconds.items()}
    return {"total": total, "parts": len(packed.parts), "holds": report.holds, "same": same, "mb_per_s": speeds}


def _timed(seconds: dict[str, float], step: str, work: Callable[[], _T]) -> _T:
    start = time.perf_counter()
    result = work()
    seconds[step] = time.perf_counter() - start
    return result


def _sparse(path: Path, length: int) -> Path:
    """Zeros with a few marks, so that two parts differ."""
    with path.open("wb") as file:
        for offset in range(0, length, 50_000_000):
            os.pwrite(file.fileno(), offset.to_bytes(8, "little"), offset)
        file.truncate(length)
    return path


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(length) for length in sys.argv[2:]])
