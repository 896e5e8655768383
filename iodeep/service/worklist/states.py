"""What may become of a step (PS3.4 tables CC.1.1-2, CC.2.1-2 and CC.2.2-2); nothing is stored or sent here.

Who holds the Transaction UID holds the step: nothing else says who may change one that is IN PROGRESS.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

INCONSISTENT = "The submitted request is inconsistent with the state of the UPS Instance."
_MISSING = "The Transaction UID is missing."
_INCORRECT = "The Transaction UID is incorrect."
_ALREADY = "The UPS is already in the requested state of {0}."


class State(StrEnum):
    """Procedure Step State (0074,1000)."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"

    @property
    def final(self) -> bool:
        """Whether it stays as it is."""
        return self in (State.COMPLETED, State.CANCELED)


@dataclass(frozen=True)
class Answer:
    """What a request does: a new state, or none; the DIMSE status, the HTTP status, and the words of the Warning."""

    becomes: State | None
    dimse: int
    http: int
    warning: str = ""

    @property
    def refused(self) -> bool:
        """Whether nothing happens because it must not."""
        return self.http >= 400


def change(state: State, holder: str, wanted: State, transaction: str, missing: tuple[str, ...] = ()) -> Answer:
    """N-ACTION Change UPS State; ``missing`` names what the final state still requires."""
    if wanted is State.SCHEDULED:
        return Answer(None, 0xC303, 409, INCONSISTENT)
    if not transaction:
        return Answer(None, 0xC301, 400, _MISSING)
    if state is not State.SCHEDULED and transaction != holder:
        return Answer(None, 0xC301, 400, _INCORRECT)
    if wanted is State.IN_PROGRESS:
        return _claim(state)
    if state is State.SCHEDULED:
        return Answer(None, 0xC310, 409, INCONSISTENT)
    if state is wanted:
        return Answer(None, 0xB306 if wanted is State.COMPLETED else 0xB304, 200, _ALREADY.format(wanted))
    if state.final:
        return Answer(None, 0xC300, 409, INCONSISTENT)
    if missing:
        return Answer(None, 0xC304, 409, INCONSISTENT)
    return Answer(wanted, 0x0000, 200)


def _claim(state: State) -> Answer:
    if state is State.SCHEDULED:
        return Answer(State.IN_PROGRESS, 0x0000, 200)
    return Answer(None, 0xC300 if state.final else 0xC302, 409, INCONSISTENT)


def cancel(state: State, *, heard: bool) -> Answer:
    """N-ACTION Request Cancel; ``heard``: whether the performer of a step IN PROGRESS can learn of it."""
    if state is State.SCHEDULED:
        return Answer(State.CANCELED, 0x0000, 202)
    if state is State.CANCELED:
        return Answer(None, 0xB304, 409, _ALREADY.format(state))
    if state is State.COMPLETED:
        return Answer(None, 0xC311, 409, INCONSISTENT)
    if not heard:
        return Answer(None, 0xC312, 409, "The performer cannot be contacted.")
    return Answer(None, 0x0000, 202)


def update(state: State, holder: str, transaction: str) -> Answer:
    """N-SET (PS3.4 CC.2.6.3, PS3.18 11.6)."""
    if state.final:
        return Answer(
            None, 0xC300, 400, "The submitted request is inconsistent with the current state of the Workitem."
        )
    if state is State.SCHEDULED:
        unclaimed = "The target URI did not reference a claimed Workitem."
        return Answer(None, 0xC310, 409, unclaimed) if transaction else Answer(None, 0x0000, 200)
    if transaction != holder:
        return Answer(None, 0xC301, 400, _INCORRECT if transaction else _MISSING)
    return Answer(None, 0x0000, 200)
