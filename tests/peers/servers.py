"""Real, unmodified archives, each on free loopback ports and in a folder of its own; free of pytest.

Apart from names, paths and ports every peer runs with its stock acceptance settings. Nothing outlives its ``with`` block.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Protocol

from iodeep.settings import PacsSettings, Retrieve
from pacs_bridge.embedded import MoveDestination, answers_echo, qrscp_process
from pacs_bridge.server_process import LOOPBACK, ServerProcess, free_port, server_process

CALLING_AET = "IODEEP"
_ORTHANC_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_UNUSED_PORT = 104


class MissingPeerError(Exception):
    """A peer's program is not installed on this machine."""


@dataclass(frozen=True)
class Peer:
    """A running archive and how to reach it."""

    name: str
    host: str
    port: int
    aet: str
    dicomweb: str | None
    process: subprocess.Popen[bytes]
    version: str
    log: Path
    move_destinations: tuple[MoveDestination, ...] = ()

    def settings(self, retrieve: Retrieve = Retrieve.AUTO, calling_aet: str = CALLING_AET) -> PacsSettings:
        """The archive over DIMSE, or over DICOMweb alone for ``Retrieve.WEB``."""
        if retrieve is Retrieve.WEB:
            return PacsSettings(name=self.name, dicomweb=self.dicomweb, retrieve=retrieve)
        return PacsSettings(
            name=self.name,
            host=self.host,
            port=self.port,
            aet=self.aet,
            calling_aet=calling_aet,
            retrieve=retrieve,
            move_port=dict(self.move_destinations).get(calling_aet, 0),
        )


class StartPeer(Protocol):
    """What each of this module's peers is started by."""

    def __call__(
        self, folder: Path, *, calling_aets: Sequence[str] = ..., move_destinations: Sequence[MoveDestination] = ...
    ) -> AbstractContextManager[Peer]:
        """The running peer."""


@contextmanager
def orthanc(
    folder: Path,
    *,
    calling_aets: Sequence[str] = (CALLING_AET,),
    move_destinations: Sequence[MoveDestination] = (),
    routing: str = "",
) -> Iterator[Peer]:
    """Debian's Orthanc with its DICOMweb plug-in; it answers queries only of AE titles that it knows.

    ``routing`` is a Lua script that it runs, as sites have it to route what comes in.
    """
    program = _program("Orthanc")
    if not _ORTHANC_PLUGIN.exists():
        raise MissingPeerError(
            f"Orthanc's DICOMweb plug-in is not at {_ORTHANC_PLUGIN} (apt-get install orthanc-dicomweb)"
        )
    settings = _made(folder) / "orthanc.json"
    ports = dict.fromkeys(calling_aets, _UNUSED_PORT) | dict(move_destinations)
    web: dict[int, int] = {}

    def command(port: int) -> list[str]:
        web[port] = free_port()
        document = _orthanc_document(folder.absolute(), port, web[port], ports)
        if routing:
            script = folder.absolute() / "routing.lua"
            script.write_text(routing, encoding="utf-8")
            document["LuaScripts"] = [str(script)]
        settings.write_text(json.dumps(document, indent=1), encoding="utf-8")
        return _ending_with_us(program, str(settings.absolute()))

    def ready(port: int) -> bool:
        return _answers_http(f"http://{LOOPBACK}:{web[port]}/system") and answers_echo(port, "ORTHANC")

    with server_process("Orthanc", command, log=folder / "orthanc.log", ready=ready) as server:
        root = f"http://{LOOPBACK}:{web[server.port]}/dicom-web"
        yield _peer("orthanc", server, "ORTHANC", _version(program), move_destinations, root)


