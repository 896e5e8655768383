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
import hashlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from iodeep.card import ModelCard, card_of_document, read_card
from iodeep.errors import IODeepError
from iodeep.inference import Engine
from iodeep.ports import Archive, Level, Wanted
from iodeep.service.jobs import JobFilter, JobRequest, JobState
from iodeep.service.jobs.database import database_url
from iodeep.service.jobs.kept_board import KeptBoard, open_board
from iodeep.service.packing import pack_network
from iodeep.settings import PacsSettings, Retrieve, RunSettings
from iodeep.terms import deterministic_uid
from pacs_bridge import open_archive
from pacs_bridge.server_process import free_port
from tests.networks import tiny_segmenter
from tests.peers.postgres import PostgresServer, postgres
from tests.peers.servers import Peer, orthanc

HEAD = ROOT / "sample_data" / "mr-head"
SLICES = 8
BACKLOG = 6
RECOVER_S = 60.0
LOOK_S = 0.02
LAST_S = 300.0


class NotHappenedError(Exception):
    """What was waited for did not happen."""


@dataclass
class Study:
    """A copy of the sample series."""

    study: str
    series: str
    files: tuple[Path, ...]
    job_id: str = ""


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


def small_card() -> ModelCard:
    """The sample card, made for a network of a few numbers."""
    document = read_card(ROOT / "sample_data" / "brain" / "card.yaml").model_dump(mode="json")
    document["version"] = "1.0.2"
    document["inputs"][0]["eligibility"] = {}
    document["preprocessing"] = [{"step": "orient", "axes": "RAS"}, {"step": "scale_range"}]
    document["network"] |= {"files": ["tiny.onnx"], "input_tensor": "input"}
    document["segmentation"] |= {"tensor": "output"}
    return card_of_document(document, "benchmark")


class Hospital:
    """An Orthanc with a model, to which studies are added, and which is asked for what it holds."""

    def __init__(self, folder: Path, peer: Peer) -> None:
        self.folder = folder
        self.peer = peer
        self.settings: PacsSettings = peer.settings(Retrieve.GET)
        self._made = 0

    def store_model(self) -> None:
        """Pack the small network and store it."""
        network = tiny_segmenter(self.folder / "tiny.onnx", threshold=0.25)
        with Engine(RunSettings()) as engine, self.archive() as archive:
            packed = pack_network(network, small_card(), self.folder / "model", engine, self_test_series=HEAD)
            archive.store(packed.model.files)

    def archive(self) -> Archive:
        """A connection."""
        return open_archive(self.settings)

    def add(self) -> Study:
        """One more study, stored."""
        self._made += 1
        study = copied(self.folder / "studies" / str(self._made), self._made)
        with self.archive() as archive:
            archive.store(study.files)
        return study

    def results(self, study: Study, into: Path) -> list[Path]:
        """All that the study holds beside its series."""
        with self.archive() as archive:
            rows = archive.find(Level.SERIES, {"StudyInstanceUID": study.study}, ("SeriesInstanceUID", "Modality"))
            wanted = [row["SeriesInstanceUID"] for row in rows if row["Modality"] in ("SEG", "SR")]
            return [path for uid in wanted for path in archive.fetch(Wanted(study.study, uid), into / uid)]


def copied(folder: Path, number: int) -> Study:
    """The middle of the sample head as another patient's."""
    folder.mkdir(parents=True)
    study, series = (deterministic_uid("bench kill", str(number), what) for what in ("study", "series"))
    files = []
    for source in sorted(HEAD.glob("*.dcm"))[6 : 6 + SLICES]:
        image = pydicom.dcmread(source)
        image.PatientID, image.PatientName = f"KILL{number:05}", f"KILL^{number}"
        image.StudyInstanceUID, image.SeriesInstanceUID = study, series
        image.SOPInstanceUID = deterministic_uid("bench kill", str(number), source.name)
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        files.append(folder / source.name)
        image.save_as(files[-1])
    return Study(study, series, tuple(files))


