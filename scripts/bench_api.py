"""Readers of the API at once: how long each waits, how many are served in a second, and what goes wrong.

`iodeep serve --role api` runs as a hospital would run it, on its own SQLite database with 500 jobs; each reader is a
keep-alive connection that asks again as soon as it has its answer. Server and readers share this machine's cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from iodeep.service.configuration import load_configuration
from iodeep.service.jobs import JobRequest
from iodeep.service.serving.composition import folders_of, job_board

SETTINGS = """
default_pacs = "main"
[pacs.main]
host = "127.0.0.1"
port = 1
aet = "MAIN"
[serve]
data = "{data}"
[serve.http]
port = 0
requests_per_minute = 1000000000
requests_per_minute_and_address = 1000000000
[serve.access]
anonymous = "viewer"
[serve.log]
level = "warning"
"""


@dataclass
class Seen:
    """What the readers of one address saw."""

    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-api-") as name:
        job_id = prepared(Path(name), options.jobs)
        paths = ("/api/v1/health", "/api/v1/jobs?limit=50", f"/api/v1/jobs/{job_id}", "/api/v1/jobs/counts")
        with service(Path(name)) as (server, port):
            asyncio.run(read(port, paths[1], 2, 1.0))  # imports and plans of queries are not measured
            rows = [measured(server, port, path, options.readers, options.seconds) for path in paths]
    shown(rows, options)


def prepared(folder: Path, count: int) -> str:
    """A settings file and a database with jobs; the id of one of them."""
    (folder / "iodeep.toml").write_text(SETTINGS.format(data=folder / "data"), encoding="utf-8")
    configuration = load_configuration(folder / "iodeep.toml")
    board = job_board(configuration, folders_of(configuration))
    for number in range(count):
        record, _ = board.submit(
            JobRequest(
                study_instance_uid=f"1.2.3.{number}",
                series_instance_uid=f"1.2.3.{number}.1",
                pacs="main",
                results_to="main",
            )
        )
    board.close()
    return record.job_id


@contextmanager
def service(folder: Path) -> Iterator[tuple[int, int]]:
    """The API alone, until the end of ``with``: its parent's process id, and the port that it listens on."""
    command = [sys.executable, "-m", "iodeep", "serve", "--role", "api", "--config", str(folder / "iodeep.toml")]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield process.pid, port_of(folder / "data" / "running" / "api.ready", process, folder / "log")
        finally:
            process.terminate()
            process.wait(60)


def port_of(ready: Path, process: subprocess.Popen[bytes], log: Path) -> int:
    ends = time.monotonic() + 60
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > ends:
            raise SystemExit(f"iodeep serve did not start:\n{log.read_text(encoding='utf-8')}")
        time.sleep(0.05)
    return int(json.loads(ready.read_text(encoding="utf-8"))["http"].rpartition(":")[2])


def measured(server: int, port: int, path: str, readers: int, seconds: float) -> dict[str, object]:
    before = cpu_s(server)
    began = time.monotonic()
    seen = asyncio.run(read(port, path, readers, seconds))
    took = time.monotonic() - began
    spent = cpu_s(server) - before
    cuts = statistics.quantiles(seen.seconds, n=100, method="inclusive")
    return {
        "path": path.partition("?")[0].replace(path.rpartition("/")[2], "{job_id}") if len(path) > 40 else path,
        "readers": readers,
        "requests": len(seen.seconds),
        "per_second": round(len(seen.seconds) / took),
        "p50_ms": round(cuts[49] * 1000),
        "p95_ms": round(cuts[94] * 1000),
        "p99_ms": round(cuts[98] * 1000),
        "cpu_ms": round(spent * 1000 / len(seen.seconds), 2),
        "errors": sum(seen.errors.values()),
        "kinds": dict(seen.errors),
    }


def cpu_s(server: int) -> float:
    """Processor time that the service has used: it says more than the rate where other work shares the machine."""
    tree = [psutil.Process(server), *psutil.Process(server).children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in tree)


async def read(port: int, path: str, readers: int, seconds: float) -> Seen:
    seen = Seen()
    ends = time.monotonic() + seconds
    await asyncio.gather(*(reader(port, path, ends, seen) for _ in range(readers)))
    return seen


async def reader(port: int, path: str, ends: float, seen: Seen) -> None:
    """One connection that asks until the time is over; what is wrong is counted, and the reader goes on with a new one."""
    asked = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    while time.monotonic() < ends:
        try:
            incoming, outgoing = await asyncio.open_connection("127.0.0.1", port)
            try:
                while time.monotonic() < ends:
                    began = time.monotonic()
                    outgoing.write(asked)
                    status = await answer(incoming)
                    seen.seconds.append(time.monotonic() - began)
                    if status != 200:
                        seen.errors[str(status)] += 1
            finally:
                outgoing.close()
        except (OSError, EOFError) as error:
            seen.errors[type(error).__name__] += 1
            await asyncio.sleep(0.1)


async def answer(incoming: asyncio.StreamReader) -> int:
    """The status, once the whole body is there."""
    head = (await incoming.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    await incoming.readexactly(length)
    return int(head.split(b" ", 2)[1])


def shown(rows: list[dict[str, object]], options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps({"cores": os.cpu_count(), "jobs": options.jobs, "rows": rows}, indent=2))
        return
    print(
        f"{options.readers} readers at once for {options.seconds:g} s each, {options.jobs} jobs, {os.cpu_count()} cores"
    )
    names = ("path", "requests", "per_second", "p50_ms", "p95_ms", "p99_ms", "cpu_ms", "errors")
    for row in (dict(zip(names, names, strict=True)), *rows):
        print(f"{row['path']!s:<26}" + "".join(f"{row[name]!s:>12}" for name in names[1:]))


if __name__ == "__main__":
    main()
