"""C-GET and C-MOVE (PS3.4 C.4.2, C.4.3): asked for by UID, counted at the end; a sub-operation that fails is an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import NoReturn

from pydicom.dataset import Dataset

from iodeep.errors import CancelledError
from iodeep.ports import Level, Wanted
from pacs_bridge.dimse import commands, diagnosis
from pacs_bridge.dimse.arrivals import Arrivals
from pacs_bridge.dimse.association import Association, Context, Message
from pacs_bridge.dimse.commands import Command
from pacs_bridge.dimse.diagnosis import Parties
from pacs_bridge.dimse.kept import Kept
from pacs_bridge.dimse.negotiation import Proposal
from pacs_bridge.dimse.query import decoded, encoded
from pacs_bridge.dimse.storage_classes import RECEIVED
from pacs_bridge.dimse.watch import Watch
from pacs_bridge.part10 import UNCOMPRESSED

STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
GET = (Proposal(STUDY_ROOT_GET, UNCOMPRESSED), *RECEIVED)
"""What an association for C-GET proposes."""
Associate = Callable[[Sequence[Proposal]], Association]


def get(kept: Kept, watch: Watch, requests: Sequence[Dataset], arrivals: Arrivals) -> None:
    """C-GET: the instances come over the association that asks, where the archive agreed to send on it."""

    def ask(association: Association) -> None:
        context = association.context_for(STUDY_ROOT_GET)
        if context is None or not any(cx.receives for cx in association.contexts.values()):
            raise diagnosis.nothing_negotiated(association.parties, "C-GET", (STUDY_ROOT_GET,))
        for identifier in requests:
            _ask(association, context, Command.C_GET_RQ, identifier, arrivals)

    kept.use(watch, ask, untouched=lambda: arrivals.none_yet)


def move(
    associate: Associate,
    receiver: Callable[[], AbstractContextManager[object]],
    requests: Sequence[Dataset],
    arrivals: Arrivals,
) -> None:
    """C-MOVE to ourselves: the archive opens associations to the receiver that runs meanwhile."""
    with receiver(), associate([Proposal(STUDY_ROOT_MOVE, UNCOMPRESSED)]) as association:
        context = association.context_for(STUDY_ROOT_MOVE)
        if context is None:
            raise diagnosis.nothing_negotiated(association.parties, "C-MOVE", (STUDY_ROOT_MOVE,))
        for identifier in requests:
            _ask(association, context, Command.C_MOVE_RQ, identifier, arrivals)


def requests_for(wanted: Wanted) -> list[Dataset]:
    """The identifiers: one for a study or a series, one for each instance (few archives take lists of UIDs)."""
    if not wanted.instances:
        level = Level.STUDY if wanted.series is None else Level.SERIES
        return [_identifier(level, wanted)]
    return [_identifier(Level.IMAGE, wanted, uid) for uid in wanted.instances]


def _identifier(level: Level, wanted: Wanted, uid: str | None = None) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level.value
    identifier.StudyInstanceUID = wanted.study
    if wanted.series is not None:
        identifier.SeriesInstanceUID = wanted.series
    if uid is not None:
        identifier.SOPInstanceUID = uid
    return identifier


def _ask(association: Association, context: Context, field: Command, identifier: Dataset, arrivals: Arrivals) -> None:
    service = "C-GET" if field is Command.C_GET_RQ else "C-MOVE"
    association.wire.doing = f"retrieving ({service})"
    number = association.next_message_id()
    command = commands.request(field, context.abstract_syntax, number, data_set=True)
    if field is Command.C_MOVE_RQ:
        command.MoveDestination = association.parties.calling
    unasked = arrivals.unasked
    association.send(context, command, encoded(identifier, context))
    with _cancelled_there_too(association, context, number):
        final = _final(association, field, arrivals)
    _check(association.parties, service, final, arrivals, arrivals.unasked - unasked)


def _final(association: Association, field: Command, arrivals: Arrivals) -> Message:
    while True:
        message = arrivals.take(association)
        if message.field == Command.C_STORE_RQ:
            continue
        if message.field != field | 0x8000:
            raise diagnosis.misspoken(association.parties, f"a command 0x{message.field:04X}", association.wire.doing)
        if message.status not in commands.PENDING:
            return message


@contextmanager
def _cancelled_there_too(association: Association, context: Context, number: int) -> Iterator[None]:
    """Tell the archive to stop (PS3.7 9.3.3.3) before the association is aborted."""
    try:
        yield
    except CancelledError:
        association.send_last(context, commands.cancellation(number))
        raise


def _check(parties: Parties, service: str, final: Message, arrivals: Arrivals, unasked: int) -> None:
    """Sub-operations that failed or warned are errors, but for those that we refused because nobody asked for them."""
    command = final.command
    failed = int(command.get("NumberOfFailedSuboperations") or 0)
    warned = int(command.get("NumberOfWarningSuboperations") or 0)
    only_unasked = final.status in (commands.SUCCESS, 0xB000) and failed + warned <= unasked
    if only_unasked or (final.status == commands.SUCCESS and not failed and not warned):
        return
    _raise_failed(parties, service, final, arrivals, failed, warned)


def _raise_failed(
    parties: Parties, service: str, final: Message, arrivals: Arrivals, failed: int, warned: int
) -> NoReturn:
    error = diagnosis.refused(parties, service, final.command, "what was asked for", final.context.abstract_syntax)
    uids = _failed_uids(final)
    counts = f"{failed} sub-operations failed, {warned} gave warnings" if failed or warned else ""
    named = f"failed: {diagnosis.listed(uids)}" if uids else ""
    reasons = "; ".join(sorted(set(arrivals.reasons.values())))
    error.found = "; ".join(part for part in (counts, named, reasons, error.found) if part)
    raise error


def _failed_uids(final: Message) -> list[str]:
    if not final.data:
        return []
    failed = decoded(final.data, final.context).get("FailedSOPInstanceUIDList") or []
    return [failed] if isinstance(failed, str) else [str(uid) for uid in failed]
