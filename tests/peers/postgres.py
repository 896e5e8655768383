"""A PostgreSQL server of a test's own: a cluster in a temporary folder, on a free loopback port, gone with its ``with`` block."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pacs_bridge.server_process import LOOPBACK, free_port
from tests.peers.servers import MissingPeerError

_START_S = 30.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
_OWNER = "postgres"


class PostgresServer:
    """A cluster that can be started, killed as a power cut would, and started again."""

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="iodeep-postgresql-"))  # where another user may go
        self.folder = self._home / "cluster"
        self.port = free_port()
        self._programs = _programs()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address of its database."""
        return f"postgresql://{_OWNER}@{LOOPBACK}:{self.port}/postgres"

    def initialise(self) -> None:
        """Make the cluster."""
        if os.geteuid() == 0:
            shutil.chown(self._home, _OWNER, _OWNER)
        command = [self._programs / "initdb", "-D", self.folder, "-U", _OWNER, "-A", "trust", "-E", "UTF8", "-N"]
        subprocess.run(command, check=True, capture_output=True, cwd="/", **_as_owner())  # type: ignore[call-overload]

    def start(self) -> None:
        """Start it and wait until it answers; after a kill the remains of the last one may be in the way for a moment."""
        end = time.monotonic() + _START_S
        while time.monotonic() < end:
            self._process = self._started()
            if self._answers(end):
                return
        raise MissingPeerError(f"PostgreSQL did not start: {self.log.read_text(encoding='utf-8')[-500:]}")

    def kill(self) -> None:
        """``kill -9`` of the postmaster; its children end when they see that."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End it at once, with its children."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            self._process.kill()
            self._process.wait()

    def remove(self) -> None:
        """Delete the cluster."""
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder.with_suffix(".log")

    def _started(self) -> subprocess.Popen[bytes]:
        command = [
            str(self._programs / "postgres"),
            *("-D", str(self.folder), "-p", str(self.port), "-c", f"listen_addresses={LOOPBACK}"),
            *("-c", "unix_socket_directories=", "-c", "max_connections=200"),
        ]
        with self.log.open("ab") as log:
            return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
                command,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                preexec_fn=_end_with_us,
                **_as_owner(),
            )

    def _answers(self, end: float) -> bool:
        assert self._process is not None
        ask = [str(self._programs / "pg_isready"), "-q", "-h", LOOPBACK, "-p", str(self.port)]
        while self._process.poll() is None and time.monotonic() < end:
            if subprocess.run(ask, check=False).returncode == 0:
                return True
        return False


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """A running server."""
    server = PostgresServer()
    try:
        server.initialise()
        server.start()
        yield server
    finally:
        server.stop()
        server.remove()


def _end_with_us() -> None:
    """In the child, after it has become its owner: the kernel ends it at once when the thread that started it ends (Linux).

    Not as the other servers' are, by a Python in between: the owner need not be allowed to run ours.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    if on_path is None:
        raise MissingPeerError("PostgreSQL is not installed (apt-get install postgresql)")
    return Path(on_path).parent


def _as_owner() -> dict[str, object]:
    """PostgreSQL refuses to run as root."""
    return {"user": _OWNER, "group": _OWNER, "extra_groups": []} if os.geteuid() == 0 else {}
