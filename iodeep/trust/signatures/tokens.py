"""Keys in an HSM or smart card (PKCS #11): they sign there and never leave. The PIN is in no message and no repr.

A key looks like any other of `cryptography`, so that whatever signs needs to know nothing of tokens. Each signature has a session of
its own: nothing is left logged in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from asn1crypto.core import OctetString
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    EllipticCurve,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    EllipticCurveSignatureAlgorithm,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from iodeep.errors import InputError, SettingsError
from iodeep.trust.signatures.pkcs11_uri import KeyUri

if TYPE_CHECKING:
    import pkcs11

_WHY = {
    "PinIncorrect": "the PIN is wrong; a token locks itself after a few such tries",
    "PinLocked": "the PIN is locked after too many wrong tries: have the token's administrator unlock it",
    "PinInvalid": "the PIN is not one that it takes",
    "PinLenRange": "the PIN is too short or too long for it",
    "PinExpired": "the PIN has expired: set a new one with the token's own tool",
    "NoSuchToken": "no such token is there",
    "MultipleTokensReturned": "several tokens fit: name one by its serial",
    "TokenNotPresent": "no card is in the reader",
    "DeviceRemoved": "the token was taken out",
    "MechanismInvalid": "the token cannot sign in this way (Ed25519 asks for CKM_EDDSA)",
    "UserPinNotInitialized": "the token has no PIN yet",
}
_EXTRA = "Install IODeep with its extra `hsm` (pip install 'iodeep[hsm]')."


@dataclass(frozen=True)
class TokenKey:
    """A private key in a token, and how to get at it."""

    uri: KeyUri
    module: Path
    pin: str = field(repr=False)

    def sign(self, data: bytes, mechanism: str) -> bytes:
        """A signature in the token's own form. ``mechanism``: as PKCS #11 names it, without ``CKM_``."""
        import pkcs11

        with self.session() as session:
            key = _the_one(session, self.uri, pkcs11.ObjectClass.PRIVATE_KEY)
            return bytes(key.sign(data, mechanism=pkcs11.Mechanism[mechanism]))

    @contextmanager
    def session(self) -> Iterator[pkcs11.Session]:
        """The token, logged in to; InputError with the token's reason where something in it goes wrong."""
        import pkcs11

        wanted = {"token_label": self.uri.token, "token_serial": self.uri.serial.encode()}
        try:
            library = pkcs11.lib(str(self.module))
            token = library.get_token(**{name: value for name, value in wanted.items() if value})
            if not _fits(token, self.uri):
                raise pkcs11.NoSuchToken
            with token.open(user_pin=self.pin) as session:
                yield session
        except pkcs11.PKCS11Error as error:
            kind = type(error).__name__
            raise InputError(
                f"the token did not sign: {_WHY.get(kind, kind)}",
                found=str(self.uri),
                remedy="`pkcs11-tool --list-objects` or the token's own tool shows what it holds.",
            ) from None


def token_key(
    uri: KeyUri, module: Path | None, pin: str
) -> tuple[Ed25519PrivateKey | RSAPrivateKey | EllipticCurvePrivateKey, x509.Certificate | None]:
    """The key that the URI names, and the certificate that the token holds beside it.

    ``module``: the token's PKCS #11 library, where the URI doesn't name it. Errors: :class:`iodeep.errors.InputError`,
    :class:`iodeep.errors.SettingsError` where there is no such library.
    """
    library = uri.module_path or module
    if library is None or not library.is_file():
        raise SettingsError(
            "the PKCS #11 library of the token is not there",
            found=str(library) if library else "none was named",
            remedy="Set pkcs11_module under [trust] in iodeep.toml, or give module-path in the URI (?module-path=...).",
        )
    try:
        import pkcs11
    except ImportError as error:
        raise SettingsError("keys in tokens need the package python-pkcs11", remedy=_EXTRA) from error
    held = TokenKey(uri, library, pin)
    with held.session() as session:
        key = _the_one(session, uri, pkcs11.ObjectClass.PRIVATE_KEY)
        kind = key.key_type
        certificate = _certificate(session, key)
        if kind is pkcs11.KeyType.EC_EDWARDS:
            return TokenEd25519Key(held, _ed25519_public(session, key)), None
        public = _public(session, key, certificate)
    if isinstance(public, RSAPublicKey):
        return TokenRsaKey(held, public), certificate
    if isinstance(public, EllipticCurvePublicKey):
        return TokenEcKey(held, public), certificate
    raise InputError(
        "the key in the token is of a kind that signs no models", found=str(kind), expected="Ed25519, or RSA or EC"
    )


def _fits(token: pkcs11.Token, uri: KeyUri) -> bool:
    said = (token.manufacturer_id, token.model)
    return all(not wanted or wanted == found for wanted, found in zip((uri.manufacturer, uri.model), said, strict=True))


