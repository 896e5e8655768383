"""DIMSE command sets (PS3.7 Annex E): always Implicit VR Little Endian, a group length first."""

from __future__ import annotations

import struct
from enum import IntEnum
from io import BytesIO

from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode, encode

NO_DATA_SET = 0x0101
HAS_DATA_SET = 0x0001
PENDING = (0xFF00, 0xFF01)
SUCCESS = 0x0000
CANCELLED = 0xFE00
_MEDIUM_PRIORITY = 0


class Command(IntEnum):
    """Command Field (0000,0100)."""

    C_STORE_RQ = 0x0001
    C_STORE_RSP = 0x8001
    C_GET_RQ = 0x0010
    C_GET_RSP = 0x8010
    C_FIND_RQ = 0x0020
    C_FIND_RSP = 0x8020
    C_MOVE_RQ = 0x0021
    C_MOVE_RSP = 0x8021
    C_ECHO_RQ = 0x0030
    C_ECHO_RSP = 0x8030
    C_CANCEL_RQ = 0x0FFF


def request(field: Command, sop_class: str, message_id: int, *, data_set: bool, **elements: str | int) -> Dataset:
    """A request of the composite services (PS3.7 9.3); ``elements`` are further ones by keyword."""
    command = Dataset()
    command.AffectedSOPClassUID = sop_class
    command.CommandField = int(field)
    command.MessageID = message_id
    if data_set:
        command.Priority = _MEDIUM_PRIORITY
    command.CommandDataSetType = HAS_DATA_SET if data_set else NO_DATA_SET
    for keyword, value in elements.items():
        setattr(command, keyword, value)
    return command


def response(asked: Dataset, status: int, comment: str = "") -> bytes:
    """The encoded answer to a request without a data set (C-STORE, C-ECHO; PS3.7 9.3.1.2).

    Written here element by element: there is one for every instance, and it costs a tenth of building a data set.
    """
    elements = [
        _uid(0x0002, str(asked.AffectedSOPClassUID)),
        _number(0x0100, int(asked.CommandField) | 0x8000),
        _number(0x0120, int(asked.MessageID)),
        _number(0x0800, NO_DATA_SET),
        _number(0x0900, status),
    ]
    if comment:
        elements.append(_element(0x0902, _even(comment[:64].encode("ascii", "replace"), b" ")))
    if uid := asked.get("AffectedSOPInstanceUID"):
        elements.append(_uid(0x1000, str(uid)))
    body = b"".join(elements)
    return _GROUP_LENGTH.pack(0, 0, 4, len(body)) + body


_GROUP_LENGTH = struct.Struct("<HHII")
_HEADER = struct.Struct("<HHI")


def _element(number: int, value: bytes) -> bytes:
    return _HEADER.pack(0, number, len(value)) + value


def _number(number: int, value: int) -> bytes:
    return _element(number, value.to_bytes(2, "little"))


def _uid(number: int, uid: str) -> bytes:
    return _element(number, _even(uid.encode("ascii", "replace"), b"\0"))


def _even(value: bytes, pad: bytes) -> bytes:
    return value + pad * (len(value) % 2)


def cancellation(message_id: int) -> Dataset:
    """A C-CANCEL of the request with that ID (PS3.7 9.3.2.3)."""
    command = Dataset()
    command.CommandField = int(Command.C_CANCEL_RQ)
    command.MessageIDBeingRespondedTo = message_id
    command.CommandDataSetType = NO_DATA_SET
    return command


def encoded(command: Dataset) -> bytes:
    """A command set as bytes."""
    body = encode(command, True, True)
    assert body is not None
    return _GROUP_LENGTH.pack(0, 0, 4, len(body)) + bytes(body)


def decoded(content: bytes) -> Dataset:
    """A command set out of bytes, every value of it readable. Raises TypeError, and whatever pydicom does."""
    command = decode(BytesIO(content), True, True)
    for element in command:  # a value is converted when it is asked for, or that fails
        wanted = int if element.keyword in _ONE_NUMBER else str if element.keyword in _ONE_UID else object
        if not isinstance(element.value, wanted):
            raise TypeError(f"{element.keyword} is {str(element.value)[:40]!r}")
    return command


_ONE_NUMBER = {"CommandField", "CommandDataSetType", "MessageID", "MessageIDBeingRespondedTo", "Status"}
_ONE_UID = {"AffectedSOPClassUID", "AffectedSOPInstanceUID"}
