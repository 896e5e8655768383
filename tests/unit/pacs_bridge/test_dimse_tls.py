"""DIMSE over TLS (PS3.15 B.12, B.13): certificates are checked on both sides, and refusals are told."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from pydicom import dcmread
from pydicom.uid import generate_uid

from iodeep.errors import ArchiveUnreachableError, SettingsError
from iodeep.ports import Wanted
from iodeep.settings import Retrieve, TlsSettings
from pacs_bridge import open_archive
from pacs_bridge.dimse.tls import client_context
from pacs_bridge.server_process import free_port
from tests.unit.pacs_bridge.dimse_peer import LOOPBACK, Peer, raw_data, running, written


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ours(authority: trustme.CA, tmp_path: Path) -> TlsSettings:
    """Settings with the CA's certificate and one of our own."""
    issued = authority.issue_cert(LOOPBACK)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    return TlsSettings(ca=tmp_path / "ca.pem", certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")


@pytest.fixture
def theirs(authority: trustme.CA) -> ssl.SSLContext:
    """A server that asks for our certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(LOOPBACK).configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_instances_go_and_come_back_over_tls(ours: TlsSettings, theirs: ssl.SSLContext, tmp_path: Path) -> None:
    path = written(raw_data(study=generate_uid(), series=generate_uid(), payload=bytes(3 << 20)), tmp_path)
    with running(Peer(), ssl_context=theirs) as peer, open_archive(peer.settings(Retrieve.GET, tls=ours)) as archive:
        archive.store([path])
        archive.verify_stored([path])
    assert len(peer.held) == 1


def test_an_archive_with_a_certificate_of_another_authority_is_refused(theirs: ssl.SSLContext, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    tls = TlsSettings(ca=tmp_path / "other.pem")
    with (
        running(Peer(), ssl_context=theirs) as peer,
        open_archive(peer.settings(tls=tls)) as archive,
        pytest.raises(ArchiveUnreachableError, match=r"tls\.ca"),
    ):
        archive.echo()


def test_an_archive_that_speaks_no_tls_is_told(ours: TlsSettings) -> None:
    with (
        running(Peer()) as peer,
        open_archive(peer.settings(tls=ours)) as archive,
        pytest.raises(ArchiveUnreachableError, match=r"no TLS connection|closed the connection|no sign of life"),
    ):
        archive.echo()


def test_c_move_over_tls_needs_a_certificate_of_ours(ours: TlsSettings, theirs: ssl.SSLContext, tmp_path: Path) -> None:
    study, series = generate_uid(), generate_uid()
    held = dcmread(written(raw_data(study=study, series=series), tmp_path))
    without = TlsSettings(ca=ours.ca)
    theirs.verify_mode = ssl.CERT_NONE
    port = free_port()
    with (
        running(Peer(held=[held], destination_port=port), ssl_context=theirs) as peer,
        open_archive(peer.settings(Retrieve.MOVE, tls=without, move_port=port)) as archive,
        pytest.raises(SettingsError, match=r"tls\.certificate"),
    ):
        archive.fetch(Wanted(study, series), tmp_path / "into")


def test_tls_older_than_1_2_is_not_spoken(ours: TlsSettings) -> None:
    assert client_context(ours).minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_certificate_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="certificates cannot be read"):
        client_context(TlsSettings(ca=tmp_path / "missing.pem"))
