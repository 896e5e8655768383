"""The words for kinds of series, as data: ``kind_words.csv`` (localizers, derived images, sequences, phases)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.resources import files

from iodeep.anatomy.text import spellings, tokens_of

_LONGEST = 4
_SHORTEST_STEM = 3

Phrases = dict[tuple[str, ...], list[tuple[str, frozenset[str]]]]


@lru_cache(maxsize=65_536)
def labels_in(text: str, modality: str) -> frozenset[str]:
    """The labels whose words a description holds; a phrase hides the shorter ones inside it (T2 FLAIR is not T2)."""
    tokens = [token.text for token in tokens_of(text)]
    found: set[str] = set()
    position = 0
    while position < len(tokens):
        length, labels = _longest(tokens[position : position + _LONGEST], modality)
        found |= labels
        position += length
    return frozenset(found)


def _longest(tokens: list[str], modality: str) -> tuple[int, set[str]]:
    phrases = _phrases()
    for length in range(len(tokens) if tokens[0] in _beginnings() else 1, 0, -1):
        labels = {
            label
            for spelling in _with_stems(tokens[:length])
            if spelling in phrases
            for label, modalities in phrases[spelling]
            if not modalities or modality in modalities
        }
        if labels:
            return length, labels
    return 1, set()


def _with_stems(tokens: list[str]) -> Iterator[tuple[str, ...]]:
    yield tuple(tokens)
    *before, last = tokens
    if last[:_SHORTEST_STEM] in _stem_beginnings():
        for end in range(len(last), _SHORTEST_STEM - 1, -1):
            yield (*before, f"{last[:end]}*")


@cache
def _beginnings() -> frozenset[str]:
    """The words that a phrase of several words begins with."""
    return frozenset(phrase[0] for phrase in _phrases() if len(phrase) > 1)


@cache
def _stem_beginnings() -> frozenset[str]:
    """The first letters of every stem: a word that begins otherwise is none."""
    return frozenset(phrase[-1][:_SHORTEST_STEM] for phrase in _phrases() if phrase[-1].endswith("*"))


@cache
def _phrases() -> Phrases:
    phrases: Phrases = {}
    with files("iodeep.selection").joinpath("kind_words.csv").open(encoding="utf-8") as table:
        for row in csv.DictReader(table):
            modalities = frozenset(row["modalities"].split())
            for words in row["words"].split("|"):
                for spelling in spellings(words.strip()):
                    key = [token.text for token in tokens_of(spelling)]
                    if spelling.endswith("*"):
                        key[-1] += "*"
                    phrases.setdefault(tuple(key), []).append((row["label"], modalities))
    return phrases
