"""The site's signed list of keys and models that count no longer. A list that cannot be trusted withdraws everything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from iodeep.errors import InputError, IntegrityError, NotTrustedError
from iodeep.model_object.local_files import whole_file
from iodeep.model_object.manifest import canonical_json
from iodeep.trust.signatures.checking import check_bytes
from iodeep.trust.signatures.keys import SigningKey
from iodeep.trust.signatures.signing import signed_bytes

MOST_BYTES = 16 << 20
FORMAT: Literal["IODeep revocations 1"] = "IODeep revocations 1"


class RevocationList(BaseModel):
    """What is withdrawn, each with the reason."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["IODeep revocations 1"] = FORMAT
    issued_at: datetime
    valid_until: date
    """The last day on which it may be relied on; a newer one has to be there by then."""
    keys: dict[Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")], str] = Field(default_factory=dict)
    """Key identifiers."""
    manifests: dict[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], str] = Field(default_factory=dict)
    """Manifest digests of models."""

    def with_revoked(self, what: str, reason: str, issued_at: datetime, valid_until: date) -> RevocationList:
        """The list with one more entry. ``what``: a key's identifier or a manifest's digest; InputError for anything else."""
        try:
            return RevocationList(
                issued_at=issued_at,
                valid_until=valid_until,
                keys=self.keys | ({what: reason} if len(what) != 64 else {}),
                manifests=self.manifests | ({what: reason} if len(what) == 64 else {}),
            )
        except ValidationError as error:
            raise InputError(
                f"{what!r} is neither a key's identifier nor a manifest's digest",
                expected="40 hexadecimal digits (`iodeep signing-key show`), or 64 (`iodeep show`)",
            ) from error


def write_revocations(path: Path, revoked: RevocationList, key: SigningKey) -> None:
    """The list, signed, as one JSON document."""
    content = revoked.model_dump(mode="json")
    document = {
        "list": content,
        "key": key.type_and_id,
        "signature": signed_bytes(canonical_json(content), key).hex(),
    }
    with whole_file(path) as file:
        file.write(json.dumps(document, indent=2, sort_keys=True).encode() + b"\n")


@dataclass(frozen=True)
class Revocations:
    """Where the site's list is, and the key that it is signed with; read anew each time, so that a new list counts at once."""

    path: Path
    key: Ed25519PublicKey

    def current(self, now: datetime) -> RevocationList:
        """The list. Errors: :class:`iodeep.errors.NotTrustedError` where it is missing, altered, or too old to rely on."""
        revoked = self.read()
        if not revoked.issued_at.date() <= now.date() <= revoked.valid_until:
            raise NotTrustedError(
                f"the list of what is revoked, {self.path}, is out of date",
                expected=f"a list for {now:%Y-%m-%d}",
                found=f"one for {revoked.issued_at:%Y-%m-%d} to {revoked.valid_until}",
                remedy="Sign a new one with `iodeep revoke`, and look whether this machine's clock is right.",
            )
        return revoked

    def read(self) -> RevocationList:
        """The list, however old."""
        try:
            document = _document(self.path)
            content, key, signature = document["list"], document["key"], bytes.fromhex(document["signature"])
            check_bytes(canonical_json(content), signature, key, str(self.path), self.key)
            return RevocationList.model_validate(content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, IntegrityError) as error:
            raise NotTrustedError(
                f"the list of what is revoked, {self.path}, cannot be relied on: {_why(error)}",
                remedy="Put the list back as it was signed, or sign a new one with `iodeep revoke`. Until then no model runs.",
            ) from error


def _document(path: Path) -> Mapping[str, str]:
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError("it is too large")
    document: Mapping[str, str] = json.loads(content)
    return document


def _why(error: Exception) -> str:
    if isinstance(error, IntegrityError):
        return "its signature does not hold, or is of another key"
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not such a list"
