"""A server program in a process of its own: started on a port that was free, waited for, and always ended.

The rule: nothing of it outlives the ``with`` block, and no step waits without a limit.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from iodeep.errors import ArchiveError, LocalStorageError

LOOPBACK = "127.0.0.1"
START_SECONDS = 30.0
_POLL_SECONDS = 0.05
_STOP_SECONDS = 5.0
_ATTEMPTS = 5
_LOG_LINES = 3
_LOG_TAIL = 600


class PortTakenError(ArchiveError):
    """Another program got the port between our asking for it and the server's taking it."""


@dataclass(frozen=True)
class ServerProcess:
    """A server that answered at its port."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None


Ready = Callable[[int], bool]
"""Whether the server at a port answers as it should; asked again until it does."""


def free_port() -> int:
    """A TCP port on loopback that nobody listens on at this moment."""
    with closing(socket.socket()) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def server_process(
    name: str,
    command: Callable[[int], Sequence[str]],
    *,
    log: Path,
    ready: Ready,
    start_seconds: float = START_SECONDS,
) -> Iterator[ServerProcess]:
    """Run ``command(port)`` until the block ends, having waited until it answers.

    A start that fails because the port was taken is tried again on another port. Raises
    :class:`~iodeep.errors.ArchiveError` with the end of the server's log where it does not start.
    """
    server = _started_somewhere(name, command, log, ready, start_seconds)
    try:
        yield server
    finally:
        _stop(server.process)


def _started_somewhere(
    name: str, command: Callable[[int], Sequence[str]], log: Path, ready: Ready, start_seconds: float
) -> ServerProcess:
    for _ in range(_ATTEMPTS - 1):
        with suppress(PortTakenError):
            return _started(name, command, log, ready, start_seconds)
    return _started(name, command, log, ready, start_seconds)


def _started(
    name: str, command: Callable[[int], Sequence[str]], log: Path, ready: Ready, start_seconds: float
) -> ServerProcess:
    port = free_port()
    server = ServerProcess(name, port, _spawn(command(port), log), log)
    try:
        _wait_until_ready(server, ready, start_seconds)
    except BaseException:
        _stop(server.process)
        raise
    return server


def _spawn(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """A process in a session of its own (its children end with it) whose input closes when we are gone."""
    try:
        output = log.open("wb")
    except OSError as error:
        raise LocalStorageError(f"{log} cannot be written: {error.strerror}") from error
    with output:
        try:
            return subprocess.Popen(
                list(command), stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
            )
        except OSError as error:
            raise ArchiveError(
                f"{command[0]} cannot be started: {error.strerror}", remedy="Install it, or name another PACS."
            ) from error


def _wait_until_ready(server: ServerProcess, ready: Ready, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(subprocess.TimeoutExpired):
            server.process.wait(timeout=_POLL_SECONDS)
        if not server.is_running():
            raise _ended(server)
        if _listens(server) and ready(server.port):
            return
    raise ArchiveError(f"{server.name} did not answer within {seconds:g} s", found=_last_lines(server.log))


def _listens(server: ServerProcess) -> bool:
    """Whether the port is this server's own; who else answers there must not be taken for it."""
    try:
        sockets = psutil.Process(server.process.pid).net_connections(kind="tcp")
    except psutil.NoSuchProcess:
        return False
    return any(s.status == psutil.CONN_LISTEN and s.laddr.port == server.port for s in sockets)


def _ended(server: ServerProcess) -> ArchiveError:
    log = server.log.read_text(encoding="utf-8", errors="replace").lower()
    taken = "already in use" in log  # in these words from Python, DCMTK and Orthanc
    kind = PortTakenError if taken else ArchiveError
    return kind(
        f"{server.name} ended with {server.process.returncode} while starting",
        found=_last_lines(server.log),
        remedy=f"The whole log is {server.log}.",
    )


def _last_lines(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return " | ".join([line.strip() for line in lines if line.strip()][-_LOG_LINES:])[-_LOG_TAIL:] or "an empty log"


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the server's own session to end, and make it end."""
    _signal(process, signal.SIGTERM)
    try:
        process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _signal(process, signal.SIGKILL)
        process.wait(timeout=_STOP_SECONDS)
        if process.stdin:
            process.stdin.close()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
