"""Associations requested and accepted (PS3.8 7.1): AE titles, presentation contexts, roles, longest PDU."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace

from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import PresentationContext

from iodeep.errors import ArchiveError
from iodeep.terms import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from pacs_bridge.dimse import diagnosis
from pacs_bridge.dimse.association import MAX_PDU, PDU_HEADER, Association, Context
from pacs_bridge.dimse.diagnosis import Parties
from pacs_bridge.dimse.watch import Watch
from pacs_bridge.dimse.wire import Wire, connect, secured

UserInformation = (
    MaximumLengthNotification
    | ImplementationClassUIDNotification
    | ImplementationVersionNameNotification
    | AsynchronousOperationsWindowNegotiation
    | SCP_SCU_RoleSelectionNegotiation
    | SOPClassExtendedNegotiation
    | UserIdentityNegotiation
    | SOPClassCommonExtendedNegotiation
)
MAX_CONTEXTS = 128
_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
_RQ, _AC, _RJ, _ABORT = 1, 2, 3, 7


@dataclass(frozen=True)
class Proposal:
    """A presentation context to ask for; ``receive`` asks to be sent instances on it, as C-GET needs."""

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]
    receive: bool = False


def request(
    parties: Parties, proposals: Sequence[Proposal], watch: Watch, tls: ssl.SSLContext | None = None
) -> Association:
    """An association as its requestor.

    Raises :class:`~iodeep.errors.ArchiveUnreachableError` where nothing answers, it is rejected or aborted.
    """
    watch.touch()
    connection = connect(parties.host, parties.port, str(parties), watch)
    if tls is not None:
        connection = secured(connection, tls, str(parties), watch, host=parties.host)
    wire = Wire(connection, str(parties), watch)
    wire.doing = "asking for an association"
    try:
        wire.send(_encoded_request(parties, proposals))
        return _established(wire, parties, proposals)
    except BaseException:
        wire.close()
        raise


@dataclass(frozen=True)
class Rejection:
    """An A-ASSOCIATE-RJ (PS3.8 9.3.4): result, source and reason, and the same in words for our log."""

    result: int
    source: int
    reason: int
    words: str


def _called_by_our_name(parties: Parties, called: str) -> Rejection | None:
    if called == parties.calling:
        return None
    return Rejection(1, 1, 7, f"it called us {called!r}")


Admit = Callable[[str, str], Rejection | None]
"""Whether the caller may come in, by the calling and the called AE title."""
Choose = Callable[[PresentationContext], PresentationContext]
"""The answer to one presentation context that was proposed."""


class RejectedError(ArchiveError):
    """We rejected an association."""


def accept(
    connection: socket.socket,
    parties: Parties,
    watch: Watch,
    *,
    admit: Admit | None = None,
    choose: Choose | None = None,
) -> Association:
    """An association as its acceptor, for storage only; by default each SOP class, in its first transfer syntax that we know.

    Without ``admit`` who calls us by another name is rejected. Raises :class:`RejectedError` after a rejection. Where
    ``parties`` doesn't name the caller, the association's do.
    """
    wire = Wire(connection, str(parties), watch)
    wire.doing = "accepting an association"
    kind, content = _negotiation_pdu(wire)
    asked = _primitive(A_ASSOCIATE_RQ, content, parties) if kind == _RQ else None
    if asked is None:
        raise diagnosis.misspoken(parties, f"a PDU of type {kind} instead of a request", wire.doing)
    calling, called = str(asked.calling_ae_title).strip(), str(asked.called_ae_title).strip()
    parties = parties if parties.called else replace(parties, called=calling)
    wire.peer = str(parties)
    rejection = admit(calling, called) if admit else _called_by_our_name(parties, called)
    if rejection is not None:
        wire.last_word(PDU_HEADER.pack(_RJ, 4) + bytes([0, rejection.result, rejection.source, rejection.reason]))
        raise RejectedError(f"an association with {parties} was rejected: {rejection.words}")
    results = [(choose or answered)(context) for context in asked.presentation_context_definition_list]
    wire.send(_encoded_acceptance(asked, results))
    contexts = {
        number: Context(number, str(cx.abstract_syntax), str(cx.transfer_syntax[0]), receives=True)
        for cx in results
        if cx.result == 0 and (number := cx.context_id) is not None
    }
    return Association(wire, parties, contexts, asked.maximum_length_received or 0, None)


def _established(wire: Wire, parties: Parties, proposals: Sequence[Proposal]) -> Association:
    kind, content = _negotiation_pdu(wire)
    if kind == _RJ:
        answer = _primitive(A_ASSOCIATE_RJ, content, parties)
        words, transient = answer.reason_str, answer.result == 2
        raise diagnosis.rejected(parties, (answer.result_source, answer.diagnostic), words, transient=transient)
    if kind == _ABORT:
        raise diagnosis.aborted(parties, wire.doing, by_provider=content[8] == 2)
    if kind != _AC:
        raise diagnosis.misspoken(parties, f"a PDU of type {kind} instead of an answer", wire.doing)
    answer = _primitive(A_ASSOCIATE_AC, content, parties)
    contexts = _accepted(answer, proposals)
    return Association(wire, parties, contexts, answer.maximum_length_received or 0, _implementation(answer))


def _accepted(answer: A_ASSOCIATE, proposals: Sequence[Proposal]) -> dict[int, Context]:
    """What was accepted; without an answer to a role we keep the requestor's own (PS3.7 D.3.3.4)."""
    receivers = {
        str(item.sop_class_uid)
        for item in answer.user_information
        if isinstance(item, SCP_SCU_RoleSelectionNegotiation) and item.scp_role
    }
    asked = {2 * index + 1: proposal for index, proposal in enumerate(proposals)}
    contexts = {}
    for result in answer.presentation_context_definition_results_list:
        number = result.context_id or 0
        if result.result != 0 or number not in asked or not result.transfer_syntax:
            continue
        syntax = asked[number].abstract_syntax
        contexts[number] = Context(number, syntax, str(result.transfer_syntax[0]), receives=syntax in receivers)
    return contexts


