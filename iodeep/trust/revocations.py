"""Signed lists of keys and models that count no longer, the site's own and others'. One that cannot be trusted withdraws everything."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from iodeep.errors import InputError, IntegrityError, NotTrustedError
from iodeep.model_object.local_files import whole_file
from iodeep.model_object.manifest import canonical_json
from iodeep.trust.signatures.checking import check_bytes
from iodeep.trust.signatures.keys import ED25519, SigningKey, key_id_of
from iodeep.trust.signatures.signing import signed_bytes

MOST_BYTES = 16 << 20
FORMAT: Literal["IODeep revocations 1"] = "IODeep revocations 1"


class RevocationList(BaseModel):
    """What is withdrawn, each with the reason."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["IODeep revocations 1"] = FORMAT
    issued_at: AwareDatetime
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


@dataclass(frozen=True)
class SignedList:
    """A list as it was signed; nothing is checked."""

    content: bytes
    """Canonical JSON."""
    value: bytes
    """The signature over exactly these bytes."""
    type_and_key: str
    where: str = ""

    def checked(self, key: Ed25519PublicKey) -> RevocationList:
        """The list. Errors: :class:`iodeep.errors.NotTrustedError` where the key did not sign exactly this."""
        try:
            check_bytes(self.content, self.value, self.type_and_key, self.where, key)
            return RevocationList.model_validate(json.loads(self.content))
        except (ValueError, TypeError, RecursionError, IntegrityError) as error:
            raise _unreliable(self.where, error) from error

    def as_file(self) -> bytes:
        """One JSON document for people and files; the bytes that are signed are the canonical ones of ``list``."""
        document = {"list": json.loads(self.content), "key": self.type_and_key, "signature": self.value.hex()}
        return json.dumps(document, indent=2, sort_keys=True).encode() + b"\n"


def sign_list(revoked: RevocationList, key: SigningKey) -> SignedList:
    """The list, signed. InputError for a key that is none for lists."""
    if key.certificate is not None:
        raise InputError("a list of what is revoked is signed with an Ed25519 key", found="a key with a certificate")
    content = canonical_json(revoked.model_dump(mode="json"))
    return SignedList(content, signed_bytes(content, key), key.type_and_id)


def write_revocations(path: Path, revoked: RevocationList, key: SigningKey) -> SignedList:
    """The list, signed, as a file."""
    signed = sign_list(revoked, key)
    with whole_file(path) as file:
        file.write(signed.as_file())
    return signed


def read_list_file(path: Path) -> SignedList:
    """What such a file holds. Errors: :class:`iodeep.errors.NotTrustedError` where it is none."""
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(MOST_BYTES))  # what is longer is no JSON any more
        content, key, signature = document["list"], document["key"], bytes.fromhex(document["signature"])
        return SignedList(canonical_json(content), signature, str(key), str(path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreliable(str(path), error) from error


@dataclass(frozen=True)
class Revocations:
    """Where an issuer's list is, and the key that it is signed with; read anew each time, so that a new list counts at once."""

    path: Path | None
    key: Ed25519PublicKey
    fetched: Path | None = None
    """The newest that came out of an archive."""
    refresh: Callable[[], None] = lambda: None
    """Looks whether the archive has a newer one, where that wasn't done a moment ago."""

    @property
    def issuer(self) -> str:
        """Type and identifier of the key."""
        return f"{ED25519} {key_id_of(self.key)}"

    @property
    def where(self) -> str:
        """How messages name it."""
        return str(self.path or self.fetched)

    def current(self, now: datetime) -> RevocationList:
        """The newest list. Errors: :class:`iodeep.errors.NotTrustedError` where it is missing, altered, or too old to rely on."""
        self.refresh()
        revoked = self.read()
        if not revoked.issued_at.date() <= now.date() <= revoked.valid_until:
            raise NotTrustedError(
                f"the list of what is revoked, {self.where}, is out of date",
                expected=f"a list for {now:%Y-%m-%d}",
                found=f"one for {revoked.issued_at:%Y-%m-%d} to {revoked.valid_until}",
                remedy="Sign a new one with `iodeep revoke`, and look whether this machine's clock is right.",
            )
        return revoked

    def read(self) -> RevocationList:
        """The newest list, however old; one that is there and doesn't hold makes all of them doubtful."""
        there = [path for path in (self.path, self.fetched) if path is not None and path.exists()]
        if not there and self.path is not None:
            there = [self.path]
        lists = [read_list_file(path).checked(self.key) for path in there]
        if not lists:
            raise NotTrustedError(
                "no list of what is revoked came out of the archive yet",
                expected=f"one that was signed with {self.issuer}",
                remedy="Store it there with `iodeep revoke --store`, and look whether the archive answers. Until then no model runs.",
            )
        return max(lists, key=lambda each: each.issued_at)


@dataclass(frozen=True)
class Withdrawn:
    """What all lists together withdraw, each with the reason."""

    keys: Mapping[str, str] = field(default_factory=dict)
    manifests: Mapping[str, str] = field(default_factory=dict)


def withdrawn_by(lists: Iterable[RevocationList]) -> Withdrawn:
    """Everything that any of the lists withdraws."""
    keys: dict[str, str] = {}
    manifests: dict[str, str] = {}
    for each in lists:
        keys |= each.keys
        manifests |= each.manifests
    return Withdrawn(keys, manifests)


def _unreliable(where: str, error: Exception) -> NotTrustedError:
    return NotTrustedError(
        f"the list of what is revoked, {where}, cannot be relied on: {_why(error)}",
        remedy="Put the list back as it was signed, or sign a new one with `iodeep revoke`. Until then no model runs.",
    )


def _why(error: Exception) -> str:
    if isinstance(error, IntegrityError):
        return "its signature does not hold, or is of another key"
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not such a list"
