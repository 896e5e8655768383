"""Where every release stands, worked out of the records and of nothing else.

A record that does not follow from those before it is refused, however well it is signed: nothing reaches ``approved`` but
through quarantine, ``verified`` and ``self-tested`` of the same manifest, and by as many people as were asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from iodeep.errors import IntegrityError
from iodeep.trust.lifecycle.personal import check_decision
from iodeep.trust.lifecycle.record import START, SUBJECT, StateRecord
from iodeep.trust.lifecycle.states import SERVICE, ModelState, RegisteredRelease, Standing, goes_without_shadow

_ENDS = {ModelState.QUARANTINED, ModelState.RETIRED, ModelState.REVOKED}
PATHS: Mapping[ModelState | None, frozenset[ModelState]] = {
    None: frozenset({ModelState.RECEIVED}),
    ModelState.RECEIVED: frozenset({ModelState.QUARANTINED}),
    ModelState.QUARANTINED: frozenset({ModelState.VERIFIED, ModelState.RETIRED, ModelState.REVOKED}),
    ModelState.VERIFIED: frozenset({ModelState.SELF_TESTED, *_ENDS}),
    ModelState.SELF_TESTED: frozenset({ModelState.SHADOW, ModelState.APPROVED, *_ENDS}),
    ModelState.SHADOW: frozenset({ModelState.APPROVED, *_ENDS}),
    ModelState.APPROVED: frozenset({ModelState.SHADOW, *_ENDS}),
    ModelState.RETIRED: frozenset({ModelState.QUARANTINED, ModelState.REVOKED}),
    ModelState.REVOKED: frozenset({ModelState.QUARANTINED}),
}
"""What may follow a state. A retired release is approved again by a rollback alone."""
BY_PEOPLE = frozenset({ModelState.SHADOW, ModelState.APPROVED, ModelState.RETIRED})
"""What the service never does by itself; nor does it take back a revocation."""


@dataclass(frozen=True)
class Case:
    """A release with what became of it."""

    release: RegisteredRelease
    state: ModelState
    change: StateRecord
    """The record that says since when, by whom and why it is so."""
    newest: StateRecord
    approvals: tuple[StateRecord, ...] = ()
    """Those of its present approval, or those that wait for another."""
    was_approved: bool = False
    """Of a retired release: whether it went there from ``approved``."""
    approved_at: int = 0
    """Number of the record that approved it last; 0: never."""

    @property
    def standing(self) -> Standing:
        """For those who ask."""
        people = tuple(record.by for record in self.approvals)
        change = self.change
        return Standing(self.release, self.state, change.at, change.by, change.reason, people)


class Ledger:
    """The cases, and the end of the chain that they were worked out of."""

    def __init__(self) -> None:
        self._cases: dict[str, Case] = {}
        self._newest: StateRecord | None = None

    def copy(self) -> Ledger:
        """Another one, to be added to on its own."""
        made = Ledger()
        made._cases, made._newest = dict(self._cases), self._newest
        return made

    @property
    def sequence(self) -> int:
        """Number of the newest record; 0: there is none."""
        return self._newest.sequence if self._newest else 0

    @property
    def head(self) -> str:
        """Digest of the newest record."""
        return self._newest.sha256 if self._newest else START

    @property
    def cases(self) -> tuple[Case, ...]:
        """In the order of their arrival."""
        return tuple(self._cases.values())

    def case(self, sop_instance_uid: str) -> Case | None:
        """One release; None where it is not known."""
        return self._cases.get(sop_instance_uid)

    def add(self, record: StateRecord) -> Case:
        """What becomes of the release by the record. IntegrityError for one that does not follow from those before it."""
        case = self.case(record.release.sop_instance_uid)
        for problem in self._problems(record, case):
            raise IntegrityError(
                f"record {record.sequence} of the register of model states does not follow from those before it: {problem}",
                remedy=REMEDY,
            )
        self._newest = record
        changed = _first(record) if case is None else _next(case, record)
        self._cases[record.release.sop_instance_uid] = changed
        return changed

    def _problems(self, record: StateRecord, case: Case | None) -> Iterator[str]:
        if (record.sequence, record.previous) != (self.sequence + 1, self.head):
            yield f"it names another one than record {self.sequence} as the one before it"
        if record.before is not (case.state if case else None):
            yield f"the release was {case.state if case else 'not known'}, and not {record.before or 'unknown'}"
        if case is not None and record.release != case.release and record.after is not ModelState.QUARANTINED:
            yield "the release was replaced and is not put to quarantine"
        yield from _problems_of_way(record, case, self._newest)
        yield from _problems_of_people(record, case)


REMEDY = (
    "Somebody or something altered the register's table: no model runs. Find out who, and put the database back as it was"
    " (a backup); `iodeep audit show --kind approval` tells what was changed when."
)


def is_rollback(record: StateRecord) -> bool:
    """Whether a retired release is approved again."""
    return record.before is ModelState.RETIRED and record.after is ModelState.APPROVED


def _first(record: StateRecord) -> Case:
    return Case(record.release, record.after, record, record)


def _next(case: Case, record: StateRecord) -> Case:
    if record.is_note and record.after is not ModelState.QUARANTINED:
        return replace(case, newest=record)
    if record.is_approval and record.after is not ModelState.APPROVED:
        return replace(case, newest=record, approvals=(*case.approvals, record))
    approved, retires = record.after is ModelState.APPROVED, record.after is ModelState.RETIRED
    was_approved = retires and case.state is ModelState.APPROVED
    kept = case.approvals if approved or was_approved else ()
    added = (record,) if approved and not is_rollback(record) else ()
    return Case(
        release=record.release,
        state=record.after,
        change=record,
        newest=record,
        approvals=(*kept, *added),
        was_approved=was_approved,
        approved_at=record.sequence if approved else case.approved_at,
    )


def _problems_of_way(record: StateRecord, case: Case | None, newest: StateRecord | None) -> Iterator[str]:
    """Whether there is such a way from state to state."""
    if record.is_note:
        return
    if is_rollback(record):
        if case is None or not case.was_approved or newest is None or not _makes_room(newest, record):
            yield "only a rollback approves a release again that was retired"
        return
    if record.wanted not in PATHS[record.before]:
        yield f"from {record.before or 'nothing'} there is no way to {record.wanted}"
    waits = record.is_approval and record.after is record.before
    if record.skip_shadow is not goes_without_shadow(record.before, record.wanted):
        yield "it says something else of its time as a shadow than is so"
    if record.after is not record.wanted and not waits:
        yield f"{record.wanted} was asked for, and {record.after} came of it"


def _makes_room(newest: StateRecord, record: StateRecord) -> bool:
    """Whether the record before a rollback's is that of the other release which it takes back, by the same person."""
    retires = (newest.before, newest.after) == (ModelState.APPROVED, ModelState.RETIRED)
    same_family = newest.release.family_uid == record.release.family_uid
    other = newest.release.sop_instance_uid != record.release.sop_instance_uid
    return retires and same_family and other and newest.by == record.by


