"""The state machine of PS3.4 table CC.1.1-2, held against a model of it, one request at a time and many at once."""

from __future__ import annotations

import itertools
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from iodeep.service.jobs.database import database_engine, database_url
from iodeep.service.worklist import Worklist
from iodeep.service.worklist.documents import text
from iodeep.service.worklist.states import Answer, State, change
from tests.unit.service.worklist.steps import discontinued, performed, step

UID = "2.25.1"
RIGHT, WRONG = "2.25.100", "2.25.200"


@pytest.mark.parametrize(
    ("state", "wanted", "transaction", "missing", "dimse"),
    [
        ("SCHEDULED", "IN PROGRESS", RIGHT, (), 0x0000),
        ("IN PROGRESS", "IN PROGRESS", RIGHT, (), 0xC302),
        ("COMPLETED", "IN PROGRESS", RIGHT, (), 0xC300),
        ("CANCELED", "IN PROGRESS", RIGHT, (), 0xC300),
        ("SCHEDULED", "IN PROGRESS", "", (), 0xC301),
        ("IN PROGRESS", "IN PROGRESS", WRONG, (), 0xC301),
        ("COMPLETED", "IN PROGRESS", WRONG, (), 0xC301),
        ("CANCELED", "IN PROGRESS", WRONG, (), 0xC301),
        ("SCHEDULED", "SCHEDULED", RIGHT, (), 0xC303),
        ("IN PROGRESS", "SCHEDULED", RIGHT, (), 0xC303),
        ("COMPLETED", "SCHEDULED", RIGHT, (), 0xC303),
        ("CANCELED", "SCHEDULED", RIGHT, (), 0xC303),
        ("SCHEDULED", "COMPLETED", RIGHT, (), 0xC310),
        ("IN PROGRESS", "COMPLETED", RIGHT, (), 0x0000),
        ("IN PROGRESS", "COMPLETED", RIGHT, ("x",), 0xC304),
        ("COMPLETED", "COMPLETED", RIGHT, (), 0xB306),
        ("CANCELED", "COMPLETED", RIGHT, (), 0xC300),
        ("SCHEDULED", "COMPLETED", "", (), 0xC301),
        ("IN PROGRESS", "COMPLETED", WRONG, (), 0xC301),
        ("COMPLETED", "COMPLETED", WRONG, (), 0xC301),
        ("CANCELED", "COMPLETED", WRONG, (), 0xC301),
        ("SCHEDULED", "CANCELED", RIGHT, (), 0xC310),
        ("IN PROGRESS", "CANCELED", RIGHT, (), 0x0000),
        ("IN PROGRESS", "CANCELED", RIGHT, ("x",), 0xC304),
        ("COMPLETED", "CANCELED", RIGHT, (), 0xC300),
        ("CANCELED", "CANCELED", RIGHT, (), 0xB304),
        ("IN PROGRESS", "CANCELED", WRONG, (), 0xC301),
        ("COMPLETED", "CANCELED", WRONG, (), 0xC301),
        ("CANCELED", "CANCELED", WRONG, (), 0xC301),
    ],
)
def test_a_change_of_state_is_answered_as_the_standards_table_has_it(
    state: str, wanted: str, transaction: str, missing: tuple[str, ...], dimse: int
) -> None:
    answer = change(State(state), RIGHT if state != "SCHEDULED" else "", State(wanted), transaction, missing)

    assert answer.dimse == dimse
    assert (answer.becomes == State(wanted)) is (dimse == 0)


def test_every_cell_of_the_table_is_asked() -> None:
    answers = [
        change(state, RIGHT, wanted, transaction)
        for state, wanted, transaction in itertools.product(State, State, (RIGHT, WRONG, ""))
    ]
    assert all(answer.refused or answer.becomes or answer.warning for answer in answers)


class Steps(RuleBasedStateMachine):
    """What the table says, in a few lines, beside what the worklist does."""

    transactions = st.sampled_from([RIGHT, WRONG, "2.25.300"])

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.engine = database_engine(database_url("", Path(self.folder.name) / "jobs.sqlite"))
        self.worklist = Worklist(self.engine)
        self.state, self.holder, self.ready = State.SCHEDULED, "", {State.COMPLETED: False, State.CANCELED: False}

    @initialize()
    def create(self) -> None:
        self.worklist.create(UID, step())

    @rule(transaction=transactions, wanted=st.sampled_from(list(State)))
    def change(self, transaction: str, wanted: State) -> None:
        answer = self.worklist.change_state(UID, transaction, wanted)
        claims = self.state is State.SCHEDULED and wanted is State.IN_PROGRESS
        ends = self.state is State.IN_PROGRESS and wanted.final and transaction == self.holder and self.ready[wanted]
        assert (answer.becomes is not None) is (claims or ends)
        if claims:
            self.holder = transaction
        if claims or ends:
            self.state = wanted

    @rule(transaction=transactions | st.just(""), kind=st.sampled_from([State.COMPLETED, State.CANCELED]))
    def prepare(self, transaction: str, kind: State) -> None:
        changes = performed() if kind is State.COMPLETED else discontinued()
        answer = self.worklist.update(UID, transaction, changes)
        scheduled = self.state is State.SCHEDULED and not transaction
        held = self.state is State.IN_PROGRESS and transaction == self.holder
        assert answer.refused is not (scheduled or held)
        if not answer.refused:
            self.ready[kind] = True

    @rule()
    def ask_to_cancel(self) -> None:
        answer = self.worklist.request_cancel(UID, "SOMEBODY", {})
        assert answer.refused is (self.state is not State.SCHEDULED)
        if self.state is State.SCHEDULED:
            self.state, self.ready[State.CANCELED] = State.CANCELED, True

    @invariant()
    def the_step_is_what_the_table_says(self) -> None:
        try:
            item = self.worklist.get(UID)
        except Exception:
            return
        assert item.state is self.state
        assert text(item.document, "ProcedureStepState") == self.state

    def teardown(self) -> None:
        self.engine.dispose()
        self.folder.cleanup()


Steps.TestCase.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
TestSteps = Steps.TestCase


def test_of_many_who_claim_at_once_exactly_one_wins(worklist: Worklist, monkeypatch: pytest.MonkeyPatch) -> None:
    """All have read that it is SCHEDULED before the first of them writes."""
    worklist.create(UID, step())
    together, first = threading.Barrier(8), threading.local()

    def judged(*args: Any) -> Answer:
        if not hasattr(first, "done"):
            first.done = True
            together.wait(30)
        return change(*args)

    monkeypatch.setattr("iodeep.service.worklist.worklist.states.change", judged)
    transactions = [f"2.25.{number}" for number in range(1, 9)]
    with ThreadPoolExecutor(8) as threads:
        answers = threads.map(lambda each: worklist.change_state(UID, each, State.IN_PROGRESS), transactions)
        won = [each for each, answer in zip(transactions, answers, strict=True) if not answer.refused]

    assert won == [worklist.get(UID).holder]