def _encoded_request(parties: Parties, proposals: Sequence[Proposal]) -> bytes:
    primitive = A_ASSOCIATE()
    primitive.application_context_name = UID(_APPLICATION_CONTEXT)
    primitive.calling_ae_title = parties.calling
    primitive.called_ae_title = parties.called
    primitive.presentation_context_definition_list = [
        _context(2 * index + 1, proposal.abstract_syntax, proposal.transfer_syntaxes)
        for index, proposal in enumerate(proposals)
    ]
    roles = {proposal.abstract_syntax for proposal in proposals if proposal.receive}
    primitive.user_information = [*_about_us(), *map(_receiver_role, sorted(roles))]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return bytes(pdu.encode())


def _encoded_acceptance(asked: A_ASSOCIATE, results: list[PresentationContext]) -> bytes:
    primitive = A_ASSOCIATE()
    primitive.application_context_name = UID(_APPLICATION_CONTEXT)
    primitive.calling_ae_title = asked.calling_ae_title
    primitive.called_ae_title = asked.called_ae_title
    primitive.result = 0
    primitive.result_source = 1
    primitive.presentation_context_definition_results_list = results
    primitive.user_information = _about_us()
    pdu = A_ASSOCIATE_AC()
    pdu.from_primitive(primitive)
    return bytes(pdu.encode())


def _about_us() -> list[UserInformation]:
    longest = MaximumLengthNotification()
    longest.maximum_length_received = MAX_PDU
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    return [longest, implementation, version]


def _receiver_role(sop_class: str) -> SCP_SCU_RoleSelectionNegotiation:
    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid = UID(sop_class)
    role.scu_role = False
    role.scp_role = True
    return role


def _context(context_id: int, abstract_syntax: str, transfer_syntaxes: Sequence[str]) -> PresentationContext:
    context = PresentationContext()
    context.context_id = context_id
    context.abstract_syntax = UID(abstract_syntax)
    context.transfer_syntax = list(transfer_syntaxes)
    return context


_PREFERRED = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")


def answered(asked: PresentationContext, known: Container[str] | None = None) -> PresentationContext:
    """Explicit VR Little Endian where it is offered: it alone keeps the VRs of private elements; else the first ``known``."""
    offered = [str(syntax) for syntax in asked.transfer_syntax if known is None or str(syntax) in known]
    chosen = next((syntax for syntax in _PREFERRED if syntax in offered), offered[0] if offered else None)
    return result_for(asked, 0 if chosen else 4, chosen)


def result_for(asked: PresentationContext, result: int, transfer_syntax: str | None = None) -> PresentationContext:
    """An answer to a proposed context: accepted (0), abstract (3) or transfer syntaxes (4) not supported (PS3.8 9.3.3.2)."""
    answer = _context(asked.context_id or 0, str(asked.abstract_syntax), [transfer_syntax or _PREFERRED[1]])
    answer.result = result
    return answer


def _negotiation_pdu(wire: Wire) -> tuple[int, bytes]:
    kind, length = PDU_HEADER.unpack(wire.take(PDU_HEADER.size))
    return kind, PDU_HEADER.pack(kind, length) + bytes(wire.take(length))


def _primitive(
    pdu_class: type[A_ASSOCIATE_RQ | A_ASSOCIATE_AC | A_ASSOCIATE_RJ], content: bytes, parties: Parties
) -> A_ASSOCIATE:
    """One PDU of a foreign peer; whatever its decoding trips over is the peer's mistake."""
    pdu = pdu_class()
    try:
        pdu.decode(content)
        return pdu.to_primitive()
    except Exception as error:
        raise diagnosis.misspoken(parties, f"a PDU that cannot be read ({error})", "negotiating") from error


def _implementation(answer: A_ASSOCIATE) -> str | None:
    for item in answer.user_information:
        if isinstance(item, ImplementationVersionNameNotification) and item.implementation_version_name:
            return str(item.implementation_version_name)
    return None
