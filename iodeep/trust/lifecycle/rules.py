"""Whether a change may be made, by this site's rules, and the record that it gives. What is not allowed is refused with what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from iodeep.errors import InputError, NotTrustedError, SettingsError
from iodeep.lifecycle_settings import Act, LifecycleSettings, PersonSettings
from iodeep.trust.lifecycle.ledger import PATHS, Case, Ledger, needs_person, same_person
from iodeep.trust.lifecycle.personal import check_decision
from iodeep.trust.lifecycle.record import PersonalSignature, StateRecord
from iodeep.trust.lifecycle.states import SERVICE, ModelState, RegisteredRelease, goes_without_shadow
from iodeep.trust.signatures import key_id_of, read_public

ACTS: Mapping[ModelState, Act] = {
    ModelState.QUARANTINED: Act.QUARANTINE,
    ModelState.SHADOW: Act.SHADOW,
    ModelState.APPROVED: Act.APPROVE,
    ModelState.RETIRED: Act.RETIRE,
    ModelState.REVOKED: Act.REVOKE,
}
_ABOUT_CONTENT = frozenset({ModelState.VERIFIED, ModelState.SELF_TESTED, ModelState.SHADOW, ModelState.APPROVED})


@dataclass(frozen=True)
class Person:
    """Somebody of the settings, with their public key where they have one."""

    rules: PersonSettings
    public: Ed25519PublicKey | None

    @property
    def public_key(self) -> str:
        """Raw, as signatures name it; empty for somebody who only signs in."""
        return self.public.public_bytes_raw().hex() if self.public else ""


@dataclass(frozen=True)
class Wish:
    """What somebody wants to become of a release that the site knows."""

    sop_instance_uid: str
    to: ModelState
    by: str
    reason: str
    evidence: Mapping[str, str] = field(default_factory=dict)
    manifest_sha256: str = ""
    skip_shadow: bool = False
    signature: PersonalSignature | None = None
    note: bool = False
    """Whether the state stays as it is."""
    rollback: bool = False
    signed_in: bool = False
    """Whether the service knows who wants it: by a credential, and not by what they say."""


@dataclass(frozen=True)
class SiteRules:
    """The settings, with the keys that they name."""

    settings: LifecycleSettings
    people: tuple[Person, ...] = ()

    def record(self, ledger: Ledger, wish: Wish, now: datetime) -> StateRecord:
        """The record of a change that may be made.

        Errors: InputError for a release that is not known, or what can't be written; NotTrustedError for what the rules don't allow.
        """
        case = ledger.case(wish.sop_instance_uid)
        if case is None:
            raise unknown(wish.sop_instance_uid)
        self._check(case, wish)
        asked = self.settings.approvals if wish.to is ModelState.APPROVED and not wish.note and not wish.rollback else 0
        waits = len(case.approvals) + 1 < asked
        record = record_of(
            ledger,
            release=case.release,
            before=case.state,
            wanted=wish.to,
            after=case.state if waits else wish.to,
            at=now,
            by=wish.by,
            reason=wish.reason,
            evidence=dict(wish.evidence),
            approvals=asked,
            skip_shadow=not wish.note and goes_without_shadow(case.state, wish.to),
            signature=wish.signature,
        )
        self._check_person(case, record, signed_in=wish.signed_in)
        return record

    def _check(self, case: Case, wish: Wish) -> None:
        name, state = case.release.name, case.state
        if wish.manifest_sha256 != case.release.manifest_sha256 and (
            wish.manifest_sha256 or (wish.to in _ABOUT_CONTENT and not wish.rollback)
        ):
            raise NotTrustedError(
                f"{name} is not what this site registered",
                expected=f"manifest {case.release.manifest_sha256}",
                found=f"manifest {wish.manifest_sha256 or 'not looked at'}",
                remedy="It was replaced under the same SOP Instance UID: find out who stored it, then `iodeep approve` anew.",
            )
        if wish.note or wish.rollback:
            return
        if wish.to is state and state is not ModelState.QUARANTINED:
            raise NotTrustedError(f"{name} is {state} already", remedy="`iodeep states UID` shows since when, and why.")
        if wish.to is not state and wish.to not in PATHS[state]:
            raise NotTrustedError(
                f"{name} is {state}: from there it cannot become {wish.to}",
                expected=f"one of {', '.join(sorted(PATHS[state]))}",
                remedy=_WAYS.get(state, ""),
            )
        if goes_without_shadow(state, wish.to) and not (wish.skip_shadow or self.settings.skip_shadow):
            raise NotTrustedError(
                f"{name} never ran as a shadow",
                remedy="`iodeep shadow` lets it; or approve it all the same with --skip-shadow, and say why (--reason).",
            )

    def _check_person(self, case: Case, record: StateRecord, *, signed_in: bool) -> None:
        if record.is_note:
            if record.by != SERVICE and record.wanted is ModelState.QUARANTINED:
                self._check_signed(case, record, signed_in=signed_in)
            return
        if record.by.casefold() == SERVICE:
            if needs_person(record) or record.by != SERVICE:
                raise NotTrustedError(
                    f"the service never makes a model {record.wanted} by itself", remedy="Say who wants it: --by NAME."
                )
            return
        self._check_signed(case, record, signed_in=signed_in)
        twice = record.is_approval and any(same_person(record, other) for other in case.approvals)
        if twice and record.before is not ModelState.RETIRED:
            raise NotTrustedError(
                f"{record.by} has approved {record.release.name} already",
                expected="another person",
                remedy=f"{record.approvals} different people have to approve it.",
            )

    def _check_signed(self, case: Case, record: StateRecord, *, signed_in: bool) -> None:
        """Where people are named for the act, one of them has signed exactly this, or is signed in where that counts."""
        act = ACTS.get(record.wanted)
        may = [person for person in self.people if act in person.rules.may]
        if not may and record.signature is None:
            return
        person = next((each for each in may if each.rules.name == record.by), None)
        if may and person is None:
            raise NotTrustedError(
                f"{record.by} may not {act} models here",
                expected=" or ".join(each.rules.name for each in may),
                remedy="Add them under [[lifecycle.people]] in iodeep.toml if they should.",
            )
        if record.signature is None:
            if signed_in and person is not None and person.rules.sign_in:
                return
            raise NotTrustedError(
                f"{record.by} has not signed",
                remedy="Give your signing key: --key FILE. Over the API, sign_in = true under [[lifecycle.people]] lets a sign-in count.",
            )
        if person is not None and record.signature.public_key != person.public_key:
            raise NotTrustedError(
                f"the signature is not by the key of {record.by}",
                expected=f"key {key_id_of(person.public)}" if person.public else "no key: they sign in",
                remedy="Give the key whose public half iodeep.toml names for you.",
            )
        if not check_decision(record.signature).is_that_of(record, case.newest.sha256):
            raise NotTrustedError(
                f"what {record.by} signed is not this change, or {record.release.name} changed since",
                remedy="Look at it again (`iodeep states UID`), and decide anew.",
            )


_WAYS = {
    ModelState.RETIRED: "`iodeep approve` checks it anew; `iodeep rollback` takes back the release that took its place.",
    ModelState.REVOKED: "`iodeep quarantine` takes the revocation back, where a person answers for it; then it is checked anew.",
    ModelState.QUARANTINED: "`iodeep approve` checks it, and approves it.",
}


def check_is_person(name: str) -> None:
    """NotTrustedError for a name under which the service acts: what it does by itself needs nobody's key."""
    if name.strip().casefold() == SERVICE:
        raise NotTrustedError(
            f"no person is called {name!r}: so the service calls itself", remedy="Say who decides: --by NAME."
        )


