"""What is said in an association (PS3.8 9.3, PS3.7 6.3), byte by byte, so that any length and any number may be a lie."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from random import Random

from tests.hostile.mutating import octets

VERIFICATION, CT_IMAGE = b"1.2.840.10008.1.1", b"1.2.840.10008.5.1.4.1.1.2"
EXPLICIT, IMPLICIT = b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2"
APPLICATION = b"1.2.840.10008.3.1.1.1"
RELEASE, ABORT = struct.pack(">BxL4x", 5, 4), struct.pack(">BxL4x", 7, 4)
UIDS = (
    b"",
    b"1..2",
    b"1.2." + b"3" * 70,
    b"\xff" * 64,
    b"9" * 64,
    b"1.2.3\0",
    b"../../x",
    b"1.2.840.10008.5.1.4.1.2.2.1",
    b"a" * 60_000,
)
LENGTHS = (0, 1, 2, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF)


def pdu(kind: int, content: bytes, length: int | None = None) -> bytes:
    """A PDU; ``length``: what it says of itself."""
    return struct.pack(">BxL", kind, (len(content) if length is None else length) & 0xFFFF_FFFF) + content


def item(kind: int, content: bytes, length: int | None = None) -> bytes:
    """An item of an A-ASSOCIATE PDU."""
    return struct.pack(">BxH", kind, (len(content) if length is None else length) & 0xFFFF) + content[:0xFFFF]


def context(number: int, abstract: bytes, *syntaxes: bytes) -> bytes:
    """A presentation context (PS3.8 9.3.2.2)."""
    return item(
        0x20, bytes([number & 255, 0, 0, 0]) + item(0x30, abstract) + b"".join(item(0x40, each) for each in syntaxes)
    )


ITEMS = (
    item(0x10, APPLICATION),
    context(1, VERIFICATION, EXPLICIT, IMPLICIT),
    context(3, CT_IMAGE, EXPLICIT, IMPLICIT),
    item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3.4") + item(0x55, b"HOSTILE")),
)


def associate(
    items: Sequence[bytes] = ITEMS, called: bytes = b"IODEEP", calling: bytes = b"HOSTILE", version: int = 1
) -> bytes:
    """An A-ASSOCIATE-RQ."""
    head = struct.pack(">H2x16s16s32x", version & 0xFFFF, called.ljust(16)[:16], calling.ljust(16)[:16])
    return pdu(1, head + b"".join(items))


def data(number: int, control: int, content: bytes, length: int | None = None) -> bytes:
    """A P-DATA-TF with one fragment."""
    size = len(content) + 2 if length is None else length
    return pdu(4, struct.pack(">LBB", size & 0xFFFF_FFFF, number & 255, control & 255) + content)


def command(**elements: bytes) -> bytes:
    """A command set (PS3.7 E): elements by their number in hexadecimal, such as ``x0100``."""
    body = b"".join(
        struct.pack("<HHL", 0, int(name[1:], 16), len(value)) + value for name, value in sorted(elements.items())
    )
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def number(value: int) -> bytes:
    """US."""
    return struct.pack("<H", value & 0xFFFF)


def uid(value: bytes) -> bytes:
    """UI."""
    return value + bytes(len(value) % 2)


def negotiation(random: Random) -> bytes:
    """An A-ASSOCIATE-RQ that is wrong somewhere."""
    items = list(ITEMS)
    how = random.randrange(9)
    if how == 0:
        several = random.choice((100, 127, 128, 200, 1000, 4000))
        items[1:3] = [
            context(2 * each + 1, random.choice((VERIFICATION, CT_IMAGE)), EXPLICIT) for each in range(several)
        ]
    elif how == 1:
        items[random.randrange(4)] = item(
            random.choice((0x10, 0x20, 0x30, 0x50, 0x51, 0x99)), random.randbytes(40), random.choice(LENGTHS)
        )
    elif how == 2:
        items[1] = context(random.choice((0, 2, 3, 255)), random.choice(UIDS), random.choice(UIDS))
    elif how == 3:
        items[2] = context(3, CT_IMAGE, *[random.choice((EXPLICIT, *UIDS))] * random.choice((0, 1, 50, 500)))
    elif how == 4:
        name = random.choice((b"", b"\0" * 16, b"\xff" * 16, b"A\\B", b"  ", b"../../x", b"NOBODY"))
        return associate(items, random.choice((name, b"IODEEP")), name, random.choice((0, 1, 2, 0xFFFF)))
    elif how == 5:
        kinds = [
            item(each, random.randbytes(random.choice((0, 1, 4, 300))), random.choice((None, *LENGTHS)))
            for each in (0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58)
        ]
        items[3] = item(0x50, b"".join(random.sample(kinds, 4)))
    elif how == 6:
        items = random.choice((items[::-1], items * 2, items[:2], [], items[3:] * 40))
    elif how == 7:
        whole = associate(items)
        return whole[:2] + struct.pack(">L", random.choice(LENGTHS)) + whole[6:]
    return octets.spoilt(associate(items), random) if how > 7 or random.random() < 0.3 else associate(items)


def message(random: Random, instance: bytes, sop_instance: bytes) -> bytes:
    """A C-STORE or something else, as P-DATA, wrong somewhere; the context is 3, of CT images."""
    how = random.randrange(10)
    begin = data(3, 3, _request(random, how, sop_instance))
    rest: dict[int, Callable[[], bytes]] = {
        5: lambda: octets.spoilt(data(3, 2, instance), random),
        6: lambda: data(random.choice((0, 1, 2, 5, 255)), random.choice((0, 1, 2, 3, 4, 255)), instance),
        7: lambda: data(3, 2, instance, random.choice((*LENGTHS, len(instance), len(instance) + 4))),
        8: lambda: _in_pieces(instance) + random.choice((b"", data(3, 2, b""), RELEASE, ABORT, begin)),
        9: lambda: begin * random.choice((1, 30)) + data(3, 2, instance),
    }
    whole = data(3, 2, instance if random.random() < 0.5 else octets.spoilt(instance, random))
    return begin + rest.get(how, lambda: whole)()


def _request(random: Random, how: int, sop_instance: bytes) -> bytes:
    elements = {
        "x0002": uid(CT_IMAGE), "x0100": number(1), "x0110": number(1), "x0700": number(0), "x0800": number(1), "x1000": uid(sop_instance),
    }  # fmt: skip
    if how == 0:
        name = random.choice(sorted(elements))
        elements[name] = random.choice((b"", b"\xff\xff", random.choice(UIDS)[:60_000], random.randbytes(5)))
    elif how == 1:
        del elements[random.choice(sorted(elements))]
    elif how == 2:
        elements["x0100"] = number(random.choice((0, 0x10, 0x20, 0x21, 0x30, 0x8001, 0x0FFF, 0x100, 0x140, 0xFFFF)))
    elif how == 3:
        elements["x0800"] = number(0x0101)
    said = command(**elements)
    return octets.spoilt(said, random) if how == 4 else said


def _in_pieces(instance: bytes) -> bytes:
    """A data set that has no end, seven bytes at a time."""
    pieces = [instance[at : at + 7] for at in range(0, min(len(instance), 700), 7)]
    return b"".join(data(3, 0, each) for each in pieces)
