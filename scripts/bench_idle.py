"""What `iodeep serve` costs while nothing happens: CPU time and memory of all its processes.

``scripts/bench idle [--seconds 3600]``. All roles run, with one worker, an Orthanc that is polled every minute, and no work. Memory
is the proportional set size (what the processes share is counted once), beside the sum of what each has resident.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hospital import Hospital, Service, wait_for

from tests.peers.servers import orthanc

SETTLE_S = 30.0


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3600)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="iodeep-idle-"))
    try:
        with ExitStack() as stack:
            print(json.dumps(measured(stack, folder, options.seconds), indent=2))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measured(stack: ExitStack, folder: Path, seconds: float) -> dict[str, Any]:
    """CPU share and memory of each process and of all."""
    hospital = Hospital(folder, stack.enter_context(orthanc(folder / "orthanc")))
    hospital.store_model()
    service = Service(folder, hospital, "", ["all"], 1, further='[[serve.polls]]\npacs = "orthanc"\n')
    service.start()
    stack.callback(service.stop)
    names = ("worker-1", "intake", "api")
    wait_for(lambda: all(map(service.ready, names)), 60)
    time.sleep(SETTLE_S)
    processes = {name: psutil.Process(service.pid(name)) for name in (*names,)}
    processes["supervisor"] = processes["api"].parent()
    before = {name: _cpu(process) for name, process in processes.items()}
    begun = time.monotonic()
    time.sleep(seconds)
    spent = time.monotonic() - begun
    told = {
        name: {
            "cpu_percent_of_a_core": round(100 * (_cpu(process) - before[name]) / spent, 3),
            "pss_mb": round(process.memory_full_info().pss / 1e6, 1),
            "rss_mb": round(process.memory_info().rss / 1e6, 1),
        }
        for name, process in processes.items()
    }
    total = {key: round(sum(each[key] for each in told.values()), 2) for key in next(iter(told.values()))}
    return {"seconds": round(spent), "processes": told, "all": total}


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
