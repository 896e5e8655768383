"""One hostile input, and what became of it. Refusing with an error of ours is right; accepting is for the kind to judge."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any, Protocol

from iodeep.errors import IODeepError
from tests.hostile.canary import Canary
from tests.hostile.watching import Watch

Mutant = dict[str, bytes]
"""A hostile input: files by name, or one message."""


class Verdict(StrEnum):
    """What became of an input; all but the first two are findings."""

    REFUSED = "refused"
    ACCEPTED = "accepted"
    EXECUTION = "execution"
    HANG = "hang"
    MEMORY = "memory"
    CRASH = "crash"
    LEFT = "files left"


FINDINGS = (Verdict.EXECUTION, Verdict.HANG, Verdict.MEMORY, Verdict.CRASH, Verdict.LEFT)


@dataclass(frozen=True)
class Outcome:
    """Of the input that ``kind``, seed and ``number`` make again."""

    kind: str
    number: int
    verdict: Verdict
    seconds: float
    detail: str = ""

    @property
    def finding(self) -> bool:
        """Whether it is one."""
        return self.verdict in FINDINGS

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


class WrongError(Exception):
    """What a kind itself finds wrong: an altered thing was accepted, a service answered with a defect or died."""


class Target(Protocol):
    """Makes hostile inputs of one kind, and hands them to what they attack."""

    memory_mib: int
    """By so much the process may grow over one input."""

    @property
    def own_files(self) -> tuple[Path, ...]:
        """Folders in which nothing may be left behind."""

    def mutant(self, random: Random) -> Mutant:
        """A hostile input, from ``random`` alone."""

    def receive(self, mutant: Mutant) -> bool:
        """True where it was accepted. Raises IODeepError where it was refused; WrongError and all others are findings."""

    def close(self) -> None:
        """End what it started."""


class Judge:
    """Judges input after input in this process."""

    def __init__(self, kind: str, seed: int, target: Target, canary: Canary, watch: Watch, hang_s: float) -> None:
        self._kind, self._seed, self._target = kind, seed, target
        self._canary, self._watch, self._hang_s = canary, watch, hang_s

    def judge(self, number: int) -> Outcome:
        """The outcome of one input."""
        mutant = self._target.mutant(random_of(self._kind, self._seed, number))
        return self.judged(number, lambda: self._target.receive(mutant))

    def judged(self, number: int, receive: Callable[[], bool]) -> Outcome:
        """The outcome of what hands an input over."""
        before, began = _memory_now_kib(), time.monotonic()
        with self._watch.watching() as seen:
            verdict, detail = _received(receive)
        seconds = time.monotonic() - began
        touched = "; ".join(filter(None, (*seen, self._canary.touched())))
        left = [path.name for folder in self._target.own_files for path in folder.iterdir()]
        grown = (_memory_peak_kib() - before) >> 10
        if touched:
            verdict, detail = Verdict.EXECUTION, touched
        elif verdict in FINDINGS:
            pass
        elif seconds > self._hang_s:
            verdict, detail = Verdict.HANG, f"{seconds:.1f} s"
        elif grown > self._target.memory_mib:
            verdict, detail = Verdict.MEMORY, f"{grown} MiB; {detail}"
        elif left:
            verdict, detail = Verdict.LEFT, ", ".join(left[:5])
        return Outcome(self._kind, number, verdict, round(seconds, 4), detail)

    def keep(self, number: int, folder: Path) -> None:
        """Write the input to a folder of its own."""
        into = folder / f"{self._kind}-{self._seed}-{number}"
        into.mkdir(parents=True, exist_ok=True)
        for name, content in self._target.mutant(random_of(self._kind, self._seed, number)).items():
            (into / name.replace("/", "_")).write_bytes(content)


def _received(receive: Callable[[], bool]) -> tuple[Verdict, str]:
    """The boundary where whatever goes wrong becomes a finding."""
    try:
        accepted = receive()
    except IODeepError as error:
        return _clear(error)
    except MemoryError:
        return Verdict.MEMORY, traceback.format_exc(limit=-6)
    except WrongError as error:
        return Verdict.CRASH, str(error)
    except Exception:  # boundary: anything that is no error of ours is a finding
        return Verdict.CRASH, traceback.format_exc(limit=-8)
    return (Verdict.ACCEPTED if accepted else Verdict.REFUSED), ""


def random_of(kind: str, seed: int, number: int) -> Random:
    """The generator of one input, the same on every machine."""
    return Random(f"{kind} {seed} {number}")


def _clear(error: IODeepError) -> tuple[Verdict, str]:
    """A refusal has a sentence that a person can read."""
    if len(error.problem) < 10 or len(str(error)) > 20_000:
        return Verdict.CRASH, f"not a clear error: {str(error)[:200]!r}"
    return Verdict.REFUSED, f"{type(error).__name__}: {str(error)[:600]}"


def _memory_now_kib() -> int:
    """Resident memory, from where its peak is counted anew (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_bytes(b"5")
    return _memory_peak_kib()


def _memory_peak_kib() -> int:
    status = Path("/proc/self/status").read_bytes()
    at = status.index(b"VmHWM:")
    return int(status[at + 6 : status.index(b"kB", at)])
