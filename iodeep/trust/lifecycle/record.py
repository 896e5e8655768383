"""One change of state as a document: canonical JSON, signed by the site's key, that names the record before it."""

from __future__ import annotations

import hashlib
from datetime import datetime
from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from iodeep.model_object.manifest import Sha256, canonical_json
from iodeep.trust.lifecycle.states import ModelState, RegisteredRelease

FORMAT: Literal["IODeep state 1"] = "IODeep state 1"
START = "0" * 64
"""What the first record names as the one before it."""

SUBJECT = "subject"
"""Name of the evidence that says by which identifier of the site's provider somebody was signed in, whatever they are called there."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=4000)]


class PersonalSignature(BaseModel):
    """What a person signed with a key of their own, and by which; see :mod:`iodeep.trust.lifecycle.personal`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    statement: Annotated[str, StringConstraints(min_length=1, max_length=16_000)]
    """Canonical JSON; the signature is over its UTF-8."""
    value: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]
    public_key: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    """Ed25519 (RFC 8032), raw."""


class StateRecord(BaseModel):
    """A change of a release's state; an approval that waits for another; or, where nothing else was wanted, a note."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["IODeep state 1"] = FORMAT
    sequence: Annotated[int, Field(ge=1)]
    """Place in the site's chain, from 1."""
    previous: Sha256
    """SHA-256 of the record before it in the chain, as :meth:`encoded`."""
    release: RegisteredRelease
    before: Annotated[ModelState | None, Field(strict=False)]
    """None: the site did not know the release."""
    wanted: Annotated[ModelState, Field(strict=False)]
    """What was asked for. It differs from ``after`` where an approval waits for another."""
    after: Annotated[ModelState, Field(strict=False)]
    at: Annotated[datetime, Field(strict=False)]
    """UTC."""
    by: Text
    """A person, or the service."""
    reason: Text
    evidence: Annotated[dict[str, str], Field(max_length=32)] = Field(default_factory=dict)
    """What was found, by name: ``self-test``, ``runtime``, ``provider`` ..."""
    approvals: Annotated[int, Field(ge=0, le=2)] = 0
    """Of an approval: how many different people the site asked for."""
    skip_shadow: bool = False
    """Of an approval: whether the release never ran as a shadow."""
    signature: PersonalSignature | None = None
    """Of the person, where the site asks for one."""

    def encoded(self) -> bytes:
        """The bytes that the site signs, and whose SHA-256 the next record names."""
        return canonical_json(self.model_dump(mode="json"))

    @cached_property
    def sha256(self) -> str:
        """By which the next record names this one."""
        return hashlib.sha256(self.encoded()).hexdigest()

    @property
    def is_note(self) -> bool:
        """Whether it says something and changes nothing."""
        return self.before is self.wanted is self.after

    @property
    def is_approval(self) -> bool:
        """Whether it is a person's approval, the last one that was needed or not."""
        return self.wanted is ModelState.APPROVED and not self.is_note
