"""The chain of signed records, and its end: read as a whole, or not at all.

Each record is signed by the site's key and names the one before it, and the number and digest of the last one are signed
too: so a record that was altered, lost, added or moved is noticed wherever it stands. Only that an older chain was put
back as a whole isn't noticed here, but by who remembers a newer one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from iodeep.errors import IntegrityError, SettingsError
from iodeep.model_object.manifest import canonical_json
from iodeep.trust.lifecycle.ledger import REMEDY, Ledger
from iodeep.trust.lifecycle.record import StateRecord
from iodeep.trust.signatures import SigningKey
from iodeep.trust.signatures.checking import check_bytes
from iodeep.trust.signatures.signing import signed_bytes


@dataclass(frozen=True)
class SignedRecord:
    """A record's canonical bytes, and the site's signature over them."""

    content: bytes
    value: bytes


@dataclass(frozen=True)
class ChainEnd:
    """How many records there are, the digest of the last, and the site's signature over both."""

    sequence: int
    sha256: str
    value: bytes

    def encoded(self) -> bytes:
        """The bytes that are signed."""
        return canonical_json({"format": "IODeep states end 1", "sequence": self.sequence, "sha256": self.sha256})


class SiteKey:
    """The register's own key: it signs records, and reads those that it signed."""

    def __init__(self, key: SigningKey) -> None:
        public = key.private.public_key()
        if key.certificate is not None or not isinstance(public, Ed25519PublicKey):
            raise SettingsError(
                "the register's key is not an Ed25519 key", remedy="`iodeep signing-key new --no-passphrase` makes one."
            )
        self._key = key
        self._public = public
        self._known: dict[SignedRecord, StateRecord] = {}
        self._seen: tuple[tuple[SignedRecord, ...], Ledger] = ((), Ledger())

    @property
    def type_and_id(self) -> str:
        """As a signature names it."""
        return self._key.type_and_id

    def sign(self, record: StateRecord) -> SignedRecord:
        """The record with its signature."""
        content = record.encoded()
        return SignedRecord(content, signed_bytes(content, self._key))

    def end_of(self, ledger: Ledger) -> ChainEnd:
        """The end of the chain, signed."""
        end = ChainEnd(ledger.sequence, ledger.head, b"")
        return ChainEnd(end.sequence, end.sha256, signed_bytes(end.encoded(), self._key))

    def read_record(self, signed: SignedRecord, where: str) -> StateRecord:
        """A record whose signature holds. What this process has checked once it does not check again, byte for byte the same."""
        known = self._known.get(signed)
        if known is None:
            known = self._known[signed] = self._checked(signed, where)
        return known

    def read(self, records: Sequence[SignedRecord], end: ChainEnd | None) -> Ledger:
        """The ledger of the whole chain, the caller's own. IntegrityError where anything in it is not as it was written.

        What this process read last is compared byte for byte, and only what came since is worked out anew.
        """
        seen, known = self._seen
        ledger = known.copy() if tuple(records[: len(seen)]) == seen else Ledger()
        for number, signed in enumerate(records[ledger.sequence :], start=ledger.sequence + 1):
            ledger.add(self.read_record(signed, f"record {number} of the register of model states"))
        self._check_end(ledger, end)
        self._seen = (tuple(records), ledger)
        return ledger.copy()

    def _check_end(self, ledger: Ledger, end: ChainEnd | None) -> None:
        if end is None and not ledger.sequence:
            return
        if end is None or (end.sequence, end.sha256) != (ledger.sequence, ledger.head):
            raise IntegrityError(
                "the register of model states has lost its newest records, or the mark of its end",
                expected=f"{end.sequence} records" if end else "the mark of its end",
                found=f"{ledger.sequence} records",
                remedy=REMEDY,
            )
        self._check(end.encoded(), end.value, "the mark of the end of the register of model states")

    def _checked(self, signed: SignedRecord, where: str) -> StateRecord:
        self._check(signed.content, signed.value, where)
        try:
            record = StateRecord.model_validate(json.loads(signed.content))
        except (ValidationError, ValueError, RecursionError) as error:
            raise IntegrityError(f"{where} is not one that this software reads", remedy="Update IODeep.") from error
        if record.sha256 != hashlib.sha256(signed.content).hexdigest():
            raise IntegrityError(f"{where} is not in canonical form", remedy=REMEDY)
        return record

    def _check(self, content: bytes, value: bytes, where: str) -> None:
        try:
            check_bytes(content, value, self.type_and_id, where, self._public)
        except IntegrityError as error:
            raise IntegrityError(
                f"{where} was altered, or signed with another key than this site's",
                expected=f"a signature by {self.type_and_id}",
                remedy=f"If this machine shares the database with others, give it their key ([lifecycle] key). Otherwise: {REMEDY}",
            ) from error
