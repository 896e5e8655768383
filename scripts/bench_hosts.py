"""What a second worker host brings, and what happens when one dies: two hosts with folders of their own on one PostgreSQL.

``scripts/bench hosts [--jobs N] [--inference-s S]``. Inference is simulated: the small network is run, and then waited for until
``S`` seconds are over, so that the hosts' work and not this machine's cores is what is measured. Three runs: one host, two hosts,
and two of which one is killed (``kill -9``) while it works; in the last every job has to end with one SEG and one SR all the same.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hospital import Hospital, digest_kind, wait_for

from iodeep import inference
from iodeep.errors import CancelledError
from iodeep.ports import Cancellation
from iodeep.prediction import Prediction
from iodeep.service.configuration import load_configuration
from iodeep.service.jobs import JobRequest, JobState
from iodeep.service.jobs.database import database_url
from iodeep.service.jobs.kept_board import open_board
from iodeep.service.serving.composition import context_for, folders_of
from iodeep.service.serving.working import run_worker
from tests.peers.postgres import postgres
from tests.peers.servers import orthanc

LIMIT_S = 600.0
DEAD_AFTER_S = 5


class SlowEngine(inference.Engine):
    """Takes its time."""

    seconds = 5.0

    def run(self, *arguments: Any, cancel: Cancellation | None = None, **options: Any) -> Prediction:
        """The prediction, no sooner than after ``seconds``."""
        end = time.monotonic() + self.seconds
        prediction = super().run(*arguments, cancel=cancel, **options)
        while time.monotonic() < end:
            if cancel is not None and cancel.is_set():
                raise CancelledError("the run was cancelled")
            time.sleep(0.05)
        return prediction


class Host:
    """One worker on a machine of its own, as far as files and processes go."""

    def __init__(self, name: str, folder: Path, hospital: Hospital, database: str, seconds: float) -> None:
        pacs = hospital.settings
        self.folder = folder / name
        self.folder.mkdir()
        (self.folder / "iodeep.toml").write_text(
            f"""
[pacs.orthanc]
host = "{pacs.host}"
port = {pacs.port}
aet = "{pacs.aet}"
retrieve = "get"
[trust]
unsigned = "warn"
research = true
[lifecycle]
required = false
[serve]
data = "{self.folder / "data"}"
[serve.jobs]
database = "{database}"
host = "{name}"
dead_after_s = {DEAD_AFTER_S}
""",
            encoding="utf-8",
        )
        command = [
            sys.executable,
            __file__,
            "--be-host",
            str(self.folder / "iodeep.toml"),
            "--inference-s",
            str(seconds),
        ]
        environment = {**os.environ, "IODEEP_CACHE": str(self.folder / "cache")}
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        wait_for((self.folder / "data" / "running" / "worker-1.ready").exists, 60)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Signal it, and wait for its end."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)
            self._process.wait(90)


def be_host(configuration_file: Path, seconds: float) -> None:
    """A worker whose networks take ``seconds``."""
    SlowEngine.seconds = seconds
    inference.Engine = SlowEngine  # type: ignore[misc]
    configuration = load_configuration(configuration_file)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run_worker(context_for("worker-1", configuration, folders_of(configuration), stop))


def run(names: tuple[str, ...], kill: bool, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Jobs a minute with these hosts, and what was found in the archive in the end."""
    folder.mkdir()
    with ExitStack() as stack:
        hospital = Hospital(folder, stack.enter_context(orthanc(folder / "orthanc")))
        hospital.store_model()
        server = stack.enter_context(postgres())
        board = open_board(database_url(server.url, folder / "unused"), batch_delay_s=3600, dead_after_s=DEAD_AFTER_S)
        stack.callback(board.close)
        hosts = [Host(name, folder, hospital, server.url, options.inference_s) for name in names]
        for host in hosts:
            stack.callback(host.end)
        studies = [hospital.add() for _ in range(options.jobs)]
        begun = time.monotonic()
        for study in studies:
            request = JobRequest(
                study_instance_uid=study.study, series_instance_uid=study.series, pacs="orthanc", results_to="orthanc"
            )
            study.job_id = board.submit(request)[0].job_id
        if kill:
            wait_for(lambda: board.counts()[JobState.DONE] >= options.jobs // 3, LIMIT_S)
            hosts[0].end(signal.SIGKILL)
        wait_for(lambda: sum(n for state, n in board.counts().items() if not state.final) == 0, LIMIT_S)
        seconds = time.monotonic() - begun
        found = [sorted(kind for kind, _ in map(digest_kind, hospital.results(s, folder / s.series))) for s in studies]
        records = [board.get(study.job_id) for study in studies]
        return {
            "hosts": len(names),
            "killed": int(kill),
            "jobs": len(studies),
            "seconds": round(seconds, 1),
            "jobs_a_minute": round(60 * len(studies) / seconds, 2),
            "done": sum(record.state is JobState.DONE for record in records),
            "with_one_seg_and_one_sr": sum(kinds == ["SEG", "SR"] for kinds in found),
            "by_worker": {name: sum(record.worker.startswith(f"{name}/") for record in records) for name in names},
        }


def main() -> None:
    """The three runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=16)
    parser.add_argument("--inference-s", type=float, default=5.0)
    parser.add_argument("--be-host", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be_host:
        be_host(options.be_host, options.inference_s)
        return
    folder = Path(tempfile.mkdtemp(prefix="iodeep-hosts-"))
    try:
        runs = [
            run(("east",), False, options, folder / "one"),
            run(("east", "west"), False, options, folder / "two"),
            run(("east", "west"), True, options, folder / "killed"),
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    told = {"runs": runs, "second_host_brings": round(runs[1]["jobs_a_minute"] / runs[0]["jobs_a_minute"], 2)}
    print(json.dumps(told, indent=2))
    sys.exit(any(each["with_one_seg_and_one_sr"] != each["jobs"] for each in runs))


if __name__ == "__main__":
    main()
