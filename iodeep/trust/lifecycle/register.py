"""What the rest of the software asks of a site's register of states; the service keeps one in its database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from iodeep.trust.lifecycle.record import PersonalSignature, StateRecord
from iodeep.trust.lifecycle.states import ModelState, RegisteredRelease, Standing


class Register(Protocol):
    """The states of all releases that the site knows. The whole chain is checked each time that it is read.

    Every method raises :class:`iodeep.errors.IntegrityError` where a record was altered, lost or reordered: then nothing
    may run. Changes raise :class:`iodeep.errors.NotTrustedError` for what the rules do not allow.
    """

    def standing(self, sop_instance_uid: str) -> Standing | None:
        """Where the release stands; None where the site doesn't know it."""

    def standings(self) -> tuple[Standing, ...]:
        """Where every release stands, in the order of their arrival."""

    def history(self, sop_instance_uid: str) -> tuple[StateRecord, ...]:
        """Every record of a release, the first first."""

    def receive(self, release: RegisteredRelease, by: str, reason: str) -> Standing:
        """Notice a release: one that is new is received and put to quarantine, one that is as it was known is left alone.

        One that was replaced (same SOP Instance UID, other manifest) is put to quarantine, whatever it was; but what was
        revoked stays revoked.
        """

    def change(
        self,
        sop_instance_uid: str,
        to: ModelState,
        *,
        by: str,
        reason: str,
        evidence: Mapping[str, str] | None = None,
        manifest_sha256: str = "",
        skip_shadow: bool = False,
        signature: PersonalSignature | None = None,
        signed_in: bool = False,
    ) -> Standing:
        """Change a state, where the rules allow it; a first of two approvals is recorded and changes nothing yet.

        ``manifest_sha256``: of what was looked at; it has to be given for states that say something about content
        (verified, self-tested, shadow, approved), and to be the one that is registered. ``skip_shadow``: the approver says so.
        ``signed_in``: the service knows by a credential that it is ``by``.
        """

    def note(
        self, sop_instance_uid: str, *, by: str, reason: str, evidence: Mapping[str, str], manifest_sha256: str
    ) -> Standing:
        """Record what was found of a release whose state stays as it is, such as a self-test after an upgrade."""