@contextmanager
def dcmqrscp(
    folder: Path, *, calling_aets: Sequence[str] = (CALLING_AET,), move_destinations: Sequence[MoveDestination] = ()
) -> Iterator[Peer]:
    """DCMTK's dcmqrscp; it serves any calling AE title and keeps 1 GiB of a study."""
    program = _program("dcmqrscp")
    settings = _made(folder) / "dcmqrscp.cfg"
    _made(folder / "db")

    def command(port: int) -> list[str]:
        settings.write_text(_dcmqrscp_document(folder.absolute(), port, move_destinations), encoding="utf-8")
        return _ending_with_us(program, "-c", str(settings.absolute()))

    def ready(port: int) -> bool:
        return answers_echo(port, "DCMQR", calling_aet=calling_aets[0])

    with server_process("dcmqrscp", command, log=folder / "dcmqrscp.log", ready=ready) as server:
        yield _peer("dcmqrscp", server, "DCMQR", _version(program), move_destinations)


@contextmanager
def qrscp(
    folder: Path,
    *,
    calling_aets: Sequence[str] = (CALLING_AET,),
    move_destinations: Sequence[MoveDestination] = (),
) -> Iterator[Peer]:
    """pynetdicom's qrscp as the embedded archive runs it."""
    with qrscp_process(folder, aet="QRSCP", move_destinations=move_destinations) as server:
        yield _peer("qrscp", server, "QRSCP", f"pynetdicom {package_version('pynetdicom')}", move_destinations)


PEERS: dict[str, StartPeer] = {"orthanc": orthanc, "dcmqrscp": dcmqrscp, "qrscp": qrscp}


def _peer(
    name: str,
    server: ServerProcess,
    aet: str,
    version: str,
    move_destinations: Sequence[MoveDestination],
    dicomweb: str | None = None,
) -> Peer:
    return Peer(
        name, LOOPBACK, server.port, aet, dicomweb, server.process, version, server.log, tuple(move_destinations)
    )


def _orthanc_document(folder: Path, port: int, web_port: int, aets: dict[str, int]) -> dict[str, object]:
    return {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": web_port,
        "DicomPort": port,
        "DicomAet": "ORTHANC",
        "Plugins": [str(_ORTHANC_PLUGIN)],
        "DicomWeb": {
            "Enable": True,
            "Root": "/dicom-web/",
            "EnableWado": True,
            "WadoRoot": "/wado",
            "Host": "localhost",
            "Ssl": False,
        },
        "DicomModalities": {aet: [aet, LOOPBACK, aet_port] for aet, aet_port in aets.items()},
    }


def _dcmqrscp_document(folder: Path, port: int, move_destinations: Sequence[MoveDestination]) -> str:
    hosts = [f"dest{n} = ({aet}, {LOOPBACK}, {at})" for n, (aet, at) in enumerate(move_destinations)]
    lines = [
        f"NetworkTCPPort = {port}",
        "MaxPDUSize = 16384",
        "MaxAssociations = 16",
        "HostTable BEGIN",
        *hosts,
        "HostTable END",
        "VendorTable BEGIN",
        "VendorTable END",
        "AETable BEGIN",
        f"DCMQR {folder / 'db'} RW (400, 1024mb) ANY",
        "AETable END",
    ]
    return "\n".join(lines) + "\n"


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _program(name: str) -> str:
    """Debian puts Orthanc where only root looks."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if not found:
        raise MissingPeerError(f"{name} is not installed (apt-get install orthanc orthanc-dicomweb dcmtk)")
    return found


_END_WITH_PARENT = (
    "import ctypes,os,sys;"
    "ctypes.CDLL(None).prctl(1,15);"  # PR_SET_PDEATHSIG, SIGTERM: kept over the exec that follows
    "os.execv(sys.argv[1],sys.argv[1:])"
)


def _ending_with_us(*command: str) -> list[str]:
    """A foreign program that the kernel ends when the thread that started it ends (Linux)."""
    return [sys.executable, "-S", "-E", "-c", _END_WITH_PARENT, *command] if sys.platform == "linux" else [*command]


def _answers_http(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@cache
def _version(program: str) -> str:
    """What a program says of its version: DCMTK in an RCS keyword, Orthanc after its path."""
    finished = subprocess.run([program, "--version"], capture_output=True, check=False, text=True, timeout=30)
    lines = (finished.stdout or finished.stderr).splitlines()
    said = lines[0].strip("$ ").removeprefix("dcmtk: ") if lines else "unknown"
    return said.replace(program, Path(program).name)
