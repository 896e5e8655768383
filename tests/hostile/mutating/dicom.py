"""DICOM files as streams of elements (PS3.5 7.1): lengths that lie, wrong VRs, private creators, nesting, other encodings."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from tests.hostile.canary import Canary
from tests.hostile.mutating import octets
from tests.hostile.mutating.texts import hostile

LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
VRS = (
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"OB", b"OW", b"PN", b"SH",
    b"SL", b"SQ", b"SS", b"ST", b"TM", b"UI", b"UL", b"UN", b"US", b"UT", b"UV", b"ZZ", b"\0\0", b"  ",
)  # fmt: skip
UNDEFINED = 0xFFFF_FFFF
LENGTHS = (0, 1, 2, 3, 0x7FFE, 0xFFFE, 0xFFFF, 0x1_0000, 0x400_0001, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, UNDEFINED)
SYNTAXES = (
    b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.2",
    b"1.2.840.10008.1.2.5", b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.4.70", b"1.2.840.10008.1.2.4.80",
    b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.4.201", b"1.2.840.10008.1.2.4.100", b"1.2.3.4", b"", b"\xff" * 8,
)  # fmt: skip
_SYNTAX = 0x0002_0010
_ITEM, _DELIMITER, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"


@dataclass(frozen=True)
class Element:
    """One element; ``length``: what it says of its value, where that is not the truth."""

    tag: int
    vr: bytes
    value: bytes
    length: int | None = None

    def encoded(self, *, implicit: bool = False) -> bytes:
        """PS3.5 7.1.2 and 7.1.3."""
        length = len(self.value) if self.length is None else self.length
        start = struct.pack("<HH", self.tag >> 16, self.tag & 0xFFFF)
        if implicit:
            return start + struct.pack("<L", length & 0xFFFF_FFFF) + self.value
        if self.vr in LONG:
            return start + self.vr + struct.pack("<HL", 0, length & 0xFFFF_FFFF) + self.value
        return start + self.vr + struct.pack("<H", length & 0xFFFF) + self.value


@dataclass(frozen=True)
class File:
    """A DICOM file: what stands before its elements, File Meta Information among them."""

    elements: tuple[Element, ...]
    preamble: bytes = bytes(128) + b"DICM"
    implicit: bool = False

    def encoded(self, *, implicit: bool = False, deflated: bool = False) -> bytes:
        """File Meta Information is always explicit (PS3.10 7.1)."""
        meta = b"".join(each.encoded() for each in self.elements if each.tag >> 16 == 2)
        body = b"".join(each.encoded(implicit=implicit) for each in self.elements if each.tag >> 16 != 2)
        if deflated:
            packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
            body = packer.compress(body) + packer.flush()
        return self.preamble + meta + body

    def with_(self, tag: int, **changes: object) -> File:
        """Another value or length of one element."""
        return replace(self, elements=tuple(replace(e, **changes) if e.tag == tag else e for e in self.elements))  # type: ignore[arg-type]


def parsed(content: bytes) -> File:
    """The elements of a valid Little Endian file; what has no defined length goes on to its delimiter."""
    elements: list[Element] = []
    offset, implicit = 132, b"1.2.840.10008.1.2\0" in content[132:600]
    while offset < len(content):
        group, number = struct.unpack_from("<HH", content, offset)
        vr = content[offset + 4 : offset + 6]
        if implicit and group != 2:
            vr, start, form = b"UN", offset + 8, "<L"
        else:
            start, form = (offset + 12, "<L") if vr in LONG else (offset + 8, "<H")
        (length,) = struct.unpack_from(form, content, start - struct.calcsize(form))
        undefined = length == UNDEFINED
        end = content.index(_END, start) + 8 if undefined else start + length
        elements.append(Element(group << 16 | number, vr, content[start:end], UNDEFINED if undefined else None))
        offset = end
    return File(tuple(elements), content[:132], implicit)


def nested(depth: int, *, tag: int = 0x0040_A730, defined: bool = False) -> Element:
    """A sequence in a sequence in a sequence ..."""
    inner = b""
    header = struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, b"SQ", 0, UNDEFINED)
    if not defined:
        inner = (header + _ITEM + struct.pack("<L", UNDEFINED)) * depth + (_DELIMITER + _END) * depth
        return Element(tag, b"SQ", inner[12:], UNDEFINED)
    for _ in range(min(depth, 500)):
        item = _ITEM + struct.pack("<L", len(inner)) + inner
        inner = struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, b"SQ", 0, len(item)) + item
    return Element(tag, b"SQ", inner[12:])


def bomb(megabytes: int) -> bytes:
    """Zeros without end, deflated (PS3.5 A.5)."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(megabytes)) + packer.flush()


