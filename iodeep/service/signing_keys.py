"""The key that somebody signs with, by what they named it: a PEM file, ``env:NAME`` (a variable with the PEM), or a key in a token.

Passphrases and PINs come out of the environment or are asked for; they are in no message, log or repr.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from iodeep.errors import InputError
from iodeep.service.configuration import secret, signing_passphrase, token_pin
from iodeep.trust.signatures import SigningKey
from iodeep.trust.signatures.keys import is_encrypted, read_certificate, read_key_file, signing_key_of, with_certificate
from iodeep.trust.signatures.pkcs11_uri import is_key_uri, key_uri

Ask = Callable[[str], str]
"""Shows a prompt and gives what a person typed, unseen."""


def nobody_to_ask(prompt: str) -> str:
    """For where no person is."""
    raise InputError(
        f"nobody can be asked: {prompt}",
        remedy="Set the variable IODEEP_KEY_PASSPHRASE, or IODEEP_PKCS11_PIN for a token.",
    )


def signing_key(
    named: str, certificate: Path | None = None, *, module: Path | None = None, ask: Ask = nobody_to_ask
) -> SigningKey:
    """The key called ``named``: a path, ``env:NAME``, or ``pkcs11:...`` (RFC 7512).

    ``certificate``: then it signs by CMS; a key in a token takes the one beside it there. ``module``: ``[trust] pkcs11_module``.
    Errors: :class:`iodeep.errors.InputError`, :class:`iodeep.errors.SettingsError`.
    """
    if is_key_uri(named):
        return _in_token(named, certificate, module, ask)
    content = secret(named).encode() if named.startswith("env:") else read_key_file(Path(named))
    passphrase = ""
    if is_encrypted(content):
        passphrase = signing_passphrase() or ask(f"Passphrase of {named}")
    return signing_key_of(content, named, passphrase, certificate)


def _in_token(named: str, certificate: Path | None, module: Path | None, ask: Ask) -> SigningKey:
    from iodeep.trust.signatures.tokens import token_key  # imports what only the extra `hsm` installs

    uri = key_uri(named)
    pin = token_pin() or ask(f"PIN of {uri.token or 'the token'}")
    key, beside = token_key(uri, module, pin)
    return with_certificate(key, read_certificate(certificate) if certificate else beside, str(uri))
