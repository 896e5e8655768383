"""Whether a certificate does what it is there for: in time, with its key, under its CA, for the names that we are called by."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

SOON = timedelta(days=30)
_FOR_OTHERS = 0o077


@dataclass(frozen=True)
class CertificateCheck:
    """One thing that was looked at."""

    good: bool
    subject: str
    sentence: str


def check_certificates(
    certificate: Path, key: Path, ca: Path | None = None, host: str | None = None, now: datetime | None = None
) -> list[CertificateCheck]:
    """Everything about a server's certificate; ``ca`` is the one that signed it, where it is known."""
    try:
        chain = x509.load_pem_x509_certificates(certificate.read_bytes())
    except (OSError, ValueError) as error:
        return [CertificateCheck(False, "certificate", f"{certificate} cannot be read: {error}")]
    now = now or datetime.now(UTC)
    checks = [_time(chain[0], now), _key(chain[0], key), _names(chain[0], host)]
    if ca is not None:
        checks.append(_signed(chain, ca, host, now))
    return checks


def _time(certificate: x509.Certificate, now: datetime) -> CertificateCheck:
    until, since = certificate.not_valid_after_utc, certificate.not_valid_before_utc
    days = (until - now).days
    if now < since:
        return CertificateCheck(False, "time", f"not valid before {since:%Y-%m-%d %H:%M} UTC: is the clock right?")
    if now >= until:
        return CertificateCheck(False, "time", f"it ran out on {until:%Y-%m-%d}")
    return CertificateCheck(until - now > SOON, "time", f"valid until {until:%Y-%m-%d}, {days} days from now")


def _key(certificate: x509.Certificate, path: Path) -> CertificateCheck:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        mode = path.stat().st_mode
    except (OSError, ValueError, TypeError) as error:
        return CertificateCheck(False, "key", f"{path} cannot be read: {error}")
    if key.public_key() != certificate.public_key():
        return CertificateCheck(False, "key", f"{path} is not the key of this certificate")
    if mode & _FOR_OTHERS:
        return CertificateCheck(False, "key", f"{path} can be read by others (mode {mode & 0o777:o}): chmod 600")
    return CertificateCheck(True, "key", "it is the certificate's, and for its owner alone")


def _names(certificate: x509.Certificate, host: str | None) -> CertificateCheck:
    names = list(_alternatives(certificate))
    shown = ", ".join(names) or "none"
    if host is not None and host.casefold() not in [name.casefold() for name in names]:
        return CertificateCheck(False, "names", f"{host} is not among them: {shown}")
    return CertificateCheck(bool(names), "names", shown)


def _alternatives(certificate: x509.Certificate) -> Iterator[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    yield from found.get_values_for_type(x509.DNSName)
    yield from map(str, found.get_values_for_type(x509.IPAddress))


def _signed(chain: list[x509.Certificate], ca: Path, host: str | None, now: datetime) -> CertificateCheck:
    """The path to the CA (RFC 5280, 6), as a browser would go it."""
    try:
        store = Store(x509.load_pem_x509_certificates(ca.read_bytes()))
    except (OSError, ValueError) as error:
        return CertificateCheck(False, "chain", f"{ca} cannot be read: {error}")
    name = host or next(_alternatives(chain[0]), None)
    if name is None:
        return CertificateCheck(False, "chain", "without a name in the certificate nobody can check it")
    try:
        PolicyBuilder().store(store).time(now).build_server_verifier(_subject(name)).verify(chain[0], chain[1:])
    except VerificationError as error:
        return CertificateCheck(False, "chain", f"it does not lead to {ca}: {error}")
    return CertificateCheck(True, "chain", f"signed under {ca}")


def _subject(name: str) -> x509.DNSName | x509.IPAddress:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
