"""The register of one site: each change is one transaction, an event of the audit log first, and serialised with all others.

The rule: whatever is told of a model was worked out of the whole chain, which was just read and checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Self

import sqlalchemy as sa

from iodeep.errors import NotTrustedError
from iodeep.service.audit import AuditEvent, AuditSink, EventKind, Outcome
from iodeep.service.jobs.database import answering
from iodeep.service.lifecycle import table
from iodeep.service.lifecycle.newest_seen import NewestSeen
from iodeep.trust.lifecycle import ModelState, PersonalSignature, RegisteredRelease, Standing, StateRecord
from iodeep.trust.lifecycle.chain import SignedRecord, SiteKey
from iodeep.trust.lifecycle.ledger import Ledger
from iodeep.trust.lifecycle.rules import Rollback, SiteRules, Wish, arrival, rollback_of, unknown

Signer = Callable[[StateRecord, ModelState], PersonalSignature]
"""A person's signature for a change of the release with this newest record."""


class SiteRegister:
    """The register (:class:`iodeep.trust.lifecycle.Register`) in a database; several threads, processes and hosts may use it."""

    def __init__(
        self, engine: sa.Engine, key: SiteKey, rules: SiteRules, audit: AuditSink, seen: NewestSeen | None = None
    ) -> None:
        self._engine = engine
        self._seen = seen
        self._key = key
        self._audit = audit
        self.rules = rules

    @property
    def engine(self) -> sa.Engine:
        """Connections to the database that it is in, and the jobs with it."""
        return self._engine

    @property
    def key(self) -> SiteKey:
        """The site's."""
        return self._key

    def standing(self, sop_instance_uid: str) -> Standing | None:
        """Where the release stands; None where the site doesn't know it."""
        case = self._ledger().case(sop_instance_uid)
        return case.standing if case else None

    def standings(self) -> tuple[Standing, ...]:
        """Where every release stands, in the order of their arrival."""
        return tuple(case.standing for case in self._ledger().cases)

    def history(self, sop_instance_uid: str) -> tuple[StateRecord, ...]:
        """Every record of a release, the first first."""
        return tuple(record for record, _ in self.signed_history(sop_instance_uid))

    def signed_history(self, sop_instance_uid: str) -> tuple[tuple[StateRecord, SignedRecord], ...]:
        """Every record of a release with what the site signed."""
        with answering(self._engine), self._engine.connect() as connection:
            signed = self._read(connection)[1]
        pairs = ((self._key.read_record(each, ""), each) for each in signed)
        return tuple(pair for pair in pairs if pair[0].release.sop_instance_uid == sop_instance_uid)

    def receive(self, release: RegisteredRelease, by: str, reason: str) -> Standing:
        """Notice a release; see :class:`iodeep.trust.lifecycle.Register`."""
        known = self.standing(release.sop_instance_uid)
        if known is not None and known.release == release:
            return known

        def following(ledger: Ledger, now: datetime) -> Iterator[StateRecord]:
            while (record := arrival(ledger, release, now, by, reason)) is not None:
                yield record

        return _standing(self._appended(following), release.sop_instance_uid)

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
        """Change a state, where the rules allow it; see :class:`iodeep.trust.lifecycle.Register`."""
        wish = Wish(
            sop_instance_uid,
            to,
            by,
            reason,
            evidence or {},
            manifest_sha256,
            skip_shadow,
            signature,
            signed_in=signed_in,
        )

        def following(ledger: Ledger, now: datetime) -> Iterator[StateRecord]:
            yield self.rules.record(ledger, wish, now)

        try:
            return _standing(self._appended(following), sop_instance_uid)
        except NotTrustedError as refusal:
            self._audit.record(_refused(wish, refusal))
            raise

    def note(
        self, sop_instance_uid: str, *, by: str, reason: str, evidence: Mapping[str, str], manifest_sha256: str
    ) -> Standing:
        """Record what was found of a release whose state stays as it is."""

        def following(ledger: Ledger, now: datetime) -> Iterator[StateRecord]:
            case = ledger.case(sop_instance_uid)
            if case is None:
                raise unknown(sop_instance_uid)
            wish = Wish(sop_instance_uid, case.state, by, reason, evidence, manifest_sha256, note=True)
            yield self.rules.record(ledger, wish, now)

        return _standing(self._appended(following), sop_instance_uid)

    def rollback_plan(self, model: str) -> Rollback:
        """What a rollback of the model would do now; see :func:`iodeep.trust.lifecycle.rules.rollback_of`."""
        return rollback_of(self._ledger(), model)

    def rollback(
        self,
        model: str,
        *,
        by: str,
        reason: str,
        evidence: Mapping[str, str] | None = None,
        signer: Signer | None = None,
        planned: Rollback | None = None,
    ) -> tuple[Standing, Standing]:
        """Retire the newest approved release of a model and approve the one before it again, both or neither.

        Gives where the two stand now. ``planned``: what was looked at, where somebody did. Errors: NotTrustedError where
        there is none to go back to, something changed meanwhile, or the rules don't allow it.
        """
        plan = planned or self.rollback_plan(model)
        told = {**(evidence or {}), "rollback": f"from {plan.newest.release.name} to {plan.older.release.name}"}

        def following(ledger: Ledger, now: datetime) -> Iterator[StateRecord]:
            if rollback_of(ledger, model) != plan:
                raise NotTrustedError(
                    f"the states of {model} changed meanwhile", remedy="Look at them, and decide anew."
                )
            for case, to in ((plan.newest, ModelState.RETIRED), (plan.older, ModelState.APPROVED)):
                if case.state is not to:
                    signature = signer(case.newest, to) if signer else None
                    restored = to is ModelState.APPROVED
                    uid = case.release.sop_instance_uid
                    wish = Wish(uid, to, by, reason, told, signature=signature, rollback=restored)
                    yield self.rules.record(ledger, wish, now)

        uids = (plan.newest.release.sop_instance_uid, plan.older.release.sop_instance_uid)
        try:
            ledger = self._appended(following)
        except NotTrustedError as refusal:
            self._audit.record(_refused(Wish(uids[0], ModelState.RETIRED, by, reason), refusal))
            raise
        return _standing(ledger, uids[0]), _standing(ledger, uids[1])

    def close(self) -> None:
        """End the connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ledger(self) -> Ledger:
        with answering(self._engine), self._engine.connect() as connection:
            return self._read(connection)[0]

    def _read(self, connection: sa.Connection) -> tuple[Ledger, list[SignedRecord]]:
        """The ledger of a chain that holds, and is no older one than this machine has seen; and the chain."""
        mark = self._seen.mark() if self._seen else None
        signed, end = table.read_all(connection)
        ledger = self._key.read(signed, end)
        if self._seen is not None and mark is not None:
            self._seen.check(mark, signed)
            self._seen.keep(ledger)
        return ledger, signed

    def _appended(self, following: Callable[[Ledger, datetime], Iterator[StateRecord]]) -> Ledger:
        """The ledger with the records that follow, which are kept by then."""
        with answering(self._engine), self._engine.begin() as connection:
            table.begin_change(connection)
            ledger = self._read(connection)[0]
            added: list[tuple[int, SignedRecord]] = []
            for record in following(ledger, datetime.now(UTC)):
                ledger.add(record)
                added.append((record.sequence, self._key.sign(record)))
                self._audit.record(_event(record))
            if added:
                table.append(connection, added, self._key.end_of(ledger))
        if self._seen is not None:
            self._seen.keep(ledger)
        return ledger


def _standing(ledger: Ledger, sop_instance_uid: str) -> Standing:
    case = ledger.case(sop_instance_uid)
    assert case is not None  # it was just written, or read
    return case.standing


def _event(record: StateRecord) -> AuditEvent:
    release, came = record.release, "noted" if record.is_note else f"{record.before or 'new'} to {record.after}"
    if record.is_approval and record.after is not ModelState.APPROVED:
        came = "approved by one of two people"
    detail = f"{release.name}: {came}; {record.reason} (record {record.sequence}, sha256 {record.sha256})"
    uids = (release.sop_instance_uid,)
    return AuditEvent(EventKind.APPROVAL, user=record.by, action="U", model_uids=uids, detail=detail)


def _refused(wish: Wish, refusal: NotTrustedError) -> AuditEvent:
    return AuditEvent(
        EventKind.APPROVAL,
        Outcome.MINOR_FAILURE,
        user=wish.by,
        action="U",
        model_uids=(wish.sop_instance_uid,),
        detail=f"{wish.to} was refused: {refusal}",
    )
