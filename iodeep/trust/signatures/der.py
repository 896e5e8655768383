"""The few places where we look into DER ourselves, by asn1crypto's definitions or its parser (X.690; RFC 3161; RFC 5280; RFC 5652)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from asn1crypto.cms import CMSAttributes, ContentInfo, SignedData, SignerInfo
from asn1crypto.keys import PublicKeyInfo
from asn1crypto.parser import emit, parse

from iodeep.errors import IntegrityError

_DATA = "data"


@dataclass(frozen=True)
class SignerPart:
    """Of a CMS SignedData with one signer: what its signature is over, and by what."""

    certificates: tuple[bytes, ...]
    """DER, in the order in which they stand."""
    serial_number: int
    issuer: bytes
    """DER of the signer's issuer name."""
    digest: str
    """Such as ``sha256``."""
    signed_attributes: bytes
    """DER of the SET OF attributes (RFC 5652 5.4)."""
    message_digest: bytes
    signature_algorithm: str
    """``rsassa_pkcs1v15`` or ``ecdsa``."""
    signature: bytes


def subject_public_key(spki: bytes) -> bytes:
    """The BIT STRING of a SubjectPublicKeyInfo, without the octet that counts its unused bits."""
    return bytes(PublicKeyInfo.load(spki)["public_key"].contents[1:])


def signer_part(encoded: bytes, where: str) -> SignerPart:
    """The one signer of a detached CMS signature (RFC 5652 5); IntegrityError for anything else."""
    try:
        return _signer_part(encoded)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError) as error:
        raise IntegrityError(
            f"{where} holds no CMS signature that can be read: {error}",
            expected="a detached SignedData with one signer and signed attributes (RFC 5652)",
            remedy="It was altered: fetch it again, or have the model signed again.",
        ) from error


def _signer_part(encoded: bytes) -> SignerPart:
    info = ContentInfo.load(encoded)  # an OB's padding may follow it
    if encoded[len(info.dump()) :].strip(b"\0"):
        raise ValueError("something follows it")
    if info["content_type"].native != "signed_data":
        raise ValueError("it is not signed data")
    signed = info["content"]
    if signed["encap_content_info"]["content"].native is not None:
        raise ValueError("it is not detached")
    if signed["encap_content_info"]["content_type"].native != _DATA:
        raise ValueError("its content is not data")
    (signer,) = signed["signer_infos"]
    _check_plain(signed, signer)
    if signer["sid"].name != "issuer_and_serial_number":
        raise ValueError("its signer is not named by issuer and serial number")
    attributes: CMSAttributes = signer["signed_attrs"]
    values = {each["type"].native: each["values"] for each in attributes}
    if len(values) != len(attributes) or any(len(each) != 1 for each in values.values()):
        raise ValueError("an attribute stands twice")
    if values["content_type"][0].native != _DATA:
        raise ValueError("its signed content type is not data")
    return SignerPart(
        certificates=tuple(each.chosen.dump() for each in signed["certificates"]),
        serial_number=signer["sid"].chosen["serial_number"].native,
        issuer=signer["sid"].chosen["issuer"].dump(),
        digest=signer["digest_algorithm"]["algorithm"].native,
        signed_attributes=attributes.untag().dump(force=True),
        message_digest=values["message_digest"][0].native,
        signature_algorithm=signer["signature_algorithm"].signature_algo,
        signature=signer["signature"].native,
    )


def _check_plain(signed: SignedData, signer: SignerInfo) -> None:
    """What no signature covers says what it has to, and nothing besides, so that nobody can change it unseen."""
    if (signed["version"].native, signer["version"].native) != ("v1", "v1"):
        raise ValueError("its version is not 1")
    (digest,) = signed["digest_algorithms"]
    if digest.dump() != signer["digest_algorithm"].dump() or digest["parameters"].native is not None:
        raise ValueError("its digest algorithms differ")
    if signed["crls"].native is not None or signer["unsigned_attrs"].native is not None:
        raise ValueError("it carries what it does not sign")
    name = digest["algorithm"].native
    if signer["signature_algorithm"]["algorithm"].native not in {f"{name}_ecdsa", f"{name}_rsa", "rsassa_pkcs1v15"}:
        raise ValueError("its signature is over another digest")
    if signer["signature_algorithm"]["parameters"].native is not None:
        raise ValueError("its signature algorithm has parameters")


_SEQUENCE, _UNIVERSAL, _CONTEXT, _CONSTRUCTED = 16, 0, 2, 1
_GRANTED = bytes.fromhex("3003020100")
"""PKIStatusInfo of an answer that is nothing but granted (RFC 3161 2.4.2)."""


def granted(token: bytes) -> bytes:
    """A TimeStampResp with this token; what follows the token, as an OB's padding does, is left out. ValueError where it is none."""
    return _made(_UNIVERSAL, _SEQUENCE, _GRANTED + _in_order(next(_elements(token))[2]))


def response_in_order(encoded: bytes) -> bytes:
    """A TimeStampResp whose token has its certificates in DER's order."""
    ((_, _, _, content),) = _elements(encoded)
    status, *tokens = (raw for _, _, raw, _ in _elements(content))
    return _made(_UNIVERSAL, _SEQUENCE, status + b"".join(map(_in_order, tokens)))


def _in_order(token: bytes) -> bytes:
    """The token with its certificates in the order of a SET OF (X.690 11.6), which many time authorities don't keep to.

    No signature is over that order; the verifier asks for it.
    """
    ((_, _, _, content),) = _elements(token)
    kind, (_, _, _, wrapped) = _elements(content)
    ((_, _, _, signed),) = _elements(wrapped)
    parts = b"".join(_sorted(part) if part[:2] == (_CONTEXT, 0) else part[2] for part in _elements(signed))
    inner = _made(_CONTEXT, 0, _made(_UNIVERSAL, _SEQUENCE, parts))
    return _made(_UNIVERSAL, _SEQUENCE, kind[2] + inner)


def _sorted(part: _Element) -> bytes:
    return _made(_CONTEXT, part[1], b"".join(sorted(raw for _, _, raw, _ in _elements(part[3]))))


def _made(kind: int, tag: int, contents: bytes) -> bytes:
    return bytes(emit(kind, _CONSTRUCTED, tag, contents))


_Element = tuple[int, int, bytes, bytes]
"""Class, tag, the whole of it, its content."""


def _elements(contents: bytes) -> Iterator[_Element]:
    while contents:
        kind, _, tag, header, content, trailer = parse(contents)
        raw = header + content + trailer
        yield kind, tag, raw, content
        contents = contents[len(raw) :]
