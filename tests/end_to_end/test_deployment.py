"""What `deploy/` sets up, without containers: its files agree with each other, and the same commands and settings do the work."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from iodeep.ports import Level
from iodeep.service.configuration import load_configuration
from iodeep.settings import PacsSettings, Retrieve
from pacs_bridge import open_archive
from pacs_bridge.embedded import answers_echo
from pacs_bridge.server_process import free_port, server_process
from tests.end_to_end.copies import Copy, copied_head
from tests.peers.postgres import postgres

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
ORTHANC = json.loads((DEPLOY / "orthanc.json").read_text(encoding="utf-8"))
SETTINGS = tomllib.loads((DEPLOY / "iodeep.toml").read_text(encoding="utf-8"))
_ANY_MODEL = '[lifecycle]\nrequired = false\n\n[trust]\nunsigned = "warn"\nresearch = true\n'
IODEEP = f"{sys.executable} -m iodeep"


def test_the_settings_of_the_containers_agree() -> None:
    pacs, listener, http = SETTINGS["pacs"]["orthanc"], SETTINGS["serve"]["listener"], SETTINGS["serve"]["http"]
    services = COMPOSE["services"]

    assert pacs["host"] in services
    assert (pacs["port"], pacs["aet"]) == (ORTHANC["DicomPort"], ORTHANC["DicomAet"])
    assert ORTHANC["DicomModalities"]["iodeep"] == ["IODEEP", "iodeep", listener["port"]]
    assert services["orthanc"]["ports"] == [f"{pacs['port']}:{pacs['port']}"]
    assert services["iodeep"]["ports"] == [f"{port}:{port}" for port in (http["port"], listener["port"])]
    assert listener["allowed_aets"] == [ORTHANC["DicomAet"]]
    assert SETTINGS["serve"]["data"].startswith("/var/lib/iodeep/")
    assert "work:/var/lib/iodeep" in services["iodeep"]["volumes"]


def test_every_file_that_is_mounted_is_there_or_is_made(tmp_path: Path) -> None:
    site = prepared(tmp_path)
    named = {secret["file"] for secret in COMPOSE["secrets"].values()} | {"site/environment", "site/etc"}
    assert set(COMPOSE["services"]["iodeep"]["env_file"]) <= named

    for name in named:
        assert (site.parent / name).exists() or (DEPLOY / name).exists(), name


def test_preparing_again_changes_nothing(tmp_path: Path) -> None:
    site = prepared(tmp_path)
    before = {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}

    prepared(tmp_path)

    assert {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()} == before
    assert (site / "database-password").stat().st_mode & 0o077 == 0
    assert (site / "environment").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("where", ["compose.yaml", "systemd/iodeep.service"])
def test_the_command_that_starts_it_exists(where: str, tmp_path: Path) -> None:
    if where == "compose.yaml":
        words = COMPOSE["services"]["iodeep"]["command"]
    else:
        (line,) = re.findall(r"^ExecStart=(.*)$", (DEPLOY / where).read_text(encoding="utf-8"), flags=re.MULTILINE)
        words = shlex.split(line)[1:]
    missing = [str(tmp_path / "none.toml") if word.endswith("iodeep.toml") else word for word in words]

    ended = subprocess.run([sys.executable, "-m", "iodeep", *missing], capture_output=True, text=True, check=False)

    assert ended.returncode == 8, ended.stderr
    assert "none.toml does not exist" in ended.stderr


@pytest.mark.peers
@pytest.mark.slow
def test_a_series_that_orthanc_routes_comes_back_segmented(tmp_path: Path, objects: dict[str, Path]) -> None:
    with postgres() as database, routed_orthanc(tmp_path) as archive_settings:
        site, listener, http = site_for(tmp_path, archive_settings)
        environment = {"IODEEP_DATABASE": database.url, "IODEEP_CACHE": str(tmp_path / "cache")}
        with served(site, environment, tmp_path / "serve.log"):
            until(lambda: answers_over_tls(http, site.parent / "data" / "tls" / "ca.pem"), "the API over TLS")
            series = copied_head(tmp_path / "series")
            us = PacsSettings(name="us", host="127.0.0.1", port=listener, aet="IODEEP", calling_aet="ORTHANC")
            with open_archive(archive_settings) as archive, open_archive(us) as door:
                archive.store(list(objects["BRAINMASK"].rglob("*.dcm")))
                archive.store(series.paths)
                door.store(series.paths)
                until(lambda: {"SEG", "SR"} <= modalities(archive, series), "SEG and SR in Orthanc")


def prepared(folder: Path) -> Path:
    """`deploy/prepare` with this iodeep in the place of a container's."""
    site = folder / "site"
    config = site / "etc" / "iodeep.toml"
    environment = {**os.environ, "SITE": str(site), "DATA": str(folder / "data"), "IODEEP": IODEEP}
    config.parent.mkdir(parents=True, exist_ok=True)
    if not config.exists():
        text = (DEPLOY / "iodeep.toml").read_text(encoding="utf-8")
        config.write_text(text.replace("/var/lib/iodeep", str(folder / "data")), encoding="utf-8")
    subprocess.run(
        [str(DEPLOY / "prepare"), "localhost"], env={**environment, "CONFIG": str(config)}, check=True, cwd=ROOT
    )
    return site