class Service:
    """`iodeep serve` in a process of its own."""

    def __init__(
        self, folder: Path, hospital: Hospital, database: str, roles: list[str], workers: int, further: str = ""
    ) -> None:
        self.data = folder / "data"
        self.log = folder / "serve.log"
        self.http, self.dimse = free_port(), free_port()
        self._roles, self._workers = roles, workers
        self._process: subprocess.Popen[bytes] | None = None
        self._cache = folder / "cache"
        self._configuration = folder / "iodeep.toml"
        self.database = database_url(database, self.data / "jobs.sqlite")
        self._configuration.write_text(self._toml(hospital, database) + further, encoding="utf-8")

    def _toml(self, hospital: Hospital, database: str) -> str:
        pacs = hospital.settings
        return f"""
default_pacs = "orthanc"
[pacs.orthanc]
host = "{pacs.host}"
port = {pacs.port}
aet = "{pacs.aet}"
retrieve = "get"
[serve]
data = "{self.data}"
[serve.jobs]
database = "{database}"
attempts = 20
first_retry_s = 0.5
dead_after_s = 5
drain_s = 5
[serve.http]
port = {self.http}
[serve.listener]
port = {self.dimse}
[serve.arrivals]
quiet_s = 0.5
least_free_bytes = 0
"""

    def start(self) -> None:
        """Start it."""
        command = [
            sys.executable,
            "-m",
            "iodeep",
            "serve",
            "--config",
            str(self._configuration),
            "--workers",
            str(self._workers),
        ]
        for role in self._roles:
            command += ["--role", role]
        environment = {**os.environ, "IODEEP_CACHE": str(self._cache)}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=ROOT)

    def pid(self, name: str) -> int | None:
        """The process called ``name``, None while there is none."""
        with suppress(OSError, ValueError):
            pid = int((self.data / "running" / f"{name}.pid").read_text())
            os.kill(pid, 0)
            return pid
        return None

    def ready(self, name: str) -> bool:
        """Whether the process says that it is there."""
        return self.pid(name) is not None and (self.data / "running" / f"{name}.ready").exists()

    def kill_all(self) -> None:
        """The supervisor; the kernel ends the others with it."""
        assert self._process is not None
        pids = [self.pid(path.stem) for path in (self.data / "running").glob("*.pid")]
        self._process.kill()
        self._process.wait()
        for pid in filter(None, pids):
            _wait_gone(pid)

    def stop(self) -> None:
        """End it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _wait_gone(pid: int) -> None:
    with suppress(ProcessLookupError):
        for _ in range(500):
            os.kill(pid, 0)
            time.sleep(LOOK_S)


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


def digest_kind(path: Path) -> tuple[str, str]:
    """A result's modality, and the digest of what it says whenever it is made and whatever it is called."""
    dataset = pydicom.dcmread(path)
    names: dict[str, int] = {}
    digest = hashlib.sha256()
    for element in walked(dataset):
        value: Any = element.value
        if element.VR in ("DA", "TM", "DT") or element.keyword in ("PatientID", "PatientName"):
            value = ""
        elif element.VR == "UI":
            value = [
                names.setdefault(str(each), len(names)) for each in ([value] if isinstance(value, str) else value or [])
            ]
        elif element.VR in ("OB", "OW", "OF", "UN"):
            value = hashlib.sha256(bytes(value or b"")).hexdigest()
        digest.update(f"{element.tag} {element.VR} {masked(str(value))}\n".encode())
    return str(dataset.Modality), digest.hexdigest()


def masked(text: str) -> str:
    """Without the UIDs that stand in texts."""
    return " ".join("UID" if "2.25." in word else word for word in text.split(" "))


def walked(dataset: pydicom.Dataset) -> Iterator[pydicom.DataElement]:
    """All elements but sequences themselves, in their order."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from walked(item)
        else:
            yield element


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


def wait_for(true: Callable[[], bool], seconds: float) -> None:
    """Return once it is true."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise NotHappenedError(f"not true after {seconds:g} s")
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
