"""Descriptions as tokens: one spelling whatever the accents, the case and the punctuation were."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

_LETTERS = str.maketrans(
    {"ß": "ss", "ẞ": "SS", "ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ı": "i"}
)
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "AE", "Ö": "OE", "Ü": "UE"})
_CAMEL = re.compile(r"(?<=[a-zß-öø-ÿ])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")
_LOST_LETTER = re.compile(r"(?<=\w)[?\ufffd](?=\w)")
_TOKEN = re.compile(r"[^\W\d_]+|\d+|[,;:()\[\]^=]")
_BREAKS = frozenset(",;:()[]^=")


class Token(NamedTuple):
    """A word or a number; ``after_break`` where a comma, bracket or the like stands before it."""

    text: str
    after_break: bool


def fold(text: str) -> str:
    """Upper case without accents: Schädel -> SCHADEL, CRÂNE -> CRANE, MIEDNICĘ -> MIEDNICE."""
    if text.isascii():
        return text.upper()
    plain = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    return "".join(letter for letter in plain if not unicodedata.combining(letter)).upper()


def spellings(words: str) -> tuple[str, ...]:
    """How a vocabulary entry may be written without its accents: SCHADEL and SCHAEDEL."""
    return tuple(dict.fromkeys((fold(words), fold(words.translate(_UMLAUTS)))))


@lru_cache(maxsize=65_536)
def tokens_of(text: str) -> tuple[Token, ...]:
    """The tokens of a description: ``AbdRoutine 3.0`` -> ABD ROUTINE 3 0; a letter lost to ``?`` is left out."""
    tokens: list[Token] = []
    broken = False
    for piece in _TOKEN.findall(_CAMEL.sub(" ", _LOST_LETTER.sub("", text))):
        if piece in _BREAKS:
            broken = True
            continue
        tokens.append(Token(fold(piece), broken))
        broken = False
    return tuple(tokens)
