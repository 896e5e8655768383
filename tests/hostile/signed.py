"""Keys that are the same each time, and what they sign. They are made from a word that everybody can read: of no use elsewhere."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from unittest import mock

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from iodeep.model_object import PackedModel, read_descriptor, write_signature
from iodeep.terms import deterministic_uid
from iodeep.trust.policy import TrustPolicy, trust_policy
from iodeep.trust.signatures import SignerRole, SigningKey, sign_statement, statement_of
from iodeep.trust.signatures.keys import public_pem
from iodeep.trust_settings import TrustSettings

SIGNED_AT = datetime(2026, 2, 1, 12, tzinfo=UTC)


def key(word: str = "developer") -> SigningKey:
    """The Ed25519 key of a word."""
    return SigningKey(Ed25519PrivateKey.from_private_bytes(hashlib.sha256(word.encode()).digest()))


def signature_file(
    model: PackedModel, folder: Path, signer: SigningKey | None = None, valid_until: date | None = None
) -> Path:
    """The developer's signature of a model, as a file in ``folder``."""
    descriptor, signer = read_descriptor(model.descriptor), signer or key()
    statement = statement_of(descriptor, SignerRole.DEVELOPER, signer.type_and_id, SIGNED_AT, valid_until)
    signature, sha256 = sign_statement(statement, signer), descriptor.identity.manifest_sha256
    uids = [deterministic_uid("hostile signature", signer.type_and_id, part) for part in "ab"]
    with mock.patch("iodeep.model_object.signature_object.generate_uid", side_effect=uids):
        return write_signature(folder, descriptor.manifest, sha256, signature, SIGNED_AT)


def certified(name: str, ca: SigningKey | None = None) -> SigningKey:
    """The EC key of a word with a certificate, of its own where no CA is given."""
    private = ec.derive_private_key(int.from_bytes(hashlib.sha256(name.encode()).digest()[:31], "big"), ec.SECP256R1())
    issuer = ca or SigningKey(private)
    own = ca is None
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.private.public_key())
    builder = (
        x509.CertificateBuilder(_name(name) if own else issuer.certificate.subject, _name(name))  # type: ignore[union-attr]
        .public_key(private.public_key())
        .serial_number(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") | 1)
        .not_valid_before(SIGNED_AT - timedelta(days=9))
        .not_valid_after(SIGNED_AT + timedelta(days=300))
        .add_extension(x509.BasicConstraints(ca=own, path_length=0 if own else None), critical=True)
        .add_extension(x509.KeyUsage(not own, False, False, False, False, own, own, False, False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .add_extension(authority, critical=False)
    )
    return SigningKey(private, builder.sign(issuer.private, SHA256(), ecdsa_deterministic=True))


def policy(folder: Path, developer: SigningKey, ca: SigningKey, office: SigningKey) -> TrustPolicy:
    """A site that trusts the developer's key and the CA, and whose office withdraws."""
    assert ca.certificate is not None
    files = {name: folder / f"{name}.pem" for name in ("developer", "ca", "office")}
    files["developer"].write_bytes(public_pem(developer.private.public_key()))
    files["office"].write_bytes(public_pem(office.private.public_key()))
    files["ca"].write_bytes(ca.certificate.public_bytes(Encoding.PEM))
    keys = [{"name": name, "file": files[name], "roles": ["developer"]} for name in ("developer", "ca")]
    revocation = {"file": folder / "revoked.json", "key": files["office"]}
    settings = TrustSettings.model_validate({"keys": keys, "research": True, "revocation": revocation})
    return trust_policy(settings, serving=True)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
