"""A server of ours is waited for, told apart from a stranger at its port, and always gone afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from iodeep.errors import ArchiveError, LocalStorageError
from pacs_bridge import _tethered, server_process
from pacs_bridge.server_process import PortTakenError, free_port
from pacs_bridge.server_process import server_process as running

LISTEN = """
import socket, sys, time
listener = socket.socket()
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen()
time.sleep(60)
"""


STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    time.sleep(60)
"""


def _python(script: str) -> Callable[[int], list[str]]:
    return lambda port: [sys.executable, "-c", textwrap.dedent(script), str(port)]


def _always(_: int) -> bool:
    return True


def test_a_server_that_listens_is_given_and_then_ended(tmp_path: Path) -> None:
    with running("it", _python(LISTEN), log=tmp_path / "log", ready=_always) as server:
        assert server.is_running()
        socket.create_connection(("127.0.0.1", server.port)).close()
    assert not server.is_running()


def test_it_is_ended_when_the_block_fails(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        running("it", _python(LISTEN), log=tmp_path / "log", ready=_always) as server,
    ):
        raise ZeroDivisionError
    assert not server.is_running()


def test_one_that_will_not_end_is_killed_and_its_children_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_process, "_STOP_SECONDS", 0.3)
    script = STUBBORN + LISTEN
    with running("it", _python(script), log=tmp_path / "log", ready=_always) as server:
        (child,) = psutil.Process(server.process.pid).children()
    assert server.process.returncode == -signal.SIGKILL
    psutil.wait_procs([child], timeout=5)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_one_that_ends_at_once_shows_its_log(tmp_path: Path) -> None:
    ends = _python("import sys; sys.exit('no such table')")
    with (
        pytest.raises(ArchiveError, match=r"it ended with 1 while starting.*no such table"),
        running("it", ends, log=tmp_path / "log", ready=_always),
    ):
        pass


def test_one_that_never_answers_is_ended_after_the_limit(tmp_path: Path) -> None:
    with (
        pytest.raises(ArchiveError, match=r"did not answer within 0\.5 s"),
        running("it", _python(LISTEN), log=tmp_path / "log", ready=lambda _: False, start_seconds=0.5),
    ):
        pass


def test_a_port_that_is_taken_meanwhile_is_tried_elsewhere(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        ports = [other.getsockname()[1]]

        def command(port: int) -> list[str]:
            return _python(LISTEN)(ports.pop() if ports else port)

        with running("it", command, log=tmp_path / "log", ready=_always) as server:
            assert server.is_running()
        assert ports == []


def test_a_stranger_at_the_port_is_never_taken_for_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        monkeypatch.setattr(server_process, "free_port", lambda: other.getsockname()[1])
        with (
            pytest.raises(PortTakenError, match="already in use"),
            running("it", _python(LISTEN), log=tmp_path / "log", ready=_always),
        ):
            pass


def test_a_program_that_is_missing_and_a_log_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    with (
        pytest.raises(ArchiveError, match="no-such-program cannot be started: No such file"),
        running("it", lambda _: ["no-such-program"], log=tmp_path / "log", ready=_always),
    ):
        pass
    with (
        pytest.raises(LocalStorageError, match="cannot be written"),
        running("it", _python(LISTEN), log=tmp_path / "no" / "log", ready=_always),
    ):
        pass


def test_free_ports_differ_from_those_in_use() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        assert free_port() != other.getsockname()[1]


def test_a_tethered_module_runs_as_a_program_and_ends_when_its_parent_is_gone(tmp_path: Path) -> None:
    (tmp_path / "waiter.py").write_text(
        "import sys, time\nassert __name__ == '__main__'\nprint(sys.argv[1:], flush=True)\ntime.sleep(60)\n"
    )
    read, write = os.pipe()
    command = [sys.executable, "-P", str(_tethered.__file__), "waiter", "a", "-b"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(command, stdin=read, stdout=subprocess.PIPE, env=environment) as process:
        os.close(read)
        assert process.stdout is not None
        assert process.stdout.readline() == b"['a', '-b']\n"
        os.close(write)
        assert process.wait(timeout=10) == 0
