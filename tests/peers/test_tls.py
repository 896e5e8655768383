"""Foreign TLS clients and the certificates that `iodeep tls init` makes: DCMTK at the listener, openssl and curl at the API."""

from __future__ import annotations

import shlex
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from typer.testing import CliRunner

from iodeep.serve_settings import ServerTlsSettings
from iodeep.service.cli import app
from iodeep.service.tls import MadeCertificates, make_certificates
from pacs_bridge.tls_profiles import server_context
from tests.unit.pacs_bridge.listener.harness import LOOPBACK, Running, ct_slices, running

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeCertificates:
    return make_certificates(tmp_path_factory.mktemp("tls") / "site", [LOOPBACK, "localhost"])


@pytest.fixture
def mutual(made: MadeCertificates, tmp_path: Path) -> Iterator[Running]:
    """The listener as the lines of `iodeep tls init` have it."""
    tls = ServerTlsSettings(certificate=made.server, key=made.server_key, client_ca=made.ca)
    with running(tmp_path, tls=tls) as run:
        yield run


@contextmanager
def _api(made: MadeCertificates) -> Iterator[int]:
    """Something that speaks HTTP behind the server's context; its port."""
    application = FastAPI()
    application.get("/")(lambda: {"here": True})
    settings = ServerTlsSettings(certificate=made.server, key=made.server_key)
    ready = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready.set()

    config = uvicorn.Config(application, log_config=None, ssl_context_factory=lambda *_: server_context(settings))
    server = Server(config)
    with socket.create_server((LOOPBACK, 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            assert ready.wait(30)
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def _ran(*command: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    found = shutil.which(str(command[0]))
    if not found:
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(
        [found, *map(str, command[1:])], input=stdin, capture_output=True, text=True, check=False, timeout=60
    )


def _echoscu(run: Running, *options: str | Path) -> int:
    return _ran("echoscu", "-to", "10", *options, "-aec", "IODEEP", LOOPBACK, str(run.port)).returncode


def _tls(made: MadeCertificates, *, ca: Path | None = None) -> tuple[str | Path, ...]:
    return "--enable-tls", made.client_key, made.client, "--add-cert-file", ca or made.ca


def test_the_command_that_init_shows_works(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["tls", "init", "--out", str(tmp_path / "tls"), "--host", LOOPBACK])
    (line,) = [line for line in shown.output.splitlines() if line.startswith("echoscu ")]
    certificates = MadeCertificates(tmp_path / "tls")
    settings = ServerTlsSettings(
        certificate=certificates.server, key=certificates.server_key, client_ca=certificates.ca
    )
    with running(tmp_path, tls=settings) as run:
        ended = _ran(*shlex.split(line.replace(" 11112", f" {run.port}")))

    assert ended.returncode == 0, ended.stderr


def test_dcmtk_stores_over_mutual_tls(made: MadeCertificates, mutual: Running, tmp_path: Path) -> None:
    ct_slices(tmp_path / "sent", 3)
    ended = _ran("storescu", "+sd", *_tls(made), "-aec", "IODEEP", LOOPBACK, str(mutual.port), tmp_path / "sent")

    assert ended.returncode == 0, ended.stderr
    assert len(mutual.told.instances) == 3


@pytest.mark.parametrize("profile", ["--profile-bcp195-nd", "--profile-bcp195", "--profile-bcp195-ex"])
def test_each_profile_of_bcp_195_connects(made: MadeCertificates, mutual: Running, profile: str) -> None:
    assert _echoscu(mutual, *_tls(made), profile) == 0


@pytest.mark.parametrize("profile", ["--profile-aes", "--profile-null"])
def test_retired_profiles_do_not_connect(made: MadeCertificates, mutual: Running, profile: str) -> None:
    """TLS_RSA_WITH_AES_128_CBC_SHA and no encryption at all."""
    assert _echoscu(mutual, *_tls(made), profile) != 0


def test_a_plaintext_client_gets_nothing(mutual: Running) -> None:
    assert _echoscu(mutual) != 0


def test_a_client_without_a_certificate_gets_nothing(made: MadeCertificates, mutual: Running) -> None:
    assert _echoscu(mutual, "--anonymous-tls", "--add-cert-file", made.ca) != 0


def test_a_client_of_another_ca_gets_nothing(made: MadeCertificates, mutual: Running, tmp_path: Path) -> None:
    other = make_certificates(tmp_path / "other", [LOOPBACK])

    assert _echoscu(mutual, *_tls(other, ca=made.ca)) != 0


def test_a_client_that_does_not_know_our_ca_does_not_talk_to_us(
    made: MadeCertificates, mutual: Running, tmp_path: Path
) -> None:
    other = make_certificates(tmp_path / "other", [LOOPBACK])

    assert _echoscu(mutual, *_tls(made, ca=other.ca)) != 0


@pytest.mark.parametrize(
    ("version", "spoken"), [("-tls1", False), ("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)]
)
def test_openssl_finds_no_version_older_than_1_2(made: MadeCertificates, version: str, spoken: bool) -> None:
    with _api(made) as port:
        ended = _ran(
            "openssl",
            "s_client",
            version,
            "-cipher",
            "ALL:@SECLEVEL=0",
            "-verify_return_error",
            "-CAfile",
            made.ca,
            "-connect",
            f"{LOOPBACK}:{port}",
        )

    assert (ended.returncode == 0) is spoken, ended.stderr
    assert ("no peer certificate available" not in ended.stdout) is spoken


@pytest.mark.parametrize(
    "cipher",
    ["AES128-SHA", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "AECDH-AES128-SHA"],
)
def test_openssl_finds_no_cipher_without_forward_secrecy_and_authenticated_encryption(
    made: MadeCertificates, cipher: str
) -> None:
    with _api(made) as port:
        ended = _ran(
            "openssl", "s_client", "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0", "-connect", f"{LOOPBACK}:{port}"
        )

    assert ended.returncode != 0


def test_curl_trusts_the_ca_and_nothing_else(made: MadeCertificates) -> None:
    with _api(made) as port:
        trusting = _ran("curl", "--silent", "--cacert", made.ca, f"https://localhost:{port}/")
        other = _ran("curl", "--silent", f"https://localhost:{port}/")

    assert (trusting.returncode, trusting.stdout) == (0, '{"here":true}')
    assert other.returncode == 60
