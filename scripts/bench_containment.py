"""What the containment of the network's process costs: `iodeep run` on the sample series with it and without, in turn.

``scripts/bench containment [--pairs N]``. Each run is the command in a process of its own with an empty cache. Without:
the same command, whose inference process skips :func:`iodeep.inference.containment.contain`; nothing in the product does
that, the benchmark starts another program in the process's place. Then the call alone, in processes of its own. The aim:
under 5 % of the command, and under 0.3 s.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "scripts"))

from bench_overhead import cases, head_series, series_uid

from iodeep.inference import Engine
from iodeep.settings import RunSettings
from pacs_bridge import open_archive
from pacs_bridge.embedded import embedded_archive

FREE_WORKER = """#!{python} -I
import sys
from iodeep.inference import worker
worker.contain = lambda parent: {{}}
worker.main(sys.argv[4:])
"""
COMMAND = "import sys; {otherwise}from iodeep.service.cli import main; main()"
CALL = """
import os, time
import iodeep.inference.onnx_runtime
from iodeep.inference.containment import contain
begun = time.perf_counter()
contain(os.getppid())
os.write(1, str(time.perf_counter() - begun).encode())
"""


def free_worker(folder: Path) -> str:
    """What makes the command start another program in the inference process's place: one that contains nothing."""
    program = folder / "free-worker"
    program.write_text(FREE_WORKER.format(python=sys.executable))
    program.chmod(0o700)
    return f"sys.executable = {str(program)!r}; "


def command_seconds(url: str, subject: str, otherwise: str = "", **environment: str) -> tuple[float, float]:
    """Wall clock and CPU of one `iodeep run`; ``otherwise``: statements that the process begins with."""
    program = COMMAND.format(otherwise=otherwise)
    with tempfile.TemporaryDirectory() as cache:
        before, begun = _cpu(), time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", program, "run", subject, "--pacs", url, "--json"],
            env={**os.environ, "IODEEP_CACHE": cache, **environment}, stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        return time.perf_counter() - begun, _cpu() - before


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def call_seconds() -> float:
    """The call alone, after the imports of a run."""
    environment = {"OPENBLAS_NUM_THREADS": "1"}
    ended = subprocess.run([sys.executable, "-I", "-c", CALL], env=environment, capture_output=True, check=True)
    return float(ended.stdout)


def main() -> None:
    """Pairs of runs, each on a series of its own, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7)
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as name, embedded_archive(Path(name) / "archive") as settings:
        folder = Path(name)
        free = free_worker(folder)
        url = f"dicom://{settings.aet}@{settings.host}:{settings.port}"
        with Engine(RunSettings()) as engine:
            [(_, files)] = cases(["head"], folder, 12, engine)
            print("lacking:", "; ".join(engine.lacking) or "nothing")
        seen: dict[str, list[tuple[float, float]]] = {"with": [], "without": []}
        with open_archive(settings) as archive:
            archive.store(files)
            for number in range(2 * pairs):
                kind = ("with", "without")[(number + number // 2) % 2]  # the order changes from pair to pair
                paths = head_series(folder / f"head{number}", number)
                archive.store(paths)
                seen[kind].append(command_seconds(url, series_uid(paths[0]), free if kind == "without" else ""))
        medians = {kind: [statistics.median(each) for each in zip(*runs, strict=True)] for kind, runs in seen.items()}
        for kind, (wall, cpu) in medians.items():
            print(f"{kind:8} {wall:.3f} s, {cpu:.3f} CPU seconds (medians of {pairs})")
        wall, cpu = (a - b for a, b in zip(medians["with"], medians["without"], strict=True))
        share = wall / medians["without"][0]
        print(
            f"more     {wall * 1000:+.0f} ms = {share:+.1%}, {cpu * 1000:+.0f} CPU ms; aim: under 300 ms and under 5 %"
        )
    calls = [call_seconds() * 1000 for _ in range(pairs)]
    print(f"the call alone: median {statistics.median(calls):.1f} ms, longest {max(calls):.1f} ms")


if __name__ == "__main__":
    main()
