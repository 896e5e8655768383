"""Bytes without any structure: flipped, cut, doubled, moved, and numbers at the edges of their types."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def flipped(content: bytes, random: Random) -> bytes:
    """Up to eight bits turned."""
    changed = bytearray(content)
    for _ in range(random.randint(1, 8)):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def cut(content: bytes, random: Random) -> bytes:
    """Only its beginning."""
    return content[: random.randrange(len(content))]


def doubled(content: bytes, random: Random) -> bytes:
    """A piece twice."""
    start, length = random.randrange(len(content)), random.choice((1, 8, 64, 512, 4096))
    return (
        content[: start + length]
        + content[start : start + length] * random.choice((1, 1, 2, 100))
        + content[start + length :]
    )


def without(content: bytes, random: Random) -> bytes:
    """A piece missing."""
    start = random.randrange(len(content))
    return content[:start] + content[start + random.choice((1, 2, 8, 64, 512)) :]


def moved(content: bytes, random: Random) -> bytes:
    """A piece over another."""
    length = min(random.choice((4, 32, 256)), len(content))
    source, target = random.randrange(len(content)), random.randrange(len(content))
    return content[:target] + content[source : source + length] + content[target + length :]


def edged(content: bytes, random: Random) -> bytes:
    """A number at the edge of its type somewhere."""
    size, order = random.choice((1, 2, 4, 8)), random.choice(("little", "big"))
    value = random.choice(EDGES) & (1 << 8 * size) - 1
    start = random.randrange(len(content))
    return content[:start] + value.to_bytes(size, "little" if order == "little" else "big") + content[start + size :]


def appended(content: bytes, random: Random) -> bytes:
    """Something behind its end."""
    return content + random.randbytes(random.choice((1, 2, 132, 5000)))


_ALL: tuple[Callable[[bytes, Random], bytes], ...] = (
    flipped,
    flipped,
    flipped,
    cut,
    doubled,
    without,
    moved,
    edged,
    edged,
    appended,
)


def spoilt(content: bytes, random: Random) -> bytes:
    """One to three of these, one after another."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if content:
            content = random.choice(_ALL)(content, random)
    return content
