"""What is signed: one canonical JSON document that pins the manifest and every attribute that a model is found by.

The manifest's digest covers the card, all UIDs, and each part's UID, length and digest; the attributes are those that
C-FIND matches on and that the reader compares. Role, time and key are inside, so that a signature cannot be given another.
"""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from iodeep.errors import IntegrityError
from iodeep.model_object import ModelDescriptor
from iodeep.model_object.descriptor import found_by
from iodeep.model_object.manifest import Sha256, canonical_json
from iodeep.trust_settings import SignerRole

FORMAT: Literal["IODeep signature 1"] = "IODeep signature 1"
KEY_ID = r"^(ED25519|CMS) [0-9a-f]{40}$"


class Statement(BaseModel):
    """A signer's word on a model."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["IODeep signature 1"] = FORMAT
    role: Annotated[SignerRole, Field(strict=False)]
    signed_at: Annotated[datetime, Field(strict=False)]
    valid_until: Annotated[date | None, Field(strict=False)] = None
    """The last day on which it counts."""
    key: Annotated[str, Field(pattern=KEY_ID)]
    """Type of signature and identifier of the key."""
    manifest_sha256: Sha256
    attributes: dict[str, str]
    """What the descriptor's attributes have to be, by keyword."""

    @model_validator(mode="after")
    def _has_a_zone(self) -> Self:
        if self.signed_at.utcoffset() is None:
            raise ValueError("signed_at has no time zone")
        return self

    def encoded(self) -> bytes:
        """The bytes that are signed."""
        return canonical_json(self.model_dump(mode="json"))


def statement_of(
    descriptor: ModelDescriptor, role: SignerRole, key: str, signed_at: datetime, valid_until: date | None = None
) -> Statement:
    """The statement on a model whose descriptor was read, and so checked. ``key``: type and identifier."""
    return Statement(
        role=role,
        signed_at=signed_at.replace(microsecond=0),
        valid_until=valid_until,
        key=key,
        manifest_sha256=descriptor.identity.manifest_sha256,
        attributes=found_by(descriptor.manifest),
    )


def statement_of_bytes(encoded: bytes, where: str) -> Statement:
    """The statement of bytes whose signature holds; IntegrityError where it is not in the one canonical form."""
    try:
        statement = Statement.model_validate(json.loads(encoded))
        canonical = statement.encoded()
    except (ValidationError, ValueError, RecursionError) as error:
        raise _malformed(where) from error
    if canonical != encoded:
        raise _malformed(where)
    return statement


def _malformed(where: str) -> IntegrityError:
    return IntegrityError(
        f"the statement of {where} is not one that this software reads",
        expected=FORMAT,
        remedy="Update IODeep, or have the model signed again with `iodeep sign`.",
    )
