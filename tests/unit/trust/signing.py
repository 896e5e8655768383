"""Keys, certificates, policies and signed models for tests."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from iodeep.model_object import PackedModel, Signature, read_descriptor, read_signature
from iodeep.service.signing import sign_model
from iodeep.trust.policy import ModelInQuestion, TrustPolicy, TrustVerdict, trust_policy
from iodeep.trust.signatures import SignerRole, SigningKey
from iodeep.trust.signatures.keys import public_pem
from iodeep.trust_settings import TrustSettings

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def key_files(folder: Path, name: str = "developer") -> tuple[SigningKey, Path]:
    """A new Ed25519 key, and the file of its public key."""
    key = SigningKey(Ed25519PrivateKey.generate())
    path = folder / f"{name}.pub.pem"
    path.write_bytes(public_pem(key.private.public_key()))
    return key, path


def policy(public: Path, *, serving: bool = True, key: dict[str, Any] | None = None, **rules: Any) -> TrustPolicy:
    """A policy that trusts one key as developer, and lets research models run."""
    trusted = {"name": "the developer", "file": public, "roles": ["developer"], **(key or {})}
    settings = TrustSettings.model_validate({"keys": [trusted], "research": True, **rules})
    return trust_policy(settings, serving=serving)


def signed(
    model: PackedModel,
    key: SigningKey,
    folder: Path,
    role: SignerRole = SignerRole.DEVELOPER,
    valid_until: date | None = None,
) -> Signature:
    """A signature of the model, out of a file in ``folder``."""
    return read_signature(sign_model(read_descriptor(model.descriptor), key, role, folder, valid_until))


def judged(trust: TrustPolicy, model: PackedModel, *signatures: Signature, now: datetime | None = None) -> TrustVerdict:
    """The policy's verdict."""
    question = ModelInQuestion.of(read_descriptor(model.descriptor))
    return trust.judge(question, signatures, now or datetime.now(UTC))


def certificate_authority(name: str = "Test CA") -> SigningKey:
    """A CA with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    made = (
        _builder(subject, subject, key.public_key(), 365)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    return SigningKey(key, made)


def issued(ca: SigningKey, name: str = "Jane Signer", *, days: int = 30, with_rsa: bool = False) -> SigningKey:
    """A key with a certificate of the CA."""
    key = rsa.generate_private_key(65537, 2048) if with_rsa else ec.generate_private_key(ec.SECP256R1())
    return SigningKey(key, certified(ca, key.public_key(), name, days=days))


def certified(ca: SigningKey, public: Any, name: str = "Jane Signer", *, days: int = 30) -> x509.Certificate:
    """A certificate of the CA for a public key."""
    assert ca.certificate is not None
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.private.public_key())
    return (
        _builder(_name(name), ca.certificate.subject, public, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(authority, critical=False)
        .sign(ca.private, SHA256())
    )


def write_certificate(path: Path, key: SigningKey) -> Path:
    """The certificate as a PEM file."""
    assert key.certificate is not None
    path.write_bytes(key.certificate.public_bytes(Encoding.PEM))
    return path


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(subject: x509.Name, issuer: x509.Name, key: Any, days: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 100 * DAY)
        .not_valid_after(NOW + days * DAY)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(signs, False, False, False, False, not signs, not signs, False, False)
