"""The network is cut, the disk fills, the listener is killed: nothing is lost, and nothing half-written is ever seen."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from iodeep.errors import ArchiveError
from iodeep.settings import PacsSettings
from pacs_bridge import open_archive
from pacs_bridge.server_process import ServerProcess, server_process
from tests.unit.pacs_bridge.listener.harness import LOOPBACK, ct_slices, data_set, running

pytestmark = pytest.mark.peers
ROOT = Path(__file__).parents[2]


class CuttingProxy:
    """Hands bytes on to ``target``, and cuts the line after so many of them; 0: never."""

    def __init__(self, target: int, after: int) -> None:
        self._target = target
        self.after = after
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> CuttingProxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(20)
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                ours, _ = self._listener.accept()
            except OSError:
                return
            with ours, socket.create_connection((LOOPBACK, self._target)) as theirs:
                back = threading.Thread(target=_pump, args=(theirs, ours, 0), daemon=True)
                back.start()
                _pump(ours, theirs, self.after)
                for end in (ours, theirs):
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
                back.join(20)


def _pump(source: socket.socket, sink: socket.socket, most: int) -> None:
    moved = 0
    with contextlib.suppress(OSError):
        while piece := source.recv(8192):
            moved += len(piece)
            if most and moved > most:
                return
            sink.sendall(piece)


def test_a_line_that_is_cut_in_the_middle_of_an_instance_loses_nothing(tmp_path: Path) -> None:
    paths = ct_slices(tmp_path / "sent", 20)
    with running(tmp_path) as run, CuttingProxy(run.port, after=60_000) as proxy:
        us = PacsSettings(name="us", host=LOOPBACK, port=proxy.port, aet="IODEEP", timeout_s=10)
        with open_archive(us) as archive, pytest.raises(ArchiveError):
            archive.store(paths)
        run.no_associations()

        there = run.files()
        assert 0 < len(there) < 20
        _whole(there, paths)
        proxy.after = 0
        with open_archive(us) as archive:
            archive.store(paths)
        assert len(run.files()) == 20
        assert sum(instance.new for instance in run.told.instances) == 20
        _whole(run.files(), paths)


def _whole(there: list[Path], sent: list[Path]) -> None:
    """Every visible file holds just what was sent under its UID."""
    content = {data_set(path)[0].SOPInstanceUID: data_set(path)[1] for path in sent}
    for path in there:
        assert path.suffix == ".dcm"
        assert data_set(path)[1] == content[path.stem]


@contextlib.contextmanager
def listener_process(folder: Path, log: Path) -> Iterator[ServerProcess]:
    def command(port: int) -> list[str]:
        return [sys.executable, "-m", "tests.peers.listener_process", str(folder), str(port)]

    with server_process("listener", command, log=log, ready=lambda _: True) as server:
        yield server


@pytest.mark.slow
def test_a_listener_that_is_killed_loses_nothing_that_it_answered_for(tmp_path: Path) -> None:
    """Killed at ten moments while DCMTK sends 200 instances; what it said Success to is there, whole, each time."""
    storescu = shutil.which("storescu")
    if not storescu:
        pytest.skip("storescu is not installed (apt-get install dcmtk)")
    sent, spool = tmp_path / "sent", tmp_path / "spool"
    paths = ct_slices(sent, 200)
    for kill in range(10):
        with listener_process(spool, tmp_path / "log") as server:
            sending = subprocess.Popen(
                [storescu, "-v", "-aec", "IODEEP", LOOPBACK, str(server.port), "+sd", str(sent)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            _until(partial(_far_enough, spool, kill * 15, sending))
            os.kill(server.process.pid, signal.SIGKILL)
            said, _ = sending.communicate(timeout=60)
        visible = _visible(spool)
        _whole(visible, paths)
        answered_for = said.count("Received Store Response (Success)")
        assert len(visible) >= answered_for
        assert answered_for or not kill, "the first kill may come before the first answer"
        shutil.rmtree(spool) if kill < 9 else None
    with listener_process(spool, tmp_path / "log") as server:
        command = [storescu, "-aec", "IODEEP", LOOPBACK, str(server.port), "+sd", str(sent)]
        assert subprocess.run(command, check=False, timeout=60, capture_output=True).returncode == 0
        assert len(_visible(spool)) == 200
        _whole(_visible(spool), paths)
        assert list((spool / ".incoming").iterdir()) == []


def _far_enough(spool: Path, count: int, sending: subprocess.Popen[str]) -> bool:
    return len(_visible(spool)) > count or sending.poll() is not None


def _visible(spool: Path) -> list[Path]:
    return sorted(spool.glob("*/*/*.dcm"))


def _until(condition: Callable[[], bool]) -> None:
    ends, pause = time.monotonic() + 60, threading.Event()
    while not condition():
        assert time.monotonic() < ends
        pause.wait(0.002)


_ON_A_SMALL_DISK = """
mount -t tmpfs -o size=4m none "$1"
shift
exec "$@"
"""


@pytest.mark.parametrize("least_free", [0, 1 << 20], ids=["to the last byte", "to the watermark"])
def test_a_disk_that_fills_stops_storing_and_nothing_else(tmp_path: Path, least_free: int) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no mount namespace")
    script = [sys.executable, "-m", "tests.peers.full_disk", str(small), str(tmp_path / "sent"), str(least_free)]

    ended = subprocess.run(
        ["unshare", "-rm", "sh", "-c", _ON_A_SMALL_DISK, "sh", str(small), *script],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=120,
    )

    assert ended.stdout.strip().endswith("all well"), ended.stderr
