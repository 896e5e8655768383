"""Processes that judge, watched from outside: one that dies or falls silent is a finding, and another goes on behind it."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.hostile.judging import Outcome, Verdict

ROOT = Path(__file__).resolve().parents[2]
START_S = 300.0
"""A worker on a loaded machine is ready by then."""
IN_MEMORY = Path("/dev/shm")
"""Where workers' files lie, if it is there: a hundred thousand times waiting for a disk takes hours."""
GRACE_S = 20.0
"""Beyond what is called a hang, before a silent worker is ended."""


@dataclass(frozen=True)
class Order:
    """Inputs ``first`` to ``last`` of one kind."""

    kind: str
    seed: int
    first: int
    last: int
    hang_s: float = 10.0
    keep: Path | None = None

    def split(self, pieces: int) -> list[Order]:
        """The same in equal pieces."""
        edges = [self.first + (self.last - self.first) * piece // pieces for piece in range(pieces + 1)]
        return [replace(self, first=a, last=b) for a, b in pairwise(edges) if a < b]


class WorkerFailedError(Exception):
    """The bench itself is wrong: a worker did not come to its first input."""


def judged(order: Order, *, processes: int = 1, folder: Path | None = None) -> list[Outcome]:
    """The outcome of every input of the order; ``folder``: where workers' files lie."""
    folder = folder or (IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None)
    with ThreadPoolExecutor(processes) as pool:
        found = pool.map(lambda piece: list(_judged(piece, folder)), order.split(processes))
        return [outcome for piece in found for outcome in piece]


def _judged(order: Order, folder: Path | None) -> Iterator[Outcome]:
    """Worker after worker, until all inputs have their outcome."""
    while order.first < order.last:
        with tempfile.TemporaryDirectory(prefix="hostile-", dir=folder) as name:
            with closing(_lines(order, Path(name))) as lines:
                for document in lines:
                    outcome = Outcome(**{**document, "verdict": Verdict(document["verdict"])})
                    order = replace(order, first=outcome.number + 1)
                    yield outcome
            shutil.rmtree(name, ignore_errors=True)
            Path(name).mkdir()


def _lines(order: Order, folder: Path) -> Generator[dict[str, Any]]:
    """What one worker says, and at its death or silence what that was."""
    with (folder / "stderr").open("w+b") as stderr:
        worker = subprocess.Popen(
            _command(order, folder), stdout=subprocess.PIPE, stderr=stderr, cwd=ROOT, start_new_session=True
        )
        assert worker.stdout is not None
        number = order.first
        buffered, ready = b"", False
        try:
            while True:
                wait = order.hang_s + GRACE_S if ready else START_S
                if not select.select([worker.stdout], [], [], wait)[0]:
                    if not ready:
                        raise WorkerFailedError(_end_of(stderr))
                    yield _outcome(order, number, Verdict.HANG, wait, "it answered no more and was ended")
                    return
                piece = os.read(worker.stdout.fileno(), 1 << 16)
                buffered += piece
                *whole, buffered = buffered.split(b"\n")
                for line in map(json.loads, whole):
                    if "ready" in line:
                        ready = True
                        continue
                    number = line["number"] + 1
                    yield line
                if not piece:
                    break
            code = worker.wait()
            if not ready or (code and number >= order.last):
                raise WorkerFailedError(_end_of(stderr))
            if code:
                yield _outcome(order, number, Verdict.CRASH, 0.0, _fate(code, _end_of(stderr)))
        finally:
            _end(worker)


def _command(order: Order, folder: Path) -> list[str]:
    command = [sys.executable, "-m", "tests.hostile.worker", order.kind, "--folder", str(folder)]
    command += ["--seed", str(order.seed), "--first", str(order.first), "--last", str(order.last)]
    return command + ["--hang", str(order.hang_s)] + (["--keep", str(order.keep)] if order.keep else [])


def _outcome(order: Order, number: int, verdict: Verdict, seconds: float, detail: str) -> dict[str, Any]:
    return Outcome(order.kind, number, verdict, seconds, detail).document()


def _fate(code: int, said: str) -> str:
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
    return f"the process ended with {how}: {said}"


def _end_of(stderr: Any) -> str:
    stderr.seek(0)
    return str(stderr.read()[-3000:].decode("utf-8", "replace"))


def _end(worker: subprocess.Popen[bytes]) -> None:
    """The worker and all that it started."""
    if worker.poll() is None:
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    if worker.stdout:
        worker.stdout.close()
