"""Whether the service loses, doubles or spoils anything when its processes are killed: ``kill -9`` at random moments, under load.

``scripts/bench kill [--kills N] [--studies N] [--database sqlite|postgresql] [--victims worker-1,api,intake,database]
[--through board|listener] [--workers N] [--seed N]``.
Series (the sample head under new UIDs, with a small network) lie in a real Orthanc; `iodeep serve` works on them while its processes
are killed one after another. More series are added as long as kills are left, so that there is always work. At the end each series
must have exactly one SEG and one SR, and these must hold what an unkilled run gives: the same data but for UIDs and times.

A kill of the database is ``kill -9`` of PostgreSQL's postmaster, or of everything that holds the SQLite file: the whole service.
Time to recover is from the kill until the killed process is there again and jobs go on. Prints a line per kill and JSON at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hospital import LOOK_S, Hospital, NotHappenedError, Service, Study, digest_kind, wait_for

from iodeep.errors import IODeepError
from iodeep.service.jobs import JobFilter, JobRequest, JobState
from iodeep.service.jobs.kept_board import KeptBoard, open_board
from iodeep.settings import PacsSettings
from pacs_bridge import open_archive
from tests.peers.postgres import PostgresServer, postgres
from tests.peers.servers import orthanc

BACKLOG = 6
RECOVER_S = 60.0
LAST_S = 300.0


@dataclass
class Tally:
    """What happened."""

    kills: list[dict[str, Any]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """For the last line."""
        times = sorted(each["recovered_s"] for each in self.kills)
        by_victim = {
            victim: [k["recovered_s"] for k in self.kills if k["victim"] == victim] for victim in _victims(self.kills)
        }
        return {
            "kills": len(self.kills),
            "lost": len(self.lost),
            "duplicated": len(self.duplicated),
            "wrong": len(self.wrong),
            "recovery_s": _spread(times),
            "recovery_s_by_victim": {victim: _spread(sorted(each)) for victim, each in by_victim.items()},
            "named": {"lost": self.lost, "duplicated": self.duplicated, "wrong": self.wrong},
        }


def _victims(kills: list[dict[str, Any]]) -> list[str]:
    return sorted({each["victim"] for each in kills})


def _spread(times: list[float]) -> dict[str, float]:
    if not times:
        return {}
    return {
        "median": round(statistics.median(times), 2),
        "p95": round(times[min(len(times) - 1, int(0.95 * len(times)))], 2),
        "max": round(times[-1], 2),
    }


class Siege:
    """Load and kills."""

    def __init__(
        self, hospital: Hospital, service: Service, server: PostgresServer | None, options: argparse.Namespace
    ) -> None:
        self.through: str = options.through
        self.hospital = hospital
        self.service = service
        self.server = server
        self.random = random.Random(options.seed)
        self.studies: list[Study] = []
        self.tally = Tally()
        self._board: KeptBoard | None = None

    @property
    def board(self) -> KeptBoard:
        """The jobs, once the database answers."""
        while self._board is None:
            with suppress(IODeepError):
                self._board = open_board(self.service.database, batch_delay_s=3600, dead_after_s=5)
        return self._board

    def ask(self) -> None:
        """One more study, and a job for it: asked for until that is known to be kept, as any caller would."""
        study = self.hospital.add()
        if self.through == "listener":
            insist(lambda: self._route(study))
        else:
            request = JobRequest(
                study_instance_uid=study.study, series_instance_uid=study.series, pacs="orthanc", results_to="orthanc"
            )
            insist(lambda: self.board.submit(request))
        self.studies.append(study)

    def _route(self, study: Study) -> None:
        """Send the series to the listener, as a PACS routes it: again and again until all of it was taken."""
        listener = PacsSettings(
            name="listener", host="127.0.0.1", port=self.service.dimse, aet="IODEEP", calling_aet="ROUTER"
        )
        with open_archive(listener) as archive:
            archive.store(study.files)

    def keep_busy(self, least: int) -> None:
        """There are always a few jobs open."""
        while len(self.studies) < least or self.open() < BACKLOG:
            self.ask()

    def open(self) -> int:
        """Studies whose job has not ended, or has not been made yet."""
        counts = insist(self.board.counts)
        return len(self.studies) - sum(count for state, count in counts.items() if state.final)

    def changed(self) -> float:
        """When a worker last did something."""
        found = insist(lambda: self.board.list(JobFilter(), limit=1))
        return found[0].updated.timestamp() if found else 0.0

    def kill(self, victim: str) -> None:
        """Kill, wait until all goes on, and note how long that took."""
        begun, clock = time.monotonic(), time.time()
        {"database": self._kill_database}.get(victim, lambda: self._kill_process(victim))()
        names = [victim] if victim != "database" else ["worker-1"]
        wait_for(
            lambda: all(map(self.service.ready, names)) and (self.changed() > clock or self.open() <= 0), RECOVER_S
        )
        took = time.monotonic() - begun
        self.tally.kills.append({"victim": victim, "recovered_s": took})
        done = sum(1 for _ in self.studies)
        print(
            f"kill {len(self.tally.kills)}: {victim}, recovered in {took:.2f} s, {done} studies, {self.open()} open",
            flush=True,
        )

    def _kill_process(self, name: str) -> None:
        pid = self.service.pid(name)
        if pid is None:
            return
        (self.service.data / "running" / f"{name}.ready").unlink(missing_ok=True)
        os.kill(pid, signal.SIGKILL)

    def _kill_database(self) -> None:
        if self.server is not None:
            self.server.kill()
            time.sleep(self.random.uniform(0, 0.5))
            self.server.start()
            return
        self.service.kill_all()
        self.service.start()

    def finish(self) -> None:
        """Wait until all is done; what is not by then is lost."""
        with suppress(NotHappenedError):
            wait_for(lambda: self.open() <= 0, LAST_S)

    def judge(self, reference: dict[str, str], folder: Path) -> None:
        """What was lost, doubled or spoilt."""
        for number, study in enumerate(self.studies):
            records = self.board.list(JobFilter(series_instance_uid=study.series))
            if [each.state for each in records] != [JobState.DONE]:
                self.tally.lost.append(f"{study.series}: {[(each.state, each.failure) for each in records]}")
            found = self.hospital.results(study, folder / str(number))
            kinds = sorted(digest_kind(path) for path in found)
            if len(found) > 2:
                self.tally.duplicated.append(f"{study.series}: {len(found)} instances")
            elif [kind for kind, _ in kinds] != ["SEG", "SR"]:
                self.tally.lost.append(f"{study.series}: {[kind for kind, _ in kinds]}")
            elif dict(kinds) != reference:
                self.tally.wrong.append(study.series)


def insist(ask: Callable[[], Any]) -> Any:
    """Ask until it answers."""
    end = time.monotonic() + RECOVER_S
    while True:
        try:
            return ask()
        except IODeepError:
            if time.monotonic() > end:
                raise
            time.sleep(LOOK_S)


@contextmanager
def siege(options: argparse.Namespace, folder: Path) -> Iterator[Siege]:
    """Orthanc, the database and the service, running."""
    with ExitStack() as stack:
        hospital = Hospital(folder, stack.enter_context(orthanc(folder / "orthanc")))
        hospital.store_model()
        server = stack.enter_context(postgres()) if options.database == "postgresql" else None
        parts = {*options.victims, "worker-1", *(["intake"] if options.through == "listener" else [])}
        roles = sorted({{"api": "api", "intake": "listener"}.get(part, "worker") for part in parts})
        service = Service(folder, hospital, server.url if server else "", roles, options.workers)
        service.start()
        stack.callback(service.stop)
        for name in ("worker-1", *({"api", "intake"} & parts)):
            wait_for(lambda name=name: service.ready(name), RECOVER_S)  # type: ignore[misc]
        yield Siege(hospital, service, server, options)


def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The bench; the first study is done before anything is killed, and is what the others are held against."""
    with siege(options, folder) as under:
        under.ask()
        under.finish()
        reference = dict(digest_kind(path) for path in under.hospital.results(under.studies[0], folder / "reference"))
        print(f"reference: {reference}", flush=True)
        begun = time.monotonic()
        for number in range(options.kills):
            under.keep_busy(max(1, options.studies * (number + 1) // options.kills))
            time.sleep(under.random.uniform(0.05, options.apart))
            under.kill(under.random.choice(options.victims))
        under.keep_busy(options.studies)
        under.finish()
        seconds = time.monotonic() - begun
        under.judge(reference, folder / "found")
        told = under.tally.document()
        return {
            "database": options.database,
            "workers": options.workers,
            "seed": options.seed,
            "studies": len(under.studies),
            "seconds": round(seconds, 1),
            **told,
        }


def parsed() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument(
        "--studies", type=int, default=10, help="at least so many; more are added while there are kills left"
    )
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--victims", type=lambda text: text.split(","), default=["worker-1", "database"])
    parser.add_argument("--through", choices=("board", "listener"), default="board", help="how work arrives")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--apart", type=float, default=1.5, help="at most so many seconds between recovery and the next kill"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="leave the folder with logs behind")
    return parser.parse_args()


def main() -> None:
    """Run, and print JSON; exit code 1 where anything was lost, doubled or spoilt."""
    options = parsed()
    folder = Path(tempfile.mkdtemp(prefix="iodeep-kill-"))
    try:
        told = run(options, folder)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"kept: {folder}", flush=True)
    print(json.dumps(told, indent=2))
    sys.exit(1 if told["lost"] or told["duplicated"] or told["wrong"] else 0)


if __name__ == "__main__":
    main()
