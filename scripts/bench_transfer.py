"""Store and retrieve beside DCMTK's storescu and getscu on the same archives, interleaved; prints a table.

    scripts/bench transfer --megabytes 1024 --rounds 3
    scripts/bench transfer --peers orthanc qrscp --folder DIR

Parts of 64 MiB of Raw Data are made, or the DICOM files of --folder are taken. dcmqrscp keeps 1 GiB of a study, so it is
given at most 15 parts. Every transfer of ours runs in a process of its own, whose peak memory is told beside that of one
that only loads the program. DCMTK runs with TCP_NODELAY=1, without which it would wait 40 ms a message. Every store goes
to a study that the archive has not seen.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, RawDataStorage, generate_uid

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from iodeep.settings import Retrieve
from pacs_bridge.server_process import free_port
from tests.peers.servers import PEERS, Peer

MIB = 1 << 20
PART = 64 * MIB
MEMORY = """
import re
def memory():
    # ru_maxrss would count the process that started this one
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
"""
OURS = f"""{MEMORY}
import json, sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from iodeep.ports import Wanted
from iodeep.settings import PacsSettings
from pacs_bridge import open_archive
what, settings, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
with open_archive(PacsSettings.model_validate_json(settings)) as archive:
    archive.echo()
    started = time.perf_counter()
    if what == "store":
        archive.store([Path(path) for path in arguments])
    elif what == "fetch":
        archive.fetch(Wanted(arguments[0], arguments[1]), Path(arguments[2]))
    seconds = time.perf_counter() - started
