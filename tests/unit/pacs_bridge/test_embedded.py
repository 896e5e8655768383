"""The embedded archive is there within its block, keeps what it was given, and is gone afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from iodeep.errors import ArchiveError, LocalStorageError
from pacs_bridge.embedded import answers_echo, embedded_archive, qrscp_process


def test_it_answers_on_loopback_alone_and_is_gone_after_its_block(tmp_path: Path) -> None:
    folder = tmp_path / "100% demo"
    with embedded_archive(folder, move_destinations=[("IODEEP", 11113)]) as settings:
        assert (settings.host, settings.aet) == ("127.0.0.1", "IODEEP-DEMO")
        assert settings.port is not None
        assert answers_echo(settings.port, "IODEEP-DEMO")
        assert (folder / "instances.sqlite").exists()
        assert "[IODEEP]\naddress = 127.0.0.1\nport = 11113" in (folder / "qrscp.ini").read_text()
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect((settings.host, settings.port))


PARENT = """
import sys, pathlib
from pacs_bridge.embedded import qrscp_process
with qrscp_process(pathlib.Path(sys.argv[1]), aet="DEMO") as server:
    print(server.process.pid, flush=True)
    sys.stdin.read()
"""


def test_it_dies_with_its_parent_even_where_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        archive = psutil.Process(int(parent.stdout.readline()))
        assert archive.is_running()
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    psutil.wait_procs([archive], timeout=10)
    assert not archive.is_running()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalStorageError, match=r"folder .*cannot be made"), embedded_archive(tmp_path / "file" / "db"):
        pass


def test_settings_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    (tmp_path / "qrscp.ini").mkdir()
    with pytest.raises(LocalStorageError, match=r"qrscp\.ini cannot be written"), embedded_archive(tmp_path):
        pass


def test_a_database_that_is_none_is_told_with_the_log(tmp_path: Path) -> None:
    (tmp_path / "instances.sqlite").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(ArchiveError, match=r"ended with 1 while starting.*not a database"), embedded_archive(tmp_path):
        pass


def test_the_process_is_pynetdicoms_own_application(tmp_path: Path) -> None:
    with qrscp_process(tmp_path, aet="DEMO") as server:
        command = psutil.Process(server.process.pid).cmdline()
    assert command[-4:] == ["pynetdicom", "qrscp", "-c", str(tmp_path / "qrscp.ini")]
