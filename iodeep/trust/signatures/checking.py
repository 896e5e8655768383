"""Whether a signature is what it says, given one trusted key or CA. Whether that one is trusted with it is the policy's matter."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.verification import ExtensionPolicy, PolicyBuilder, Store, VerificationError

from iodeep.errors import IntegrityError
from iodeep.model_object import Signature
from iodeep.trust.signatures.keys import CMS, ED25519, key_id_of
from iodeep.trust.signatures.statement import Statement, statement_of_bytes

if TYPE_CHECKING:
    from iodeep.trust.signatures.der import SignerPart

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


@dataclass(frozen=True)
class CheckedSignature:
    """A signature that holds: its statement, and for CMS the certificate that made it."""

    statement: Statement
    certificate: x509.Certificate | None = None


def check_signature(signature: Signature, key: Ed25519PublicKey | None = None) -> CheckedSignature:
    """The statement of a signature that holds. ``key``: for Ed25519, the one that the signature names.

    Errors: :class:`iodeep.errors.IntegrityError` where statement, signature or named key were altered.
    """
    certificate = check_bytes(signature.statement, signature.value, signature.type_and_key, signature.where, key)
    statement = statement_of_bytes(signature.statement, signature.where)
    if statement.key != signature.type_and_key:
        raise _altered(signature.where)
    return CheckedSignature(statement, certificate)


def check_bytes(
    content: bytes, value: bytes, type_and_key: str, where: str, key: Ed25519PublicKey | None
) -> x509.Certificate | None:
    """Whether ``value`` is a signature of ``content`` by the key that is named; for CMS gives its certificate."""
    kind, _, identifier = type_and_key.partition(" ")
    if kind == ED25519 and key is not None and key_id_of(key) == identifier:
        try:
            key.verify(value, content)
        except InvalidSignature as error:
            raise _altered(where) from error
        return None
    if kind != CMS:
        raise IntegrityError(
            f"{where} is of a type that this software does not know", expected=f"{ED25519} or {CMS}", found=kind
        )
    part = _signer_part(value, where)
    certificate = _signer(part, where)
    if key_id_of(certificate.public_key()) != identifier:
        raise _altered(where)
    _check_cms(part, certificate, content, where)
    return certificate


def check_path(
    checked: CheckedSignature, ca: x509.Certificate, moment: datetime, others: list[x509.Certificate]
) -> str:
    """Why the signer's certificate does not lead to the CA at ``moment`` (RFC 5280 6); empty where it does."""
    assert checked.certificate is not None
    leaf = checked.certificate
    try:
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
        if not (usage.digital_signature or usage.content_commitment):
            return "its certificate is not for signing"
    except (x509.ExtensionNotFound, ValueError):
        return "its certificate does not say that it is for signing (Key Usage)"
    policy = PolicyBuilder().store(Store([ca])).time(moment.replace(tzinfo=None))
    extensions = {"ca_policy": ExtensionPolicy.webpki_defaults_ca(), "ee_policy": ExtensionPolicy.permit_all()}
    try:
        policy.extension_policies(**extensions).build_client_verifier().verify(leaf, others)
    except VerificationError as error:
        return f"its certificate does not lead to the CA ({error})"
    return ""


def other_certificates(signature: Signature) -> list[x509.Certificate]:
    """Every certificate that a CMS signature carries."""
    return [
        x509.load_der_x509_certificate(each) for each in _signer_part(signature.value, signature.where).certificates
    ]


def _signer_part(value: bytes, where: str) -> SignerPart:
    from iodeep.trust.signatures.der import signer_part  # a reader of ASN.1, for CMS alone

    return signer_part(value, where)


def _signer(part: SignerPart, where: str) -> x509.Certificate:
    try:
        for each in map(x509.load_der_x509_certificate, part.certificates):
            if each.serial_number == part.serial_number and each.issuer.public_bytes() == part.issuer:
                return each
    except ValueError as error:
        raise _altered(where) from error
    raise _altered(where)


def _check_cms(part: SignerPart, certificate: x509.Certificate, content: bytes, where: str) -> None:
    """RFC 5652 5.6: the digest of the content is among the signed attributes, and their signature holds."""
    algorithm = _HASHES.get(part.digest)
    if algorithm is None or hashlib.new(part.digest, content).digest() != part.message_digest:
        raise _altered(where)
    key = certificate.public_key()
    try:
        if isinstance(key, RSAPublicKey) and part.signature_algorithm == "rsassa_pkcs1v15":
            key.verify(part.signature, part.signed_attributes, PKCS1v15(), algorithm)
        elif isinstance(key, EllipticCurvePublicKey) and part.signature_algorithm == "ecdsa":
            key.verify(part.signature, part.signed_attributes, ECDSA(algorithm))
        else:
            raise _altered(where)
    except InvalidSignature as error:
        raise _altered(where) from error


def _altered(where: str) -> IntegrityError:
    return IntegrityError(
        f"{where} does not hold: what it signs, or the signature itself, was altered",
        remedy="Remove that instance from the archive, find out who altered it, and have the model signed again.",
    )
