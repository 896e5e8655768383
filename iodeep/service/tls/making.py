"""A CA, a server's and a client's certificate for tests and small sites; a hospital with a CA of its own uses that.

ECDSA on P-256 with SHA-256, which every DICOM toolkit of the last ten years takes. The CA signs end certificates alone (path length 0),
and each certificate is for one purpose. Nothing that exists is written over.
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from iodeep.errors import InputError, LocalStorageError

CA_DAYS = 3650
END_DAYS = 397
"""What browsers take at most (CA/Browser Forum baseline requirements, 6.3.2)."""
_EARLIER = timedelta(minutes=10)
"""Clocks of scanners are seldom right."""
_ANY_PATH_USE = {
    "digital_signature": False,
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "key_cert_sign": False,
    "crl_sign": False,
    "encipher_only": False,
    "decipher_only": False,
}


@dataclass(frozen=True)
class MadeCertificates:
    """The files: certificates for all to read, keys for their owner alone (mode 0600)."""

    folder: Path

    @property
    def ca(self) -> Path:
        """Certificate of the CA: what others have to trust."""
        return self.folder / "ca.pem"

    @property
    def ca_key(self) -> Path:
        """Key of the CA: best kept elsewhere, it is needed for new certificates alone."""
        return self.folder / "ca.key"

    @property
    def server(self) -> Path:
        """Certificate of this service."""
        return self.folder / "server.pem"

    @property
    def server_key(self) -> Path:
        """Its key."""
        return self.folder / "server.key"

    @property
    def client(self) -> Path:
        """Certificate for a PACS, a modality or a test client, and for us where we call."""
        return self.folder / "client.pem"

    @property
    def client_key(self) -> Path:
        """Its key."""
        return self.folder / "client.key"

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file."""
        return self.ca, self.ca_key, self.server, self.server_key, self.client, self.client_key


@dataclass(frozen=True)
class _Issuer:
    name: x509.Name
    key: ec.EllipticCurvePrivateKey


def make_certificates(folder: Path, hosts: list[str], days: int = END_DAYS) -> MadeCertificates:
    """Make all of them; ``hosts`` are the DNS names and IP addresses that the server is called by.

    Errors: :class:`iodeep.errors.InputError` for a host that is none, or files that exist;
    :class:`iodeep.errors.LocalStorageError` where they can't be written.
    """
    names = [_name_of(host) for host in hosts]
    if not names:
        raise InputError("no host was named", remedy="Give --host once for each name and address of this machine.")
    made = MadeCertificates(folder)
    if existing := [path.name for path in made.all if path.exists()]:
        raise InputError(
            f"there are certificates in {folder} already: {', '.join(existing)}",
            remedy="Name another folder, or move the old ones away: PACSs may trust them.",
        )
    issuer, authority = _authority()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(made.ca, made.ca_key, authority, issuer.key)
        for path, key_path, usage, common in (
            (made.server, made.server_key, ExtendedKeyUsageOID.SERVER_AUTH, hosts[0]),
            (made.client, made.client_key, ExtendedKeyUsageOID.CLIENT_AUTH, f"IODeep client of {hosts[0]}"),
        ):
            key = ec.generate_private_key(ec.SECP256R1())
            alternatives = names if usage is ExtendedKeyUsageOID.SERVER_AUTH else []
            _write(path, key_path, _issued(issuer, key, common, usage, alternatives, days), key)
    except OSError as error:
        raise LocalStorageError(
            f"the certificates cannot be written: {error.strerror}", found=str(folder), remedy="Name another folder."
        ) from error
    return made


def _authority() -> tuple[_Issuer, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _named(f"IODeep site CA {datetime.now(UTC):%Y-%m-%d}")
    certificate = (
        _begun(name, name, key, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**_ANY_PATH_USE | {"key_cert_sign": True, "crl_sign": True}), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _Issuer(name, key), certificate


def _issued(
    issuer: _Issuer,
    key: ec.EllipticCurvePrivateKey,
    common_name: str,
    usage: x509.ObjectIdentifier,
    alternatives: list[x509.GeneralName],
    days: int,
) -> x509.Certificate:
    builder = (
        _begun(_named(common_name), issuer.name, key, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**_ANY_PATH_USE | {"digital_signature": True}), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(issuer.key, hashes.SHA256())


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _name_of(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        encoded = host.encode("idna").decode()
    except UnicodeError as error:
        raise _no_host(host) from error
    if not encoded or set(encoded) & set(" /:@*"):
        raise _no_host(host)
    return x509.DNSName(encoded)


def _no_host(host: str) -> InputError:
    return InputError(f"{host!r} is no host", expected="a DNS name such as ai.hospital.example, or an IP address")


def _write(path: Path, key_path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for target, content, mode in (
        (key_path, text, 0o600),
        (path, certificate.public_bytes(serialization.Encoding.PEM), 0o644),
    ):
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
