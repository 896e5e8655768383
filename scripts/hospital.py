"""A hospital for benchmarks: an Orthanc with a model and studies, `iodeep serve` beside it, and what its results are compared by."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from iodeep.card import ModelCard, card_of_document, read_card
from iodeep.inference import Engine
from iodeep.ports import Archive, Level, Wanted
from iodeep.service.jobs.database import database_url
from iodeep.service.packing import pack_network
from iodeep.settings import PacsSettings, Retrieve, RunSettings
from iodeep.terms import deterministic_uid
from pacs_bridge import open_archive
from pacs_bridge.server_process import free_port
from tests.networks import tiny_segmenter
from tests.peers.servers import Peer

HEAD = ROOT / "sample_data" / "mr-head"
SLICES = 8
LOOK_S = 0.02


class NotHappenedError(Exception):
    """What was waited for did not happen."""


@dataclass
class Study:
    """A copy of the sample series."""

    study: str
    series: str
    files: tuple[Path, ...]
    job_id: str = ""


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
[trust]
unsigned = "warn"
research = true
[lifecycle]
required = false
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


def wait_for(true: Callable[[], bool], seconds: float) -> None:
    """Return once it is true."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise NotHappenedError(f"not true after {seconds:g} s")
        time.sleep(LOOK_S)
