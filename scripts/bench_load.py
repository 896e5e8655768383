"""Many senders at once: the listener beside DCMTK's storescp and Orthanc, interleaved, and C-ECHO meanwhile; prints a table.

    scripts/bench load --associations 8 --instances 200 --kilobytes 512 --rounds 3
    scripts/bench load --series 3000

DCMTK's storescu sends, a process for each association, every one a CT series of its own; so the senders take as much of the
processor as the receiver, the same for all three. Every round starts each receiver anew in an empty folder on the same disk.
C-ECHO is asked over an association of its own each time, negotiation included. ``--series`` sends one series of so many
slices over one association to the whole intake process and tells what memory that took beyond idle.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from iodeep.settings import PacsSettings
from pacs_bridge import open_archive
from pacs_bridge.server_process import LOOPBACK, server_process
from tests.peers.servers import orthanc
from tests.synthetic import write_series

OURS = f"""
import sys, threading
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from iodeep.service.configuration import Configuration
from iodeep.service.intake.process import run_intake
from iodeep.service.serving import DataFolders, ServeContext
from iodeep.settings import PacsSettings, Settings
from tests.unit.service.intake.doubles import AuditLog
from tests.unit.service.jobs.fake_board import FakeBoard
root, port = Path(sys.argv[1]), int(sys.argv[2])
main = PacsSettings(name="main", host="127.0.0.1", port=104, aet="MAIN")
settings = Settings.model_validate({{
    "pacs": {{"main": main}},
    "serve": {{"listener": {{"port": port}}, "arrivals": {{"least_free_bytes": 0, "quiet_s": 3600.0}}}},
}})
board, stop = FakeBoard(), threading.Event()
run_intake(ServeContext("intake", Configuration(settings, None, root), DataFolders(root), stop, lambda: board,
                        lambda name: None, AuditLog, lambda what: None))
