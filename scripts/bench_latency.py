"""How long a clinician waits beyond what can't be helped: from the last C-STORE of a routed series to its SEG in the archive.

``scripts/bench latency [--series N]``. The sample head under new UIDs is stored in a real Orthanc and routed to the listener of
`iodeep serve`, one series after the other; the quiet time and the network's own step are taken away from what is told:

    latency = (SEG and SR confirmed in the archive) - (last C-STORE answered) - quiet time - step "run"

Half of the series come as soon as the one before is done, when the worker is still warm; ``--apart S`` waits between them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hospital import Hospital, Service, wait_for

from iodeep.service.jobs import JobFilter, JobRecord, JobState
from iodeep.service.jobs.kept_board import open_board
from iodeep.settings import PacsSettings
from pacs_bridge import open_archive
from tests.peers.servers import orthanc

QUIET_S = 0.5
"""As ``bench_kill`` sets it."""


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=30)
    parser.add_argument("--apart", type=float, default=0.0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="iodeep-latency-"))
    try:
        with ExitStack() as stack:
            print(json.dumps(measured(stack, folder, options), indent=2))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measured(stack: ExitStack, folder: Path, options: argparse.Namespace) -> dict[str, object]:
    """Latencies of the series, and of their steps."""
    hospital = Hospital(folder, stack.enter_context(orthanc(folder / "orthanc")))
    hospital.store_model()
    service = Service(folder, hospital, "", ["all"], 1)
    service.start()
    stack.callback(service.stop)
    wait_for(lambda: all(map(service.ready, ("worker-1", "intake"))), 60)
    board = open_board(service.database, batch_delay_s=3600, dead_after_s=5)
    stack.callback(board.close)
    us = PacsSettings(name="us", host="127.0.0.1", port=service.dimse, aet="IODEEP", calling_aet="ORTHANC")
    done: list[tuple[float, JobRecord]] = []
    for _ in range(options.series):
        study = hospital.add()
        with open_archive(us) as listener:
            listener.store(study.files)
        answered = time.time()
        wanted = JobFilter(series_instance_uid=study.series, states=frozenset({JobState.DONE}))
        wait_for(lambda wanted=wanted: bool(board.list(wanted)), 120)  # type: ignore[misc]
        done.append((answered, board.list(wanted)[0]))
        time.sleep(options.apart)
    waits = sorted(_latency(answered, record) for answered, record in done[1:])
    steps = {step: statistics.median(r.seconds.get(step, 0.0) for _, r in done[1:]) for step in done[-1][1].seconds}
    started = [r.started.timestamp() - answered - QUIET_S for answered, r in done[1:] if r.started]
    return {
        "series": len(waits),
        "first_s": round(_latency(*done[0]), 2),
        "p50_s": round(statistics.median(waits), 2),
        "p95_s": round(waits[min(len(waits) - 1, int(0.95 * len(waits)))], 2),
        "max_s": round(waits[-1], 2),
        "median_to_start_s": round(statistics.median(started), 2),
        "median_steps_s": {step: round(seconds, 2) for step, seconds in steps.items()},
    }


def _latency(answered: float, record: JobRecord) -> float:
    assert record.finished is not None
    return record.finished.timestamp() - answered - QUIET_S - record.seconds.get("run", 0.0)


if __name__ == "__main__":
    main()