def site_for(folder: Path, archive: PacsSettings) -> tuple[Path, int, int]:
    """The prepared site with this machine's addresses, and its ports for DIMSE and HTTP."""
    site = prepared(folder)
    config = site / "etc" / "iodeep.toml"
    listener, http = free_port(), free_port()
    text = config.read_text(encoding="utf-8").replace('host = "orthanc"', 'host = "127.0.0.1"')
    for old, new in ((4242, archive.port), (11112, listener), (8443, http)):
        text = text.replace(f"port = {old}", f"port = {new}")
    text = text.replace('bind = "0.0.0.0"', 'bind = "127.0.0.1"').replace("[trust]\n", _ANY_MODEL)
    config.write_text(text + _quick(), encoding="utf-8")
    assert load_configuration(config).settings.serve.jobs.database == "env:IODEEP_DATABASE"
    return site, listener, http


def _quick() -> str:
    return "\n[serve.arrivals]\nquiet_s = 1\nleast_free_bytes = 0\n"


@contextmanager
def routed_orthanc(folder: Path) -> Iterator[PacsSettings]:
    """Orthanc with the settings of `deploy/`, but for its port and folders."""
    program = shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, "Orthanc is not installed (apt-get install orthanc)"
    config = folder / "orthanc.json"

    def command(port: int) -> list[str]:
        database = str(folder / "orthanc-db")
        document: dict[str, Any] = {
            **ORTHANC,
            "DicomPort": port,
            "StorageDirectory": database,
            "IndexDirectory": database,
        }
        config.write_text(json.dumps(document), encoding="utf-8")
        return [program, str(config)]

    with server_process(
        "Orthanc", command, log=folder / "orthanc.log", ready=lambda port: answers_echo(port, "ORTHANC")
    ) as server:
        yield PacsSettings(name="orthanc", host="127.0.0.1", port=server.port, aet="ORTHANC", retrieve=Retrieve.GET)


@contextmanager
def served(site: Path, environment: dict[str, str], log: Path) -> Iterator[None]:
    """`iodeep serve` as a container starts it."""
    command = [sys.executable, "-m", "iodeep", "serve", "--config", str(site / "etc" / "iodeep.toml")]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **environment})
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(60) == 0, log.read_text(encoding="utf-8")[-2000:]
        finally:
            process.kill()


def answers_over_tls(port: int, ca: Path) -> bool:
    try:
        context = ssl.create_default_context(cafile=str(ca))
        with urllib.request.urlopen(f"https://localhost:{port}/api/v1/health", context=context, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def modalities(archive: Any, series: Copy) -> set[str]:
    rows = archive.find(Level.SERIES, {"StudyInstanceUID": series.study}, ("SeriesInstanceUID", "Modality"))
    return {row["Modality"] for row in rows}


def until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end, f"no {what}"
        time.sleep(0.2)
