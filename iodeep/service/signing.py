"""Signing a model: a statement about its descriptor, which was read and so checked, becomes an instance of its study."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

from iodeep.errors import InputError, LocalStorageError
from iodeep.model_object import ModelDescriptor, Signature, read_signature, write_signature
from iodeep.service.private_files import write_private
from iodeep.trust.signatures import SigningKey, check_signature, make_key, sign_statement, statement_of
from iodeep.trust.signatures.keys import ED25519
from iodeep.trust_settings import SignerRole


def sign_model(
    descriptor: ModelDescriptor,
    key: SigningKey,
    role: SignerRole,
    folder: Path,
    valid_until: date | None = None,
    *,
    stamped: Callable[[Signature], Signature] = lambda signature: signature,
) -> Path:
    """The signature as a DICOM file in ``folder``, read back and checked. ``stamped``: adds a time stamp."""
    now = datetime.now(UTC)
    if valid_until is not None and valid_until < now.date():
        raise InputError(f"{valid_until} is over already", expected="a day to come, as the last on which it counts")
    statement = statement_of(descriptor, role, key.type_and_id, now, valid_until)
    signature = stamped(sign_statement(statement, key))
    sha256 = descriptor.identity.manifest_sha256
    path = write_signature(folder, descriptor.manifest, sha256, signature, statement.signed_at)
    public = key.private.public_key() if key.type_and_id.startswith(ED25519) else None
    check_signature(read_signature(path), public)  # type: ignore[arg-type]  # Ed25519's, by its type
    return path


def write_new_key(path: Path, passphrase: str) -> Path:
    """A new signing key in ``path``, for its owner alone; gives the file with its public key, beside it."""
    public = path.with_suffix(".pub.pem")
    for each in (path, public):
        if each.exists():
            raise InputError(f"{each} exists already", remedy="Name another file: a key is never written over.")
    private_pem, public_pem = make_key(passphrase)
    try:
        write_private(path, private_pem)
        public.write_bytes(public_pem)
    except OSError as error:
        raise LocalStorageError(f"the key {path} cannot be written: {error.strerror}") from error
    return public
