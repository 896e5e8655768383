"""The DICOMweb gateway in front of Orthanc by DIMSE, beside Orthanc's own DICOMweb plug-in: what a viewer waits for.

    scripts/bench gateway [--slices 200] [--rounds 3]

Each round asks both for the same CT series (512 x 512, 16 bits), one after the other, the gateway with an empty cache and
again with a full one: the first frame, every frame over 8 connections, and the series as one multipart answer. The
gateway runs in a process of its own, whose memory is told at the end.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import requests
from pydicom import dcmread

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from iodeep.settings import pacs_of_url
from pacs_bridge import open_archive
from pacs_bridge.server_process import free_port
from tests.peers.servers import orthanc
from tests.synthetic import write_series

CONNECTIONS = 8
OCTETS = {"Accept": 'multipart/related; type="application/octet-stream"'}
SERIES = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}


def serve(url: str, port: int, cache: str) -> None:
    import uvicorn
    from fastapi import FastAPI

    from pacs_bridge.gateway import Gateway

    app = FastAPI()
    app.include_router(
        Gateway(lambda _: open_archive(pacs_of_url(url)), Path(cache), 4 << 30).router(), prefix="/dicom-web"
    )
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def started(url: str, cache: Path) -> tuple[subprocess.Popen[bytes], str]:
    port = free_port()
    process = subprocess.Popen([sys.executable, __file__, "--serve", url, str(port), str(cache)])
    root = f"http://127.0.0.1:{port}/dicom-web"
    for _ in range(600):
        with suppress(OSError):
            urllib.request.urlopen(f"{root}/studies?limit=1", timeout=5).close()  # so that all is imported
            return process, root
        time.sleep(0.05)
    raise SystemExit("the gateway did not start")


class Reader:
    """A viewer with a few kept connections."""

    def __init__(self, root: str, study: str, series: str, uids: list[str]) -> None:
        self._url = f"{root}/studies/{study}/series/{series}"
        self._uids = uids

    def first_frame_ms(self) -> float:
        with requests.Session() as session:
            began = time.perf_counter()
            self._frame(session, self._uids[len(self._uids) // 2])
            return (time.perf_counter() - began) * 1000

    def all_frames_s(self) -> float:
        sessions = [requests.Session() for _ in range(CONNECTIONS)]
        began = time.perf_counter()
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            list(threads.map(lambda n: self._frame(sessions[n % CONNECTIONS], self._uids[n]), range(len(self._uids))))
        return time.perf_counter() - began

    def series_mb_s(self) -> float:
        began, size = time.perf_counter(), 0
        with requests.get(self._url, headers=SERIES, stream=True, timeout=300) as answer:
            answer.raise_for_status()
            for chunk in answer.iter_content(1 << 20):
                size += len(chunk)
        return size / 1e6 / (time.perf_counter() - began)

    def _frame(self, session: requests.Session, uid: str) -> None:
        answer = session.get(f"{self._url}/instances/{uid}/frames/1", headers=OCTETS, timeout=300)
        answer.raise_for_status()
        assert len(answer.content) > 512 * 512 * 2


def measure(slices: int, rounds: int) -> None:
    rng = np.random.default_rng(7)
    found: dict[tuple[str, str], list[float]] = {}
    memory = 0
    with tempfile.TemporaryDirectory() as temporary, orthanc(Path(temporary) / "orthanc") as peer:
        folder = Path(temporary)
        files = write_series(folder / "ct", rng.integers(0, 4096, (slices, 512, 512), dtype=np.int16))
        address = f"dicom://{peer.aet}@{peer.host}:{peer.port}?calling=IODEEP"
        with open_archive(pacs_of_url(address)) as archive:
            archive.store(files)
        first = dcmread(files[0], stop_before_pixels=True)
        uids = [str(dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID) for path in files]
        study, series = str(first.StudyInstanceUID), str(first.SeriesInstanceUID)
        everything = ("first_frame_ms", "all_frames_s", "series_mb_s")
        for number in range(rounds):
            frames, root = started(address, folder / f"frames{number}")
            whole, other = started(address, folder / f"series{number}")
            try:
                for name, at, what in (
                    ("plug-in", str(peer.dicomweb), everything),
                    ("gateway, cold", root, everything[:2]),
                    ("gateway, cold", other, everything[2:]),
                    ("gateway, warm", root, everything),
                ):
                    reader = Reader(at, study, series, uids)
                    for each in what:
                        found.setdefault((name, each), []).append(getattr(reader, each)())
                memory = max(memory, *(psutil.Process(each.pid).memory_info().rss for each in (frames, whole)))
            finally:
                for process in (frames, whole):
                    process.terminate()
                    process.wait()
    print(f"{slices} slices of 512 x 512, {rounds} rounds, median (least to greatest)")
    for (name, what), values in found.items():
        low, middle, high = min(values), statistics.median(values), max(values)
        print(f"{name:14} {what:15} {middle:9.2f}   ({low:.2f} to {high:.2f})")
    print(f"gateway's memory {memory / 1e6:.0f} MB")


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], int(sys.argv[3]), sys.argv[4])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    measure(options.slices, options.rounds)


if __name__ == "__main__":
    main()
