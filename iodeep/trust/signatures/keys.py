"""Keys in PEM files: Ed25519 for plain signatures, RSA or EC with a certificate for CMS. No key is ever in a message.

A key's identifier is the leftmost 160 bits of the SHA-256 over its public key's BIT STRING (RFC 7093, section 2, 1).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from iodeep.errors import InputError, SettingsError

ED25519, CMS = "ED25519", "CMS"
CMS_KEYS = (RSAPrivateKey, EllipticCurvePrivateKey)


@dataclass(frozen=True)
class SigningKey:
    """A private key that was read, with the certificate that goes with it where it signs by CMS."""

    private: Ed25519PrivateKey | RSAPrivateKey | EllipticCurvePrivateKey = field(repr=False)
    certificate: x509.Certificate | None = None

    @property
    def type_and_id(self) -> str:
        """As a signature names it."""
        kind = CMS if self.certificate is not None else ED25519
        return f"{kind} {key_id_of(self.private.public_key())}"


def key_id_of(key: PublicKeyTypes) -> str:
    """The key's identifier: 40 hexadecimal digits."""
    return hashlib.sha256(_key_bits(key)).hexdigest()[:40]


def _key_bits(key: PublicKeyTypes) -> bytes:
    """What the BIT STRING of the key's SubjectPublicKeyInfo holds; of Ed25519 the 32 bytes themselves (RFC 8410 4)."""
    if isinstance(key, Ed25519PublicKey):
        return key.public_bytes_raw()
    from iodeep.trust.signatures.der import subject_public_key  # a reader of ASN.1, for certificates

    return subject_public_key(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def make_key(passphrase: str) -> tuple[bytes, bytes]:
    """A new Ed25519 key as PEM, encrypted with the passphrase unless that is empty, and its public key as PEM."""
    key = Ed25519PrivateKey.generate()
    encryption: KeySerializationEncryption = (
        BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return private, public_pem(key.public_key())


def public_pem(key: PublicKeyTypes) -> bytes:
    """The public key as PEM (SubjectPublicKeyInfo)."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def is_encrypted(content: bytes) -> bool:
    """Whether a key's PEM asks for a passphrase."""
    return b"ENCRYPTED" in content


def read_signing_key(path: Path, passphrase: str = "", certificate: Path | None = None) -> SigningKey:
    """The private key in a PEM file, with its certificate for CMS; errors as :func:`signing_key_of`."""
    return signing_key_of(read_key_file(path), str(path), passphrase, certificate)


def signing_key_of(content: bytes, origin: str, passphrase: str = "", certificate: Path | None = None) -> SigningKey:
    """The private key of a PEM, with its certificate for CMS. InputError where they cannot be used, or don't belong together.

    ``origin``: how messages name where it came from; the content itself is in none of them.
    """
    try:
        key = load_pem_private_key(content, passphrase.encode() or None)
    except TypeError as error:
        said = "is encrypted" if not passphrase else "is not encrypted, but a passphrase was given"
        raise InputError(f"the key in {origin} {said}", remedy="Give the passphrase that it was made with.") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(
            f"no private key can be read from {origin}",
            expected="a PEM, and its passphrase where it is encrypted",
            remedy="Give the right passphrase; `iodeep signing-key new` makes a new key.",
        ) from error
    if not isinstance(key, Ed25519PrivateKey | RSAPrivateKey | EllipticCurvePrivateKey):
        raise InputError(f"the key in {origin} is of a kind that signs no models", expected="Ed25519, or RSA or EC")
    return with_certificate(key, read_certificate(certificate) if certificate else None, origin)


def with_certificate(
    key: Ed25519PrivateKey | RSAPrivateKey | EllipticCurvePrivateKey, certificate: x509.Certificate | None, origin: str
) -> SigningKey:
    """The key with the certificate that it signs by CMS with; InputError where they don't belong together."""
    if certificate is None:
        if not isinstance(key, Ed25519PrivateKey):
            raise InputError(
                f"the key in {origin} is not an Ed25519 key",
                remedy="Give its certificate too (--certificate), or a key that `iodeep signing-key new` made.",
            )
        return SigningKey(key)
    if not isinstance(key, CMS_KEYS):
        raise InputError(f"the key in {origin} cannot sign by CMS", expected="an RSA or EC key for a certificate")
    if key_id_of(certificate.public_key()) != key_id_of(key.public_key()):
        raise InputError(f"the certificate is not that of the key in {origin}")
    return SigningKey(key, certificate)


def ed25519_public(key: SigningKey) -> Ed25519PublicKey:
    """The public key of an Ed25519 key; InputError for another."""
    public = key.private.public_key()
    if not isinstance(public, Ed25519PublicKey):
        raise InputError("the key is not an Ed25519 key", remedy="`iodeep signing-key new` makes one.")
    return public


def read_certificate(path: Path) -> x509.Certificate:
    """The first certificate in a PEM file."""
    try:
        return x509.load_pem_x509_certificate(read_key_file(path))
    except ValueError as error:
        raise InputError(f"no certificate can be read from {path}", expected="a PEM file") from error


def read_public(path: Path) -> Ed25519PublicKey | x509.Certificate:
    """What a trusted key's file holds: an Ed25519 public key, or a certificate. SettingsError for anything else."""
    try:
        content = read_key_file(path)
        if b"BEGIN CERTIFICATE" in content:
            return x509.load_pem_x509_certificate(content)
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm, InputError) as error:
        raise SettingsError(
            f"the trusted key {path} cannot be read: {error}",
            expected="a PEM file with an Ed25519 public key or a CA certificate",
            remedy="Correct `file` under [[trust.keys]] in iodeep.toml.",
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise SettingsError(
            f"the trusted key {path} is of another kind",
            expected="an Ed25519 public key, or a CA certificate for others",
        )
    return key


def read_key_file(path: Path) -> bytes:
    """What is in the file; InputError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
