"""Certificates that we make do what they are for, and what is wrong with one is told."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from iodeep.errors import InputError
from iodeep.serve_settings import ServerTlsSettings
from iodeep.service.tls import MadeCertificates, check_certificates, make_certificates
from pacs_bridge.tls_profiles import server_context

HOSTS = ["localhost", "127.0.0.1", "ai.hospital.example"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeCertificates:
    return make_certificates(tmp_path_factory.mktemp("tls") / "site", HOSTS)


def _check(made: MadeCertificates, **changes: object) -> dict[str, tuple[bool, str]]:
    given: dict[str, object] = {"certificate": made.server, "key": made.server_key, "ca": made.ca, **changes}
    return {each.subject: (each.good, each.sentence) for each in check_certificates(**given)}  # type: ignore[arg-type]


def _shaken(server: ssl.SSLContext, client: ssl.SSLContext, host: str = "localhost") -> str | None:
    """A handshake and a byte over a socket; the version spoken."""
    ours, theirs = socket.socketpair()
    failed: list[Exception] = []

    def serve() -> None:
        try:
            with server.wrap_socket(theirs, server_side=True) as tls:
                tls.sendall(tls.recv(1))
        except (ssl.SSLError, OSError) as error:
            failed.append(error)
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(ours, server_hostname=host) as tls:
            tls.sendall(b"x")
            if tls.recv(1) != b"x":
                raise ssl.SSLError("the server closed")
            return tls.version()
    finally:
        ours.close()
        thread.join()


def _client(made: MadeCertificates, *, with_certificate: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(made.ca))
    if with_certificate:
        context.load_cert_chain(made.client, made.client_key)
    return context


def _server(made: MadeCertificates, *, mutual: bool = False) -> ssl.SSLContext:
    ca = made.ca if mutual else None
    return server_context(ServerTlsSettings(certificate=made.server, key=made.server_key, client_ca=ca))


def test_a_client_that_trusts_the_ca_connects(made: MadeCertificates) -> None:
    for host in HOSTS:
        assert _shaken(_server(made), _client(made), host) == "TLSv1.3"


def test_a_name_that_is_not_in_the_certificate_is_refused(made: MadeCertificates) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        _shaken(_server(made), _client(made), "another.example")


def test_tls_1_2_is_spoken_with_forward_secrecy_alone(made: MadeCertificates) -> None:
    client = _client(made)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert _shaken(_server(made), client) == "TLSv1.2"
    client.set_ciphers("ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA:AES128-GCM-SHA256")

    with pytest.raises((ssl.SSLError, OSError)):
        _shaken(_server(made), client)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")  # what is to be refused
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_versions_are_refused(made: MadeCertificates, version: ssl.TLSVersion) -> None:
    client = _client(made)
    client.minimum_version = version
    client.maximum_version = version
    client.set_ciphers("ALL:@SECLEVEL=0")

    with pytest.raises((ssl.SSLError, OSError)):
        _shaken(_server(made), client)


def test_where_clients_have_to_show_a_certificate_one_without_gets_nothing(made: MadeCertificates) -> None:
    assert _shaken(_server(made, mutual=True), _client(made, with_certificate=True)) == "TLSv1.3"
    with pytest.raises((ssl.SSLError, OSError)):
        _shaken(_server(made, mutual=True), _client(made))


def test_a_client_of_another_ca_gets_nothing(made: MadeCertificates, tmp_path: Path) -> None:
    other = make_certificates(tmp_path / "other", ["localhost"])
    client = _client(made)
    client.load_cert_chain(other.client, other.client_key)

    with pytest.raises((ssl.SSLError, OSError)):
        _shaken(_server(made, mutual=True), client)


def test_a_servers_certificate_is_none_for_a_client(made: MadeCertificates) -> None:
    client = _client(made)
    client.load_cert_chain(made.server, made.server_key)

    with pytest.raises((ssl.SSLError, OSError)):
        _shaken(_server(made, mutual=True), client)


def test_openssl_holds_the_chain_for_good(made: MadeCertificates) -> None:
    for purpose, path in (("sslserver", made.server), ("sslclient", made.client)):
        verified = subprocess.run(
            ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", str(made.ca), str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert verified.returncode == 0, verified.stdout + verified.stderr


def test_keys_are_for_their_owner_alone(made: MadeCertificates) -> None:
    for key in (made.ca_key, made.server_key, made.client_key):
        assert key.stat().st_mode & 0o777 == 0o600


def test_nothing_is_written_over(made: MadeCertificates) -> None:
    before = made.ca.read_bytes()

    with pytest.raises(InputError, match="already"):
        make_certificates(made.folder, HOSTS)

    assert made.ca.read_bytes() == before


@pytest.mark.parametrize("host", ["", "a b", "https://x", "x:443", "*", "a..b"])
def test_what_is_no_host_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(InputError, match="no host"):
        make_certificates(tmp_path / "new", [host])
    assert not (tmp_path / "new").exists()


def test_a_good_certificate_is_good(made: MadeCertificates) -> None:
    assert {subject: good for subject, (good, _) in _check(made, host="ai.hospital.example").items()} == dict.fromkeys(
        ("time", "key", "names", "chain"), True
    )


@pytest.mark.parametrize(("days", "said"), [(380, "days from now"), (400, "ran out"), (-1, "clock")])
def test_a_certificate_near_or_past_its_end_is_told(made: MadeCertificates, days: int, said: str) -> None:
    good, sentence = _check(made, now=datetime.now(UTC) + timedelta(days=days))["time"]

    assert not good
    assert said in sentence


def test_a_key_of_another_certificate_is_told(made: MadeCertificates) -> None:
    good, sentence = _check(made, key=made.client_key)["key"]

    assert not good
    assert "not the key" in sentence


def test_a_key_that_others_may_read_is_told(made: MadeCertificates, tmp_path: Path) -> None:
    copy = tmp_path / "server.key"
    copy.write_bytes(made.server_key.read_bytes())
    copy.chmod(0o644)

    assert not _check(made, key=copy)["key"][0]


def test_a_name_that_is_missing_is_told(made: MadeCertificates) -> None:
    checks = _check(made, host="other.example")

    assert not checks["names"][0]
    assert not checks["chain"][0]


def test_a_certificate_of_another_ca_is_told(made: MadeCertificates, tmp_path: Path) -> None:
    other = make_certificates(tmp_path / "other", HOSTS)

    assert not _check(made, ca=other.ca)["chain"][0]


def test_a_file_that_is_no_certificate_is_told(tmp_path: Path) -> None:
    (check,) = check_certificates(tmp_path / "none.pem", tmp_path / "none.key")

    assert "cannot be read" in check.sentence
