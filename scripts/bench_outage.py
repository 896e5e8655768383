"""What the world does to a service: the archive is stopped, the line is cut, the disk fills. Nothing may be lost, and all has to end.

``scripts/bench outage [--series N] [--down-s 120] [--faults archive,line,disk]``. Series (the sample head under new UIDs) are sent to the
listener of `iodeep serve` by C-STORE and repeated until they are taken, as a PACS would; results go to a real Orthanc.

``archive``: Orthanc is stopped for ``--down-s`` seconds in the middle, and started again. ``line``: every other connection to the listener
is cut in the middle of a C-STORE. ``disk``: the spool lies on a file system that holds three series at a time.
In the end every series has one SEG and one SR; the service's warnings and errors are counted, the first of each kind shown.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hospital import Hospital, Service, Study, copied, digest_kind, wait_for

from iodeep.errors import ArchiveError
from iodeep.service.jobs import JobState
from iodeep.service.jobs.kept_board import KeptBoard, open_board
from iodeep.settings import PacsSettings
from pacs_bridge import open_archive
from tests.peers.servers import Peer, orthanc

PATIENCE_S = 900.0
SPOOL_MB = 3
"""Three series of eight slices of 128 KB, and not four."""


class BadLine:
    """Hands bytes on to the listener; every other connection is cut within its first 100 KB, which is within an instance."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._random = random.Random(1)
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> BadLine:
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _listen(self) -> None:
        with suppress(OSError):
            for number in itertools.count():
                ours, _ = self._socket.accept()
                most = self._random.randrange(1000, 100_000) if number % 2 else 1 << 40
                threading.Thread(target=self._serve, args=(ours, most), daemon=True).start()

    def _serve(self, ours: socket.socket, most: int) -> None:
        with ours, socket.create_connection(("127.0.0.1", self._target)) as theirs:
            threading.Thread(target=_pump, args=(theirs, ours, 1 << 40), daemon=True).start()
            _pump(ours, theirs, most)
            for end in (ours, theirs):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


def _pump(source: socket.socket, sink: socket.socket, most: int) -> None:
    with suppress(OSError):
        while most > 0 and (piece := source.recv(8192)):
            sink.sendall(piece[:most])
            most -= len(piece)
        sink.shutdown(socket.SHUT_WR)


class Sender:
    """A PACS that routes: it repeats what was not taken, instance by instance, until it is."""

    def __init__(self, port: int) -> None:
        self.settings = PacsSettings(
            name="us", host="127.0.0.1", port=port, aet="IODEEP", calling_aet="ORTHANC", timeout_s=10
        )
        self.refusals: Counter[str] = Counter()

    def send(self, study: Study) -> None:
        """All of the study."""
        for path in study.files:
            end = time.monotonic() + PATIENCE_S
            while True:
                try:
                    with open_archive(self.settings) as listener:
                        listener.store([path])
                    break
                except ArchiveError as error:
                    self.refusals[_kind(str(error))] += 1
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.5)


def _kind(text: str) -> str:
    return re.sub(r"[\d.]{3,}|/\S+|'[^']*'", "…", text)[:110]


def archive_down(peer: Peer, folder: Path, seconds: float, stack: ExitStack) -> Callable[[], None]:
    """Stop Orthanc, and start it again on the same port and data after ``seconds``."""

    def fault() -> None:
        peer.process.send_signal(signal.SIGTERM)
        peer.process.wait(30)
        time.sleep(seconds)
        command = [shutil.which("Orthanc") or "/usr/sbin/Orthanc", str(folder / "orthanc" / "orthanc.json")]
        with (folder / "orthanc-again.log").open("wb") as log:
            again = subprocess.Popen(command, stdout=log, stderr=log)
        stack.callback(again.wait, 30)
        stack.callback(again.terminate)

    return fault


def run(fault: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One fault, from start to end."""
    folder.mkdir()
    with ExitStack() as stack:
        peer = stack.enter_context(orthanc(folder / "orthanc"))
        hospital = Hospital(folder, peer)
        hospital.store_model()
        service = Service(folder, hospital, "", ["all"], 1, further=_spool(fault, folder, stack))
        service.start()
        stack.callback(service.stop)
        wait_for(lambda: all(map(service.ready, ("worker-1", "intake"))), 60)
        board = open_board(service.database, batch_delay_s=3600, dead_after_s=5)
        stack.callback(board.close)
        port = service.dimse
        if fault == "line":
            port = stack.enter_context(BadLine(service.dimse)).port
        sender = Sender(port)
        begun = time.monotonic()
        if fault == "archive":
            threading.Timer(5, archive_down(peer, folder, options.down_s, stack)).start()
        studies = [copied(folder / "studies" / str(number), number) for number in range(1, options.series + 1)]
        threads = [threading.Thread(target=sender.send, args=(study,)) for study in studies]
        for thread in threads:
            thread.start()
            time.sleep(options.apart)
        _let_through(fault, threads)
        wait_for(lambda: _done(board) >= len(studies), PATIENCE_S)
        seconds = time.monotonic() - begun
        found = [sorted(kind for kind, _ in map(digest_kind, hospital.results(s, folder / s.series))) for s in studies]
        return {
            "fault": fault,
            "series": len(studies),
            "seconds": round(seconds, 1),
            "states": {state.value: count for state, count in board.counts().items() if count},
            "with_one_seg_and_one_sr": sum(kinds == ["SEG", "SR"] for kinds in found),
            "sender_repeated": dict(sender.refusals.most_common(4)),
            "service_said": _said(service.log),
        }


def _spool(fault: str, folder: Path, stack: ExitStack) -> str:
    """Settings of a spool on a small file system, where that is the fault."""
    if fault != "disk":
        return ""
    small = folder / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SPOOL_MB}m", "tmpfs", str(small)], check=True)
    stack.callback(subprocess.run, ["umount", "--lazy", str(small)], check=True)
    return f'spool = "{small / "spool"}"\n'


def _let_through(fault: str, threads: list[threading.Thread]) -> None:
    """Wait until every sender has got rid of its series."""
    for thread in threads:
        thread.join(PATIENCE_S)
        if thread.is_alive():
            raise SystemExit(f"{fault}: a series was not taken within {PATIENCE_S:g} s")


def _done(board: KeptBoard) -> int:
    with suppress(Exception):
        return board.counts()[JobState.DONE]
    return 0


def _said(log: Path) -> dict[str, int]:
    """Warnings and errors, without what differs from one to the next."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    told = [line.partition("Z ")[2] for line in lines if re.search(r"Z (WARNING|ERROR)", line)]
    return dict(Counter(re.sub(r"[0-9a-f]{32}|[\d.]{3,}", "…", line)[:160] for line in told).most_common(8))


def main() -> None:
    """Each fault in turn; JSON at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=20)
    parser.add_argument("--down-s", type=float, default=120)
    parser.add_argument("--apart", type=float, default=1.0)
    parser.add_argument("--faults", type=lambda text: text.split(","), default=["archive", "line", "disk"])
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="iodeep-outage-"))
    try:
        runs = [run(fault, options, folder / fault) for fault in options.faults]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(runs, indent=2))
    sys.exit(any(each["with_one_seg_and_one_sr"] != each["series"] for each in runs))


if __name__ == "__main__":
    main()
