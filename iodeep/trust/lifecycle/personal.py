"""What a person signs to change a state: the wish, the release by its manifest, and the last record that they saw of it.

Because that record is named, a signature is good for one change and can never be used again.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from iodeep.errors import InputError, IntegrityError
from iodeep.model_object.manifest import UID, Sha256, canonical_json
from iodeep.trust.lifecycle.record import PersonalSignature, StateRecord, Text
from iodeep.trust.lifecycle.states import ModelState, goes_without_shadow
from iodeep.trust.signatures import SigningKey
from iodeep.trust.signatures.signing import signed_bytes

FORMAT: Literal["IODeep decision 1"] = "IODeep decision 1"


class PersonalStatement(BaseModel):
    """A person's word on what shall become of a release."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["IODeep decision 1"] = FORMAT
    sop_instance_uid: UID
    manifest_sha256: Sha256
    seen: Sha256
    """Of the release's newest record when it was signed."""
    wanted: Annotated[ModelState, Field(strict=False)]
    skip_shadow: bool
    by: Text
    reason: Text
    signed_at: Annotated[datetime, Field(strict=False)]

    def encoded(self) -> bytes:
        """The bytes that are signed."""
        return canonical_json(self.model_dump(mode="json"))

    def is_that_of(self, record: StateRecord, seen: str) -> bool:
        """Whether the record does what was signed, where the release's newest record before it is ``seen``."""
        return self == self.model_copy(
            update={
                "sop_instance_uid": record.release.sop_instance_uid,
                "manifest_sha256": record.release.manifest_sha256,
                "seen": seen,
                "wanted": record.wanted,
                "skip_shadow": record.skip_shadow,
                "by": record.by,
                "reason": record.reason,
            }
        )


def sign_decision(last: StateRecord, wanted: ModelState, key: SigningKey, *, by: str, reason: str) -> PersonalSignature:
    """A person's signature for a change of the release whose newest record is ``last``. InputError for what is no Ed25519 key."""
    public = key.private.public_key()
    if key.certificate is not None or not isinstance(public, Ed25519PublicKey):
        raise InputError("a decision is signed with an Ed25519 key", remedy="`iodeep signing-key new` makes one.")
    statement = PersonalStatement(
        sop_instance_uid=last.release.sop_instance_uid,
        manifest_sha256=last.release.manifest_sha256,
        seen=last.sha256,
        wanted=wanted,
        skip_shadow=goes_without_shadow(last.after, wanted),
        by=by,
        reason=reason,
        signed_at=datetime.now(UTC).replace(microsecond=0),
    )
    encoded = statement.encoded()
    return PersonalSignature(
        statement=encoded.decode(),
        value=signed_bytes(encoded, key).hex(),
        public_key=public.public_bytes_raw().hex(),
    )


def check_decision(signature: PersonalSignature) -> PersonalStatement:
    """What was signed, where the signature holds. IntegrityError where it doesn't, or is no decision."""
    encoded = signature.statement.encode()
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signature.public_key))
        key.verify(bytes.fromhex(signature.value), encoded)
        statement = PersonalStatement.model_validate(json.loads(encoded))
    except (InvalidSignature, ValidationError, ValueError, RecursionError) as error:
        raise IntegrityError("a person's signature on a change of state does not hold") from error
    if statement.encoded() != encoded:
        raise IntegrityError("a person's signature is on a statement that is not in canonical form")
    return statement