def unknown(sop_instance_uid: str) -> InputError:
    """What to say of a release that the site never heard of."""
    return InputError(
        f"this site has not registered a model {sop_instance_uid}",
        remedy="`iodeep states` lists those that it has; `iodeep import` and `iodeep approve` register one.",
    )


def record_of(ledger: Ledger, **fields: Any) -> StateRecord:
    """The record that follows in the chain. InputError for what can't be written, such as an empty reason."""
    try:
        return StateRecord(sequence=ledger.sequence + 1, previous=ledger.head, **fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field_name = ".".join(map(str, first["loc"]))
        raise InputError(f"the change of state cannot be recorded: {field_name}: {first['msg']}") from error


def arrival(ledger: Ledger, release: RegisteredRelease, now: datetime, by: str, reason: str) -> StateRecord | None:
    """The next record of a release that somebody notices; None where all is as it was known."""
    case = ledger.case(release.sop_instance_uid)
    told = {"at": now.astimezone(UTC), "by": by, "reason": reason}
    if case is None:
        received = ModelState.RECEIVED
        return record_of(ledger, release=release, before=None, wanted=received, after=received, **told)
    if case.state is not ModelState.RECEIVED and case.release == release:
        return None
    quarantined = ModelState.QUARANTINED
    if case.state is ModelState.REVOKED:
        return None
    if case.release != release:
        told |= {"reason": f"REPLACED: {reason}", "evidence": _what_was_replaced(case.release, release)}
    return record_of(ledger, release=release, before=case.state, wanted=quarantined, after=quarantined, **told)


@dataclass(frozen=True)
class Rollback:
    """The release that is taken back, and the one that was approved before it."""

    newest: Case
    older: Case


def rollback_of(ledger: Ledger, model: str) -> Rollback:
    """What a rollback of a model would do. ``model``: its name, its family's UID, or any of its releases' UIDs.

    One that is in quarantine or revoked by now is passed over. NotTrustedError where there is nothing to go back to.
    """
    cases = sorted(_releases(ledger, model), key=lambda case: case.approved_at)
    approved = [case for case in cases if case.state is ModelState.APPROVED]
    if not approved:
        raise NotTrustedError(
            f"no release of {model} is approved: there is nothing to take back",
            remedy="`iodeep states` shows them all.",
        )
    newest = approved[-1]
    older = [case for case in cases[: cases.index(newest)] if case.was_approved or case.state is ModelState.APPROVED]
    if not older:
        raise NotTrustedError(
            f"before {newest.release.name} no other release was approved that could be again",
            found=", ".join(f"{case.release.name} ({case.state})" for case in cases if case is not newest)
            or "no other",
            remedy="`iodeep retire` or `iodeep quarantine` stops it without another in its place.",
        )
    return Rollback(newest, older[-1])


def _releases(ledger: Ledger, model: str) -> list[Case]:
    """All releases of a model's family."""
    wanted = model.casefold()
    named = {
        case.release.family_uid
        for case in ledger.cases
        if wanted in (case.release.model.casefold(), case.release.family_uid, case.release.sop_instance_uid)
    }
    if not named:
        raise InputError(
            f"this site has registered no model {model}", remedy="`iodeep states` lists those that it has."
        )
    if len(named) > 1:
        raise InputError(
            f"{len(named)} models are called {model}",
            expected="the UID of a release, or of its family",
            found=", ".join(sorted(named)),
        )
    return [case for case in ledger.cases if case.release.family_uid in named]


def site_rules(settings: LifecycleSettings) -> SiteRules:
    """The rules of ``[lifecycle]``. SettingsError where a person's key cannot be read, or two people share one."""
    people = tuple(Person(each, _public(each)) for each in settings.people)
    keys = [person.public_key for person in people if person.public_key]
    if len(set(keys)) != len(keys):
        raise SettingsError(
            "two people of [[lifecycle.people]] have the same key", remedy="Each makes one: `iodeep signing-key new`."
        )
    return SiteRules(settings, people)


def _public(person: PersonSettings) -> Ed25519PublicKey | None:
    if person.key is None:
        return None
    key = read_public(person.key.expanduser())
    if not isinstance(key, Ed25519PublicKey):
        raise SettingsError(
            f"the key of {person.name} is a certificate",
            expected="an Ed25519 public key",
            remedy="Name a file that `iodeep signing-key new` made, under [[lifecycle.people]] in iodeep.toml.",
        )
    return key


def _what_was_replaced(before: RegisteredRelease, after: RegisteredRelease) -> dict[str, str]:
    was, now = before.model_dump(), after.model_dump()
    return {f"{name} before": was[name] for name in was if was[name] != now[name]}
