"""What does not follow from the records before it is not believed, though the site itself may have signed it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from iodeep.errors import IntegrityError
from iodeep.trust.lifecycle import SERVICE, ModelState, RegisteredRelease, StateRecord
from iodeep.trust.lifecycle.ledger import Ledger
from tests.unit.service.lifecycle.registers import Somebody, release

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ANN, BOB = Somebody("Ann"), Somebody("Bob")
FIRST, SECOND, OTHER = release(1), release(2, "1.1.0"), release(1, family=2)
RECEIVED, Q, V, T = ModelState.RECEIVED, ModelState.QUARANTINED, ModelState.VERIFIED, ModelState.SELF_TESTED
S, A, R = ModelState.SHADOW, ModelState.APPROVED, ModelState.RETIRED
TO_SELF_TESTED = [(None, RECEIVED), (RECEIVED, Q), (Q, V), (V, T)]


def following(
    ledger: Ledger, what: RegisteredRelease, before: ModelState | None, to: ModelState, **more: Any
) -> StateRecord:
    fields: dict[str, Any] = {
        "sequence": ledger.sequence + 1,
        "previous": ledger.head,
        "release": what,
        "before": before,
        "wanted": to,
        "after": to,
        "at": NOW,
        "by": SERVICE,
        "reason": "x",
    }
    return StateRecord(**fields | more)


def ledger_of(what: RegisteredRelease = FIRST, *further: dict[str, Any], ledger: Ledger | None = None) -> Ledger:
    made = ledger or Ledger()
    for before, to in TO_SELF_TESTED:
        made.add(following(made, what, before, to))
    for each in further:
        made.add(following(made, what, **each))
    return made


def approval(before: ModelState = T, after: ModelState = A, by: str = "Ann", **more: Any) -> dict[str, Any]:
    return {"before": before, "to": A, "after": after, "by": by, "approvals": 1, "skip_shadow": before is T, **more}


def test_what_follows_is_believed() -> None:
    ledger = ledger_of(FIRST, approval())

    assert ledger.cases[0].standing.state is A


FORGED: dict[str, tuple[Sequence[dict[str, Any]], dict[str, Any]]] = {
    "another place": ([], {"before": T, "to": Q, "sequence": 7}),
    "another one before it": ([], {"before": T, "to": Q, "previous": "1" * 64}),
    "another state before it": ([], {"before": V, "to": Q}),
    "a release that was replaced and stays": ([], {**approval(), "release": release(1, manifest="f" * 64)}),
    "a step left out": ([{"before": T, "to": Q}], approval(before=Q)),
    "something else than was asked for": ([], {"before": T, "to": Q, "after": A, "by": "Ann"}),
    "no approval by the first of two": ([], approval(approvals=2)),
    "no approval though one was enough": ([], approval(after=T)),
    "one person twice": ([approval(after=T, approvals=2)], approval(approvals=2)),
    "one person in other letters": ([approval(after=T, approvals=2)], approval(approvals=2, by="ANN")),
    "the service as approver": ([], approval(by=SERVICE)),
    "the service as who retires": ([], {"before": T, "to": R}),
    "a shadow that never was": ([], approval(skip_shadow=False)),
    "a shadow that was": ([{"before": T, "to": S, "by": "Ann"}], approval(before=S, skip_shadow=True)),
    "a retired one approved again": (
        [approval(), {"before": A, "to": R, "by": "Ann"}],
        {"before": R, "to": A, "by": "Ann", "approvals": 1},
    ),
    "a revocation that the service takes back": (
        [{"before": T, "to": ModelState.REVOKED}],
        {"before": ModelState.REVOKED, "to": Q},
    ),
}


@pytest.mark.parametrize("what", list(FORGED))
def test_what_does_not_follow_is_refused(what: str) -> None:
    before, forged = FORGED[what]
    ledger = ledger_of(FIRST, *before)
    record = following(ledger, forged.pop("release", FIRST), **forged)

    with pytest.raises(IntegrityError, match="does not follow"):
        ledger.add(record)
    assert ledger.sequence == 4 + len(before)


def test_what_somebody_signed_has_to_be_this_change() -> None:
    ledger = ledger_of()
    case = ledger.cases[0]
    for signature in (
        ANN.sign(case.newest, S, "x"),
        ANN.sign(case.newest, A, "another reason"),
        ANN.sign(case.newest, A, "x", by="Bob"),
        ANN.sign(StateRecord.model_validate(case.newest.model_dump() | {"reason": "another record"}), A, "x"),
    ):
        with pytest.raises(IntegrityError, match="signed is something else"):
            ledger.add(following(ledger, FIRST, **approval(signature=signature)))

    ledger.add(following(ledger, FIRST, **approval(signature=ANN.sign(case.newest, A, "x"))))


def test_a_signature_that_does_not_hold_is_refused() -> None:
    ledger = ledger_of()
    good = ANN.sign(ledger.cases[0].newest, A, "x")
    forged = good.model_copy(update={"public_key": BOB.sign(ledger.cases[0].newest, A, "x").public_key})

    with pytest.raises(IntegrityError, match="does not hold"):
        ledger.add(following(ledger, FIRST, **approval(signature=forged)))


def test_one_key_under_two_names_is_one_person() -> None:
    ledger = ledger_of()
    first = ANN.sign(ledger.cases[0].newest, A, "x")
    ledger.add(following(ledger, FIRST, **approval(after=T, approvals=2, signature=first)))
    second = ANN.sign(ledger.cases[0].newest, A, "x", by="Bob")

    with pytest.raises(IntegrityError, match="approved it twice"):
        ledger.add(following(ledger, FIRST, **approval(approvals=2, by="Bob", signature=second)))


@pytest.mark.parametrize(
    ("taken_back", "by"), [(SECOND, "Eve"), (OTHER, "Ann")], ids=["by somebody else", "of another model"]
)
def test_a_rollback_needs_its_other_half(taken_back: RegisteredRelease, by: str) -> None:
    ledger = ledger_of(FIRST, approval(), {"before": A, "to": R, "by": "Ann"})
    ledger_of(taken_back, approval(), {"before": A, "to": R, "by": by}, ledger=ledger)

    with pytest.raises(IntegrityError, match="only a rollback"):
        ledger.add(following(ledger, FIRST, R, A, by="Ann"))


def test_a_rollback_is_of_one_that_was_approved() -> None:
    ledger = ledger_of(FIRST, {"before": T, "to": R, "by": "Ann"})
    ledger_of(SECOND, approval(), {"before": A, "to": R, "by": "Ann"}, ledger=ledger)

    with pytest.raises(IntegrityError, match="only a rollback"):
        ledger.add(following(ledger, FIRST, R, A, by="Ann"))