print(json.dumps([seconds, memory()]))
"""


@dataclass
class Model:
    """Files of one study and series."""

    study: str
    series: str
    paths: list[Path]

    @property
    def megabytes(self) -> float:
        return sum(path.stat().st_size for path in self.paths) / 1e6


@dataclass
class Row:
    """One archive, one direction."""

    peer: str
    what: str
    ours: list[float] = field(default_factory=list)
    dcmtk: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    def line(self, idle: float) -> str:
        ours, dcmtk = statistics.median(self.ours), statistics.median(self.dcmtk)
        return (
            f"{self.peer:<10}{self.what:<14}{ours:>8.0f}{dcmtk:>8.0f}{ours / dcmtk:>8.2f}"
            f"{max(self.memory):>10.0f}{max(self.memory) - idle:>10.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1024, help="size of the model in MiB (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (%(default)s)")
    parser.add_argument("--peers", nargs="+", choices=sorted(PEERS), default=list(PEERS))
    parser.add_argument("--folder", type=Path, help="send the DICOM files of this folder instead")
    arguments = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for name in arguments.peers:
            rows += _bench(name, arguments, Path(folder) / name)
            shutil.rmtree(Path(folder) / name)
        idle = _idle()
    print(f"{'archive':<10}{'transfer':<14}{'ours':>8}{'DCMTK':>8}{'ratio':>8}{'peak MB':>10}{'over idle':>10}")
    print(f"{'':<24}{'MB/s':>8}{'MB/s':>8}")
    for row in rows:
        print(row.line(idle))


def _bench(name: str, arguments: argparse.Namespace, folder: Path) -> list[Row]:
    store, get, move = Row(name, "store"), Row(name, "C-GET"), Row(name, "C-MOVE/getscu")
    template = _model(arguments, folder / "source", name)
    destination = free_port()
    with ExitStack() as stack:
        peer = stack.enter_context(PEERS[name](folder / "peer", move_destinations=[("IODEEP", destination)]))
        for turn in range(arguments.rounds):
            ours, theirs = (_another(template, folder / f"{who}-{turn}") for who in ("ours", "theirs"))
            steps: list[Callable[[], None]] = [
                lambda ours=ours: _ours(store, ours, peer, "store", *map(str, ours.paths)),  # type: ignore[misc]
                lambda theirs=theirs: _storescu(store, theirs, peer),  # type: ignore[misc]
            ]
            for step in steps if turn % 2 == 0 else reversed(steps):
                step()
            for row, method in ((get, Retrieve.GET), (move, Retrieve.MOVE)):
                into = folder / "into"
                _ours(row, ours, peer, "fetch", ours.study, ours.series, str(into), method=method)
                shutil.rmtree(into)
                _getscu(row, ours, peer, into)
                shutil.rmtree(into)
            for model in (ours, theirs):
                shutil.rmtree(model.paths[0].parent)
    return [store, get, move]


def _ours(row: Row, model: Model, peer: Peer, what: str, *arguments: str, method: Retrieve = Retrieve.GET) -> None:
    settings = peer.settings(method).model_dump_json()
    done = subprocess.run(
        [sys.executable, "-P", "-c", OURS, what, settings, *arguments], check=True, capture_output=True, text=True
    )
    seconds, memory = json.loads(done.stdout)
    row.ours.append(model.megabytes / seconds)
    row.memory.append(memory)


def _idle() -> float:
    """MB of a process that has loaded everything and done nothing."""
    code = f"{MEMORY}\nimport pacs_bridge.dimse\nprint(memory())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    return float(done.stdout)


def _storescu(row: Row, model: Model, peer: Peer) -> None:
    _dcmtk(
        row,
        model,
        ["storescu", "--required", "-aec", peer.aet, "-aet", "IODEEP", peer.host, str(peer.port)],
        *map(str, model.paths),
    )


def _getscu(row: Row, model: Model, peer: Peer, into: Path) -> None:
    into.mkdir()
    keys = ("QueryRetrieveLevel=SERIES", f"StudyInstanceUID={model.study}", f"SeriesInstanceUID={model.series}")
    asked = [word for key in keys for word in ("-k", key)]
    _dcmtk(
        row,
        model,
        ["getscu", "-S", "-aec", peer.aet, "-aet", "IODEEP", "-od", str(into), *asked, peer.host, str(peer.port)],
    )
    assert len(list(into.iterdir())) == len(model.paths)


def _dcmtk(row: Row, model: Model, command: list[str], *files: str) -> None:
    started = time.perf_counter()
    subprocess.run([*command, *files], check=True, env={**os.environ, "TCP_NODELAY": "1"}, capture_output=True)
    row.dcmtk.append(model.megabytes / (time.perf_counter() - started))


def _model(arguments: argparse.Namespace, folder: Path, peer: str) -> Model:
    folder.mkdir(parents=True)
    if arguments.folder is not None:
        paths = [Path(shutil.copy(path, folder)) for path in sorted(arguments.folder.iterdir())]
        first = dcmread(paths[0], specific_tags=["StudyInstanceUID", "SeriesInstanceUID"])
        return Model(first.StudyInstanceUID, first.SeriesInstanceUID, paths)
    count = max(arguments.megabytes * MIB // PART, 1)
    study, series = generate_uid(), generate_uid()
    parts = min(count, 15) if peer == "dcmqrscp" else count
    return Model(study, series, [_part(folder, study, series, number) for number in range(1, parts + 1)])


def _part(folder: Path, study: str, series: str, number: int) -> Path:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = RawDataStorage, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.PatientName, dataset.PatientID, dataset.StudyID = "AIMODEL^BENCH", "AIM1.BENCH", "V1"
    dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber = "20260101", "", ""
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "OT", 1, number
    dataset.private_block(0x7FE1, "IODEEP AIMODEL 1", create=True).add_new(0x30, "OB", os.urandom(PART))
    path = folder / f"{number:04}.dcm"
    dcmwrite(path, dataset, enforce_file_format=True)
    return path


def _another(template: Model, folder: Path) -> Model:
    """The same content under UIDs that the archive has not seen, patched in place: all have the same length."""
    folder.mkdir()
    paths = [Path(shutil.copy(path, folder)) for path in template.paths]
    renamed: dict[str, str] = {}
    for path in paths:
        first = dcmread(path, specific_tags=["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
        uids = [str(first.SOPInstanceUID), str(first.StudyInstanceUID), str(first.SeriesInstanceUID)]
        with path.open("r+b") as file:
            head = file.read(4096)
            for uid in uids:
                renamed.setdefault(uid, uid[:-6] + os.urandom(3).hex().translate(str.maketrans("abcdef", "123456")))
                head = head.replace(uid.encode(), renamed[uid].encode())
            file.seek(0)
            file.write(head)
    return Model(renamed[template.study], renamed[template.series], paths)


if __name__ == "__main__":
    main()
