"""A file that the receiver alone can open: the age format (age-encryption.org/v1), through ``pyrage``.

Chosen over CMS EnvelopedData as ``cryptography`` writes it, which holds the whole file in memory and says nothing of
alterations: age streams, and each 64 KiB are authenticated. Receivers are named by keys that hospitals have: OpenSSH or
PEM public keys (Ed25519, RSA), X.509 certificates of such keys, or age's own.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Protocol

import pyrage
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from iodeep.errors import InputError, IntegrityError
from iodeep.model_object.local_files import open_input, storage_errors, whole_file

SUFFIX = ".age"
_MAGIC = b"age-encryption.org/v1\n"
_LARGEST_KEY = 1 << 16
_KINDS = "an Ed25519 or RSA key: ssh-keygen -t ed25519 makes one, and so does openssl genpkey"


class _Sink(Protocol):
    def write(self, piece: bytes, /) -> int: ...


def is_sealed(path: Path) -> bool:
    """Whether a file is in the age format, from its first line."""
    with open_input(path) as file:
        return file.read(len(_MAGIC)) == _MAGIC


def seal(plain: Path, receiver: Path, target: Path) -> None:
    """Write ``plain`` to ``target`` for the holder of the private key of ``receiver``, and read it back.

    What only the receiver can open cannot be read back with the receiver's key: a second key, made for this and
    forgotten when this returns, opens it too. Raises InputError for a key that cannot be used.
    """
    recipient, witness = _recipient(receiver), pyrage.x25519.Identity.generate()
    with whole_file(target) as file:
        with open_input(plain) as source:
            pyrage.encrypt_io(source, file, [recipient, witness.to_public()])
        file.flush()
        written = _Digest()
        with Path(file.name).open("rb") as sealed:
            _decrypt(sealed, written, witness, target)
        if written.hexdigest() != _sha256(plain):
            raise IntegrityError(f"{target.name} is not what was encrypted when it is read back")


def unseal(sealed: Path, key: Path | None, target: Path) -> None:
    """Open a file that was encrypted to the public half of ``key``.

    Raises InputError where no key or another one was given, IntegrityError where the file was altered or cut off.
    """
    if key is None:
        raise InputError(
            f"{sealed.name} is encrypted to its receiver", remedy="Name the file of your private key with --key."
        )
    identity = _identity(key)
    with whole_file(target) as file, open_input(sealed) as source:
        _decrypt(source, file, identity, sealed)


def _decrypt(source: Any, sink: Any, identity: Any, named: Path) -> None:
    try:
        pyrage.decrypt_io(source, sink, [identity])
    except pyrage.DecryptError as error:
        if "matching" in str(error).lower():
            raise InputError(
                f"{named.name} was not encrypted to this key",
                expected="the private key whose public half the sender was given",
                remedy="Name that key with --key, or have it encrypted again.",
            ) from error
        raise _altered(named, str(error)) from error
    except OSError as error:  # how pyrage tells that a chunk's authentication failed or the end is missing
        if error.errno is not None:
            with storage_errors(named):
                raise
        raise _altered(named, str(error)) from error


def _altered(named: Path, reason: str) -> IntegrityError:
    return IntegrityError(
        f"{named.name} was altered or is not whole: {reason}",
        remedy="Ask the hospital that gave it for another copy.",
    )


def _recipient(path: Path) -> Any:
    text = _key_text(path)
    try:
        if text.startswith("age1"):
            return pyrage.x25519.Recipient.from_str(text.strip())
        return pyrage.ssh.Recipient.from_str(text if text.startswith("ssh-") else _openssh(text))
    except (ValueError, TypeError, pyrage.RecipientError) as error:
        raise _unusable(path, str(error)) from error


def _openssh(text: str) -> str:
    encoded = text.encode()
    is_certificate = "BEGIN CERTIFICATE" in text
    key: object = (
        x509.load_pem_x509_certificate(encoded).public_key() if is_certificate else load_pem_public_key(encoded)
    )
    if not isinstance(key, Ed25519PublicKey | RSAPublicKey):
        raise TypeError("it is of another kind")
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _identity(path: Path) -> Any:
    text = _key_text(path)
    try:
        if "AGE-SECRET-KEY-1" in text:
            secret = next(line for line in text.splitlines() if line.startswith("AGE-SECRET-KEY-1"))
            return pyrage.x25519.Identity.from_str(secret.strip())
        return pyrage.ssh.Identity.from_buffer(
            text.encode() if "BEGIN OPENSSH PRIVATE KEY" in text else _openssh_private(text)
        )
    except (ValueError, TypeError, StopIteration, pyrage.IdentityError) as error:
        raise _unusable(path, type(error).__name__) from error  # its text may hold what it is about


def _openssh_private(text: str) -> bytes:
    key = load_pem_private_key(text.encode(), None)
    if not isinstance(key, Ed25519PrivateKey | RSAPrivateKey):
        raise TypeError("it is of another kind")
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def _key_text(path: Path) -> str:
    with open_input(path) as file:
        content = file.read(_LARGEST_KEY + 1)
    if len(content) > _LARGEST_KEY or not content.isascii():
        raise _unusable(path, "it is not a key")
    return content.decode("ascii").strip() + "\n"


def _unusable(path: Path, reason: str) -> InputError:
    return InputError(f"the key in {path} cannot be used: {reason}", expected=_KINDS)


class _Digest:
    """Where what is read back goes."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def write(self, piece: bytes) -> int:
        self._digest.update(piece)
        return len(piece)

    def flush(self) -> None:
        """Nothing is kept back."""

    def hexdigest(self) -> str:
        """Of all that was written."""
        return self._digest.hexdigest()


def _sha256(path: Path) -> str:
    with open_input(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
