"""The embedded archive of the demo: pynetdicom's own qrscp, as installed, in a process and a folder of its own.

It needs no server to be installed, listens on loopback only, and ends with its parent. Hospitals bring their own PACS.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from configparser import ConfigParser
from contextlib import contextmanager
from pathlib import Path

from pynetdicom import AE, build_context

from iodeep.errors import LocalStorageError
from iodeep.settings import PacsSettings
from pacs_bridge import _tethered
from pacs_bridge.server_process import LOOPBACK, ServerProcess, server_process

MoveDestination = tuple[str, int]
"""AE title and port (on loopback) to which the archive may be asked to send by C-MOVE."""

_VERIFICATION = "1.2.840.10008.1.1"
_ECHO_SECONDS = 5.0
_LOG = logging.getLogger(__name__)


@contextmanager
def embedded_archive(
    folder: Path, *, aet: str = "IODEEP-DEMO", move_destinations: Sequence[MoveDestination] = ()
) -> Iterator[PacsSettings]:
    """An archive that keeps its instances in ``folder`` and runs until the block ends.

    A folder that was used before is served again. Raises :class:`~iodeep.errors.LocalStorageError` where the folder
    cannot be written and :class:`~iodeep.errors.ArchiveError` where the archive does not start.
    """
    with qrscp_process(folder, aet=aet, move_destinations=move_destinations) as server:
        yield PacsSettings(name="embedded", host=LOOPBACK, port=server.port, aet=aet)


@contextmanager
def qrscp_process(
    folder: Path, *, aet: str, move_destinations: Sequence[MoveDestination] = ()
) -> Iterator[ServerProcess]:
    """The process behind :func:`embedded_archive`, for those who want to look at it."""
    folder = folder.absolute()
    _make(folder)
    settings = folder / "qrscp.ini"

    def command(port: int) -> list[str]:
        _write_settings(settings, folder, aet, port, move_destinations)
        return [sys.executable, "-P", str(_tethered.__file__), "pynetdicom", "qrscp", "-c", str(settings)]

    with server_process(
        "the embedded archive (qrscp)",
        command,
        log=folder / "qrscp.log",
        ready=lambda port: answers_echo(port, aet),
    ) as server:
        _LOG.debug("embedded archive %s at port %d in %s", aet, server.port, folder)
        yield server


def answers_echo(port: int, aet: str, *, calling_aet: str = "IODEEP") -> bool:
    """Whether a server on loopback answers a C-ECHO with Success (PS3.4 Annex A)."""
    entity = AE(ae_title=calling_aet)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _ECHO_SECONDS
    association = entity.associate(LOOPBACK, port, [build_context(_VERIFICATION)], ae_title=aet)
    if not association.is_established:
        return False
    try:
        return bool(association.send_c_echo().get("Status") == 0x0000)
    finally:
        association.release()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalStorageError(
            f"the embedded archive's folder {folder} cannot be made: {error.strerror}",
            remedy="Name a folder that you may write to.",
        ) from error


def _write_settings(
    path: Path, folder: Path, aet: str, port: int, move_destinations: Sequence[MoveDestination]
) -> None:
    """The settings that qrscp comes with, at another place, name and port; everything else stays as it comes."""
    document = ConfigParser(interpolation=None)
    document["DEFAULT"] = {
        "ae_title": aet,
        "port": str(port),
        "max_pdu": "16382",
        "acse_timeout": "30",
        "dimse_timeout": "30",
        "network_timeout": "30",
        "bind_address": LOOPBACK,
        "instance_location": _percent_doubled(folder / "instances"),
        "database_location": _percent_doubled(folder / "instances.sqlite"),
        "log_identifier": "True",
    }
    for name, destination_port in move_destinations:
        document[name] = {"address": LOOPBACK, "port": str(destination_port)}
    try:
        with path.open("w", encoding="utf-8") as file:
            document.write(file)
    except OSError as error:
        raise LocalStorageError(
            f"{path} cannot be written: {error.strerror}", remedy="Name a folder that you may write to."
        ) from error


def _percent_doubled(path: Path) -> str:
    """A path as qrscp reads it: its own settings reader takes a percent sign for a reference."""
    return str(path).replace("%", "%%")
