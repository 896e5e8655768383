"""Who vouches for a model: the statement that is signed, keys, signing, and whether a signature is what it says."""

from __future__ import annotations

from iodeep.trust.signatures.checking import CheckedSignature, check_signature
from iodeep.trust.signatures.keys import SigningKey, key_id_of, make_key, read_public, read_signing_key
from iodeep.trust.signatures.signing import sign_statement
from iodeep.trust.signatures.statement import Statement, statement_of
from iodeep.trust_settings import SignerRole

__all__ = [
    "CheckedSignature",
    "SignerRole",
    "SigningKey",
    "Statement",
    "check_signature",
    "key_id_of",
    "make_key",
    "read_public",
    "read_signing_key",
    "sign_statement",
    "statement_of",
]