class Spoiler:
    """Spoils files; ``creators``: private creators that it plays with."""

    def __init__(self, canary: Canary, creators: tuple[str, ...] = ("IODEEP AIMODEL 1", "ACME 1.1")) -> None:
        self._canary = canary
        self._creators = creators
        self._ways: tuple[Callable[[list[Element], Random], None], ...] = (
            self._value, self._value, self._value, self._length, self._length, self._vr, self._vr, self._tag,
            self._drop, self._double, self._swap, self._nest, self._creator, self._syntax, self._unknown,
        )  # fmt: skip

    def spoilt(self, content: bytes, random: Random) -> bytes:
        """One to three changes to a valid file, or to its bytes."""
        if random.random() < 0.25:
            return octets.spoilt(content, random)
        file = parsed(content)
        elements = list(file.elements)
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            if elements:
                random.choice(self._ways)(elements, random)
        preamble = random.choice((file.preamble,) * 12 + (b"", b"DICM", bytes(132)))
        made = File(tuple(elements), preamble).encoded(implicit=random.random() < 0.08, deflated=random.random() < 0.03)
        return octets.cut(made, random) if made and random.random() < 0.05 else made

    def _value(self, elements: list[Element], random: Random) -> None:
        at = random.randrange(len(elements))
        old = elements[at].value
        text = hostile(random, self._canary).encode("utf-8", "surrogatepass")
        choices = (text, b"", b"\0", old[:-1], old + b"\\" + old, random.randbytes(8), old * 3, b"\\" * 64, b"9" * 17)
        value = random.choice(choices) if random.random() < 0.7 or not old else octets.spoilt(old, random)
        elements[at] = replace(elements[at], value=value if random.random() < 0.2 else value + bytes(len(value) % 2))

    def _length(self, elements: list[Element], random: Random) -> None:
        at = random.randrange(len(elements))
        true = len(elements[at].value)
        elements[at] = replace(elements[at], length=random.choice((*LENGTHS, true + 2, max(true - 2, 0), true * 2)))

    def _vr(self, elements: list[Element], random: Random) -> None:
        at = random.randrange(len(elements))
        elements[at] = replace(elements[at], vr=random.choice(VRS))

    def _tag(self, elements: list[Element], random: Random) -> None:
        at = random.randrange(len(elements))
        tag = elements[at].tag
        other = random.choice(
            (tag + 1, tag ^ 0x100, tag ^ 0x10000, tag + 0x10000, 0, 0xFFFF_FFFF, 0xFFFE_E000, 0x7FE0_0010)
        )
        elements[at] = replace(elements[at], tag=other & 0xFFFF_FFFF)

    def _drop(self, elements: list[Element], random: Random) -> None:
        del elements[random.randrange(len(elements))]

    def _double(self, elements: list[Element], random: Random) -> None:
        at = random.randrange(len(elements))
        elements.insert(at, elements[at])

    def _swap(self, elements: list[Element], random: Random) -> None:
        first, second = random.randrange(len(elements)), random.randrange(len(elements))
        elements[first], elements[second] = elements[second], elements[first]

    def _nest(self, elements: list[Element], random: Random) -> None:
        depth = random.choice((1, 20, 300, 3000))
        elements.insert(random.randrange(len(elements) + 1), nested(depth, defined=random.random() < 0.5))

    def _creator(self, elements: list[Element], random: Random) -> None:
        group = random.choice((0x0099, 0x7FE1, 0x0017))
        tag = group << 16 | random.choice((0x10, 0x11, 0x12, 0xFF))
        value = random.choice(self._creators).encode()
        elements.append(Element(tag, random.choice((b"LO", b"LO", b"UN")), value + b" " * (len(value) % 2)))
        if random.random() < 0.8:
            elements.sort(key=lambda each: each.tag)

    def _syntax(self, elements: list[Element], random: Random) -> None:
        syntax = random.choice(SYNTAXES)
        for at, each in enumerate(elements):
            if each.tag == _SYNTAX:
                elements[at] = replace(each, value=syntax + bytes(len(syntax) % 2))

    def _unknown(self, elements: list[Element], random: Random) -> None:
        """As an archive that stores Implicit VR gives private elements back (PS3.5 6.2.2)."""
        for at, each in enumerate(elements):
            if each.tag >> 16 & 1 and random.random() < 0.8:
                elements[at] = replace(each, vr=b"UN")