def _the_one(session: pkcs11.Session, uri: KeyUri, kind: Any) -> Any:
    import pkcs11

    wanted: dict[Any, Any] = {pkcs11.Attribute.CLASS: kind}
    if uri.object:
        wanted[pkcs11.Attribute.LABEL] = uri.object
    if uri.id:
        wanted[pkcs11.Attribute.ID] = uri.id
    found = list(session.get_objects(wanted))
    if len(found) != 1:
        raise InputError(
            f"the token holds {len(found) or 'no'} private keys that fit {uri}",
            expected="one",
            remedy="Name it by its `object` (label) or `id`; see what is there with `pkcs11-tool --list-objects`.",
        )
    return found[0]


def _beside(session: pkcs11.Session, key: Any, kind: Any) -> Any:
    """The object that goes with a private key: of the same CKA_ID, as every tool sets it; None where there is none."""
    import pkcs11

    return next(iter(session.get_objects({pkcs11.Attribute.CLASS: kind, pkcs11.Attribute.ID: key.id})), None)


def _certificate(session: pkcs11.Session, key: Any) -> x509.Certificate | None:
    import pkcs11

    found = _beside(session, key, pkcs11.ObjectClass.CERTIFICATE)
    return None if found is None else x509.load_der_x509_certificate(found[pkcs11.Attribute.VALUE])


def _ed25519_public(session: pkcs11.Session, key: Any) -> Ed25519PublicKey:
    """CKA_EC_POINT: the 32 bytes, in an OCTET STRING or as they are (PKCS #11 3.0 and 2.40 differ)."""
    import pkcs11

    public = _beside(session, key, pkcs11.ObjectClass.PUBLIC_KEY)
    if public is None:
        raise InputError("the token holds no public key beside the private one", remedy="Write it there too.")
    point = bytes(public[pkcs11.Attribute.EC_POINT])
    raw = point if len(point) == 32 else bytes(OctetString.load(point).native)
    return Ed25519PublicKey.from_public_bytes(raw)


def _public(session: pkcs11.Session, key: Any, certificate: x509.Certificate | None) -> Any:
    """The public key of an RSA or EC key: that of the certificate, or out of the token."""
    import pkcs11
    from pkcs11.util.ec import encode_ec_public_key

    if certificate is not None:
        return certificate.public_key()
    public = _beside(session, key, pkcs11.ObjectClass.PUBLIC_KEY)
    if public is None:
        raise InputError("the token holds neither certificate nor public key beside the private one")
    if key.key_type is pkcs11.KeyType.RSA:
        modulus, exponent = (public[each] for each in (pkcs11.Attribute.MODULUS, pkcs11.Attribute.PUBLIC_EXPONENT))
        return RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")).public_key()
    return load_der_public_key(encode_ec_public_key(public))


class _StaysInside:
    """What a key in a token does not do."""

    def _never(self, *_: Any, **__: Any) -> NoReturn:
        raise InputError("a key in a token does nothing but sign")

    private_bytes = private_bytes_raw = private_numbers = decrypt = exchange = _never

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, _memo: object) -> Any:
        return self


class TokenEd25519Key(_StaysInside, Ed25519PrivateKey):
    """Ed25519 (CKM_EDDSA)."""

    def __init__(self, held: TokenKey, public: Ed25519PublicKey) -> None:
        self._held, self._public = held, public

    def public_key(self) -> Ed25519PublicKey:
        """The public key."""
        return self._public

    def sign(self, data: Any) -> bytes:
        """RFC 8032."""
        return self._held.sign(bytes(data), "EDDSA")


class TokenRsaKey(_StaysInside, RSAPrivateKey):
    """RSASSA-PKCS1-v1_5 with SHA-256 (CKM_SHA256_RSA_PKCS)."""

    def __init__(self, held: TokenKey, public: RSAPublicKey) -> None:
        self._held, self._public = held, public

    @property
    def key_size(self) -> int:
        """Bits."""
        return self._public.key_size

    def public_key(self) -> RSAPublicKey:
        """The public key."""
        return self._public

    def sign(self, data: Any, padding: Any, algorithm: Any) -> bytes:
        """As CMS asks for it."""
        assert isinstance(padding, PKCS1v15)
        assert isinstance(algorithm, SHA256)
        return self._held.sign(bytes(data), "SHA256_RSA_PKCS")


class TokenEcKey(_StaysInside, EllipticCurvePrivateKey):
    """ECDSA with SHA-256 (CKM_ECDSA over the digest, which every token can)."""

    def __init__(self, held: TokenKey, public: EllipticCurvePublicKey) -> None:
        self._held, self._public = held, public

    @property
    def curve(self) -> EllipticCurve:
        """The curve."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """Bits."""
        return self._public.key_size

    def public_key(self) -> EllipticCurvePublicKey:
        """The public key."""
        return self._public

    def sign(self, data: Any, signature_algorithm: EllipticCurveSignatureAlgorithm) -> bytes:
        """As CMS asks for it: DER of r and s (RFC 3279 2.2.3)."""
        assert isinstance(signature_algorithm, ECDSA)
        assert isinstance(signature_algorithm.algorithm, SHA256)
        raw = self._held.sign(hashlib.sha256(bytes(data)).digest(), "ECDSA")
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
