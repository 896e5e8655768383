"""Registers in SQLite, people with keys, releases and an audit log that can be read, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from iodeep.lifecycle_settings import Act, LifecycleSettings, PersonSettings
from iodeep.service.audit import AuditEvent
from iodeep.service.jobs.database import database_engine
from iodeep.service.lifecycle import table
from iodeep.service.lifecycle.site_register import SiteRegister
from iodeep.trust.lifecycle import SERVICE, ModelState, PersonalSignature, RegisteredRelease, StateRecord
from iodeep.trust.lifecycle.chain import SiteKey
from iodeep.trust.lifecycle.personal import sign_decision
from iodeep.trust.lifecycle.rules import site_rules
from iodeep.trust.signatures import SigningKey
from iodeep.trust.signatures.keys import public_pem


@dataclass
class Events:
    """An audit log in memory."""

    events: list[AuditEvent] = field(default_factory=list)

    def record(self, event: AuditEvent) -> None:
        self.events.append(event)


@dataclass(frozen=True)
class Somebody:
    """A person with a key."""

    name: str
    key: SigningKey = field(default_factory=lambda: SigningKey(Ed25519PrivateKey.generate()))

    def settings(self, folder: Path, may: Sequence[Act] = tuple(Act)) -> PersonSettings:
        path = folder / f"{self.name}.pub.pem"
        path.write_bytes(public_pem(self.key.private.public_key()))
        return PersonSettings(name=self.name, key=path, may=tuple(may))

    def sign(
        self, last: StateRecord, to: ModelState, reason: str = "it is good", by: str | None = None
    ) -> PersonalSignature:
        return sign_decision(last, to, self.key, by=by or self.name, reason=reason)


def release(number: int = 1, version: str = "1.0.0", family: int = 1, manifest: str = "") -> RegisteredRelease:
    """A release of a model; other numbers, other releases."""
    return RegisteredRelease(
        sop_instance_uid=f"2.25.{family}00{number}",
        study_instance_uid=f"2.25.{family}10{number}",
        manifest_sha256=manifest or f"{family * 1000 + number:064x}",
        device_uid=f"2.25.{family}20{number}",
        family_uid=f"2.25.{family}",
        name=f"Brain {family} {version}",
    )


def site_key() -> SiteKey:
    """A register's key."""
    return SiteKey(SigningKey(Ed25519PrivateKey.generate()))


def register(
    folder: Path,
    settings: LifecycleSettings | None = None,
    *,
    key: SiteKey | None = None,
    audit: Events | None = None,
    url: str = "",
) -> SiteRegister:
    """A register in SQLite, or where ``url`` says; shadow may be skipped unless ``settings`` says otherwise."""
    engine = database_engine(url or f"sqlite:///{folder / 'jobs.sqlite'}")
    table.make_tables(engine)
    rules = site_rules(settings or LifecycleSettings(skip_shadow=True))
    return SiteRegister(engine, key or site_key(), rules, audit or Events())


def to_self_tested(register: SiteRegister, what: RegisteredRelease) -> None:
    """From arrival to a passed self-test."""
    register.receive(what, SERVICE, "it arrived")
    for state in (ModelState.VERIFIED, ModelState.SELF_TESTED):
        register.change(
            what.sop_instance_uid, state, by=SERVICE, reason="checked", manifest_sha256=what.manifest_sha256
        )


def approved(register: SiteRegister, what: RegisteredRelease, by: str = "Ann") -> None:
    """From arrival to approval."""
    to_self_tested(register, what)
    change(register, what, ModelState.APPROVED, by)


def change(
    register: SiteRegister,
    what: RegisteredRelease,
    to: ModelState,
    by: str | Somebody = "Ann",
    *,
    skip_shadow: bool = False,
) -> ModelState:
    """One change, signed where ``by`` is somebody with a key; gives the state after it."""
    person = by if isinstance(by, Somebody) else None
    uid = what.sop_instance_uid
    return register.change(
        uid,
        to,
        by=person.name if person else str(by),
        reason="it is good",
        manifest_sha256=what.manifest_sha256,
        skip_shadow=skip_shadow,
        signature=person.sign(register.history(uid)[-1], to) if person else None,
    ).state