"""


@dataclass(frozen=True)
class Receiver:
    """A running receiver."""

    port: int
    aet: str
    pid: int


@dataclass
class Row:
    """What one kind of receiver did, a value for each round."""

    name: str
    speed: list[float] = field(default_factory=list)
    echo: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    failed: int = 0

    def line(self) -> str:
        ordered = sorted(self.echo) or [float("nan")]
        p95 = ordered[int(len(ordered) * 0.95)] if len(ordered) > 1 else ordered[0]
        low, high = min(self.speed), max(self.speed)
        return (
            f"{self.name:<10}{statistics.median(self.speed):>8.0f}{f'{low:.0f}-{high:.0f}':>12}"
            f"{statistics.median(ordered):>9.0f}{p95:>8.0f}{ordered[-1]:>8.0f}{max(self.memory):>9.0f}{self.failed:>8}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--associations", type=int, default=8, help="senders at once (%(default)s)")
    parser.add_argument("--instances", type=int, default=200, help="instances of each (%(default)s)")
    parser.add_argument("--kilobytes", type=int, default=512, help="KiB of pixels in each instance (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (%(default)s)")
    parser.add_argument("--series", type=int, default=0, help="one series of so many slices instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        if arguments.series:
            _memory_of_one_series(Path(folder), arguments.series, arguments.kilobytes)
        else:
            _load(Path(folder), arguments)


def _load(folder: Path, arguments: argparse.Namespace) -> None:
    sources = [
        _series(folder / f"source{n}", arguments.instances, arguments.kilobytes) for n in range(arguments.associations)
    ]
    rows = [Row("ours"), Row("storescp"), Row("Orthanc")]
    starts: list[Callable[[Path], object]] = [_ours, _storescp, _orthanc]
    for turn in range(arguments.rounds):
        order = range(3) if turn % 2 == 0 else reversed(range(3))
        for which in order:
            _measure(rows[which], starts[which], folder / f"{which}-{turn}", sources)
    print(f"{'':<10}{'MB/s':>8}{'':>12}{'C-ECHO ms':>9}{'':>8}{'':>8}{'memory':>9}{'failed':>8}")
    print(f"{'receiver':<10}{'median':>8}{'range':>12}{'median':>9}{'p95':>8}{'longest':>8}{'MB':>9}{'senders':>8}")
    for row in rows:
        print(row.line())


def _measure(row: Row, start: Callable[[Path], object], folder: Path, sources: list[Path]) -> None:
    megabytes = sum(path.stat().st_size for source in sources for path in source.iterdir()) / 1e6
    with start(folder) as receiver, _echoing(row, receiver):  # type: ignore[attr-defined]
        started = time.perf_counter()
        senders = [_storescu(receiver, source) for source in sources]
        row.failed += sum(sender.wait() != 0 for sender in senders)
        row.speed.append(megabytes / (time.perf_counter() - started))
        row.memory.append(_peak(receiver.pid))
    shutil.rmtree(folder)


def _memory_of_one_series(folder: Path, slices: int, kilobytes: int) -> None:
    source = _series(folder / "source", slices, kilobytes)
    with _ours(folder / "ours") as receiver:
        us = PacsSettings(name="ours", host=LOOPBACK, port=receiver.port, aet=receiver.aet)
        with open_archive(us) as archive:
            archive.echo()
        idle, started = _peak(receiver.pid), time.perf_counter()
        assert _storescu(receiver, source).wait() == 0
        seconds = time.perf_counter() - started
        megabytes = sum(path.stat().st_size for path in source.iterdir()) / 1e6
        peak = _peak(receiver.pid)
        print(f"{slices} slices, {megabytes:.0f} MB in {seconds:.1f} s: {megabytes / seconds:.0f} MB/s")
        print(f"memory of the intake process: {idle:.0f} MB idle, {peak:.0f} MB at most (+{peak - idle:.1f})")


def _series(folder: Path, count: int, kilobytes: int) -> Path:
    """A CT series whose slices have so many KiB of pixels, 512 columns wide."""
    rows = kilobytes * 1024 // (2 * 512)
    voxels = np.random.default_rng(1).integers(0, 4000, (1, rows, 512), dtype=np.int16)
    write_series(folder, np.broadcast_to(voxels, (count, rows, 512)), name=folder.name, study=folder.name)
    return folder


@contextmanager
def _ours(folder: Path) -> Iterator[Receiver]:
    folder.mkdir()

    def command(port: int) -> list[str]:
        return [sys.executable, "-P", "-c", OURS, str(folder / "data"), str(port)]

    with server_process("ours", command, log=folder / "log", ready=lambda _: True) as server:
        yield Receiver(server.port, "IODEEP", server.process.pid)


@contextmanager
def _storescp(folder: Path) -> Iterator[Receiver]:
    (folder / "data").mkdir(parents=True)

    def command(port: int) -> list[str]:
        return ["storescp", "--fork", "-aet", "STORESCP", "-od", str(folder / "data"), str(port)]

    os.environ["TCP_NODELAY"] = "1"
    with server_process("storescp", command, log=folder / "log", ready=lambda _: True) as server:
        yield Receiver(server.port, "STORESCP", server.process.pid)


@contextmanager
def _orthanc(folder: Path) -> Iterator[Receiver]:
    with orthanc(folder) as peer:
        yield Receiver(peer.port, peer.aet, peer.process.pid)


def _storescu(receiver: Receiver, source: Path) -> subprocess.Popen[bytes]:
    """DCMTK waits 40 ms a message without TCP_NODELAY."""
    return subprocess.Popen(
        ["storescu", "-aec", receiver.aet, "-aet", "IODEEP", LOOPBACK, str(receiver.port), "+sd", str(source)],
        env={**os.environ, "TCP_NODELAY": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@contextmanager
def _echoing(row: Row, receiver: Receiver) -> Iterator[None]:
    """Ask for an echo again and again, and note how long each took, association included."""
    done = threading.Event()
    settings = PacsSettings(name=row.name, host=LOOPBACK, port=receiver.port, aet=receiver.aet)

    def ask() -> None:
        while not done.wait(0.05):
            started = time.perf_counter()
            with open_archive(settings) as archive:
                archive.echo()
                row.echo.append((time.perf_counter() - started) * 1000)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        done.set()
        asking.join()


def _peak(pid: int) -> float:
    """MB at most so far of that process alone."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
