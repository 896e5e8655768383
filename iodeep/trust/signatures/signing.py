"""Signing a statement: Ed25519 (RFC 8032) or a detached CMS SignedData (RFC 5652) with the signer's certificate."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from iodeep.model_object import Signature
from iodeep.trust.signatures.keys import SigningKey
from iodeep.trust.signatures.statement import Statement


def sign_statement(statement: Statement, key: SigningKey) -> Signature:
    """The signature over the statement's canonical bytes; the statement has to name this key."""
    assert statement.key == key.type_and_id
    encoded = statement.encoded()
    return Signature(encoded, signed_bytes(encoded, key), key.type_and_id)


def signed_bytes(content: bytes, key: SigningKey) -> bytes:
    """The signature itself."""
    if isinstance(key.private, Ed25519PrivateKey):
        return key.private.sign(content)
    assert key.certificate is not None
    from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder

    return (
        PKCS7SignatureBuilder()
        .set_data(content)
        .add_signer(key.certificate, key.private, SHA256())
        .sign(Encoding.DER, [PKCS7Options.DetachedSignature, PKCS7Options.Binary, PKCS7Options.NoCapabilities])
    )
