from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from iodeep.errors import ExitCode

ROOT = Path(__file__).resolve().parents[4]
LONG = 60.0


@contextmanager
def supervised(folder: Path, *children: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.unit.service.serving.supervised", str(folder), *children]
    started = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def until(true: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(LONG / 0.02)):
        if true():
            return
        pause.wait(0.02)
    raise AssertionError("it did not happen")


def pid_of(folder: Path, name: str) -> int:
    try:
        return int((folder / "running" / f"{name}.pid").read_text(encoding="ascii") or 0)
    except FileNotFoundError:
        return 0


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_child_that_is_killed_is_started_again_and_the_others_are_left_alone(tmp_path: Path) -> None:
    with supervised(tmp_path, "idle", "idle"):
        until((tmp_path / "all-ready").exists)
        first, other = pid_of(tmp_path, "idle-0"), pid_of(tmp_path, "idle-1")
        (tmp_path / "running" / "idle-0.ready").unlink()
        os.kill(first, signal.SIGKILL)
        until((tmp_path / "running" / "idle-0.ready").exists)

        assert pid_of(tmp_path, "idle-0") not in (0, first)
        assert pid_of(tmp_path, "idle-1") == other
        assert not gone(other)


def test_told_to_stop_it_lets_its_children_end_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with supervised(tmp_path, "idle", "idle") as supervisor:
        until((tmp_path / "all-ready").exists)
        pids = [pid_of(tmp_path, name) for name in ("idle-0", "idle-1")]
        supervisor.send_signal(signal.SIGTERM)

        assert supervisor.wait(LONG) == ExitCode.OK
    assert all(map(gone, pids))
    assert (tmp_path / "idle-0.stopped").exists()
    assert (tmp_path / "idle-1.stopped").exists()
    assert list((tmp_path / "running").iterdir()) == []


def test_told_twice_it_ends_those_that_do_not(tmp_path: Path) -> None:
    with supervised(tmp_path, "deaf", "idle") as supervisor:
        until((tmp_path / "all-ready").exists)
        deaf = pid_of(tmp_path, "deaf-0")
        supervisor.send_signal(signal.SIGTERM)
        until((tmp_path / "idle-1.stopped").exists)
        assert not gone(deaf)
        supervisor.send_signal(signal.SIGTERM)

        assert supervisor.wait(LONG) == ExitCode.OK
    assert gone(deaf)


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_children_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    with supervised(tmp_path, "deaf") as supervisor:
        until((tmp_path / "all-ready").exists)
        child = pid_of(tmp_path, "deaf-0")
        supervisor.kill()
        supervisor.wait(LONG)

        until(lambda: gone(child))


def test_settings_that_cannot_be_used_end_all_of_it(tmp_path: Path) -> None:
    with supervised(tmp_path, "idle", "wrong") as supervisor:
        assert supervisor.wait(LONG) == ExitCode.SETTINGS
    assert pid_of(tmp_path, "idle-0") == 0