def _problems_of_people(record: StateRecord, case: Case | None) -> Iterator[str]:
    if record.by == SERVICE and not record.is_note and needs_person(record):
        yield f"the service never makes a model {record.wanted} by itself"
    if record.signature is not None:
        seen = case.newest.sha256 if case else START
        if not check_decision(record.signature).is_that_of(record, seen):
            yield "what the person signed is something else"
    if not record.is_approval or is_rollback(record):
        return
    so_far = case.approvals if case else ()
    if any(same_person(record, other) for other in so_far):
        yield f"{record.by} approved it twice"
    enough = len(so_far) + 1 >= max(record.approvals, 1)
    if enough is not (record.after is ModelState.APPROVED):
        yield f"{len(so_far) + 1} of {record.approvals} people have approved it"


def needs_person(record: StateRecord) -> bool:
    """Whether the service must not do this."""
    return record.wanted in BY_PEOPLE or record.before is ModelState.REVOKED


def same_person(one: StateRecord, other: StateRecord) -> bool:
    """Whether two records are by one person: by name, by key, or by what their provider knows them by, whatever they are called."""
    same_key = one.signature and other.signature and one.signature.public_key == other.signature.public_key
    same_subject = SUBJECT in one.evidence and one.evidence[SUBJECT] == other.evidence.get(SUBJECT)
    return one.by.casefold() == other.by.casefold() or bool(same_key) or same_subject
