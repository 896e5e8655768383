"""`iodeep serve` as sites run it, in processes of its own, and whether it is still as it was."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pacs_bridge.server_process import LOOPBACK, free_port
from tests.hostile.judging import WrongError

ROOT = Path(__file__).resolve().parents[2]
START_S, ANSWER_S, GONE_S = 240.0, 10.0, 10.0
MOST_MIB = 700
"""Of a process of the service, all of its libraries included."""
_CONFIGURATION = """
default_pacs = "main"
[pacs.main]
host = "{pacs_host}"
port = {pacs_port}
aet = "{pacs_aet}"
[serve]
data = "{data}"
[serve.http]
port = {http}
requests_per_minute = 10000000
requests_per_minute_and_address = 10000000
max_body_bytes = 4194304
[serve.listener]
port = {dimse}
idle_s = 5
max_instance_bytes = 1048576
[serve.arrivals]
quiet_s = 3600
ask_pacs_for_count = false
least_free_bytes = 0
[serve.jobs]
drain_s = 1
[serve.access]
anonymous = "administrator"
"""


@dataclass
class Service:
    """The running service: its ports, its folders, and its processes by name."""

    http: int
    dimse: int
    folder: Path
    processes: dict[str, int]
    _read: int = 0

    @property
    def temporary(self) -> Path:
        """Where its temporary files go."""
        return self.folder / "tmp"

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / "serve.log"

    def check(self) -> None:
        """WrongError unless it is the same processes, of their size, that answer, and nothing was logged as a defect."""
        self.check_log()
        for name, pid in self.processes.items():
            if _pid_of(self.folder, name) != pid:
                raise WrongError(f"the process {name} died: {self._last_lines()}")
            if _peak_mib(pid) > MOST_MIB:
                raise WrongError(f"the process {name} grew to {_peak_mib(pid)} MiB")
        if self._health() != 200:
            raise WrongError("the service answers no more")
        self._nothing_left()

    def check_log(self) -> None:
        """WrongError where a traceback was logged since the last time."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            said = file.read()
        self._read += len(said)
        if b"Traceback" in said:
            raise WrongError(f"a defect was logged: {said[-3000:].decode('utf-8', 'replace')}")

    def _health(self) -> int:
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection(LOOPBACK, self.http, timeout=ANSWER_S)
            try:
                connection.request("GET", "/api/v1/health")
                return connection.getresponse().status
            finally:
                connection.close()
        return 0

    def _nothing_left(self) -> None:
        """What a request needed for a while is gone soon after it."""
        ends = time.monotonic() + GONE_S
        while left := [*self.temporary.iterdir(), *_entries(self.folder / "data" / "gateway" / "incoming")]:
            if time.monotonic() > ends:
                raise WrongError(f"it left {[path.name for path in left[:5]]} behind")
            time.sleep(0.05)

    def _last_lines(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-2000:]


@contextmanager
def service(folder: Path, pacs: tuple[str, int, str] = (LOOPBACK, 9, "NOBODY")) -> Iterator[Service]:
    """The API and the listener, without workers, for whoever asks on this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tmp").mkdir(exist_ok=True)
    http_port, dimse = free_port(), free_port()
    host, port, aet = pacs
    configuration = folder / "iodeep.toml"
    configuration.write_text(
        _CONFIGURATION.format(
            data=folder / "data", http=http_port, dimse=dimse, pacs_host=host, pacs_port=port, pacs_aet=aet
        ),
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "iodeep", "serve", "--config", str(configuration), "--workers", "0"]
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "IODEEP_CACHE": str(folder / "cache")}
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=ROOT)
    try:
        running = _ready(process, folder)
        yield Service(http_port, dimse, folder, running)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def connected(port: int, timeout: float = ANSWER_S) -> socket.socket:
    """A connection to one of its ports."""
    return socket.create_connection((LOOPBACK, port), timeout=timeout)


def _ready(process: subprocess.Popen[bytes], folder: Path) -> dict[str, int]:
    ends = time.monotonic() + START_S
    running = folder / "data" / "running"
    while time.monotonic() < ends and process.poll() is None:
        if {"api.ready", "intake.ready"} <= {path.name for path in _entries(running)}:
            return {path.stem: int(path.read_text()) for path in running.glob("*.pid")}
        time.sleep(0.05)
    raise RuntimeError((folder / "serve.log").read_text(encoding="utf-8")[-3000:])


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _pid_of(folder: Path, name: str) -> int | None:
    with suppress(OSError, ValueError):
        pid = int((folder / "data" / "running" / f"{name}.pid").read_text())
        os.kill(pid, 0)
        return pid
    return None


def _peak_mib(pid: int) -> int:
    with suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
        return int(found[1]) >> 10 if found else 0
    return 0
