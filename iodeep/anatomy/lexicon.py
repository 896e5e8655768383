"""Finds the vocabulary's words in a description: the longest phrase wins, then stems, glued words, misspellings.

Everything found is certain to be in the text; what it is worth is the resolver's business.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from iodeep.anatomy.text import Token, tokens_of
from iodeep.anatomy.vocabulary import Kind, Vocabulary, Word

GLUED = 0.8
"""How much a word counts that was cut out of a longer one (CTABDPEL, KNIEGELENK)."""
MISSPELT = 0.6
"""How much a word counts that is one letter off."""
_SHORTEST_STEM = 3
_SHORTEST_MISSPELT = 6
_MODALITIES = ("CTA", "CT", "MRI", "MRT", "MRA", "MR", "IRM", "TDM", "TC", "RM", "TK", "KT", "XR", "RX", "PETCT")
_GLUED_WORDS = (
    "ABD ABDO ABDOMEN PEL PELV PELVIS CHEST THX THOR THORAX HEAD NECK BRAIN LSPINE CSPINE TSPINE KNEE "
    "SHOULDER ANKLE FOOT WRIST ELBOW LIVER CAP SINUS ORBIT"
)
_GLUABLE = frozenset(_GLUED_WORDS.split())
_TAILS = "W WO WX WWO C I IV WC WOC CON CONT CONTR CONTRAST WITH WITHOUT L R LT RT BIL BILAT UNI PLUS"
_TAIL = frozenset(_TAILS.split())


@dataclass(frozen=True)
class Match:
    """A vocabulary entry found in a description."""

    word: Word
    found: str
    certainty: float
    negated: bool = False


@dataclass
class _Node:
    exact: dict[str, _Node] = field(default_factory=dict)
    stems: dict[str, _Node] = field(default_factory=dict)
    words: list[Word] = field(default_factory=list)


class Lexicon:
    """A vocabulary arranged for searching. Immutable once built; keeps what it found in a bounded cache."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._root = _Node()
        self._inner: list[tuple[str, Word]] = []
        self._misspelt: dict[str, list[Word]] = defaultdict(list)
        for word in vocabulary.words:
            self._add(word)
        self.find = lru_cache(maxsize=65_536)(self._find)

    def _add(self, word: Word) -> None:
        if word.words.startswith("*"):
            self._inner.append((word.words.strip("*"), word))
            return
        if word.kind is Kind.SPELLING:
            for variant in {word.words, *_deletions(word.words)}:
                self._misspelt[variant].append(word)
        node = self._root
        parts = word.words.split()
        for part in parts:
            stem = part.endswith("*")
            tokens = [token.text for token in tokens_of(part)]
            for number, text in enumerate(tokens):
                last = number == len(tokens) - 1
                node = (node.stems if stem and last else node.exact).setdefault(text, _Node())
        node.words.append(word)

    def _find(self, text: str, modality: str) -> tuple[Match, ...]:
        """Every entry in a description, in its order; ``modality`` leaves out entries that don't hold for it."""
        tokens = tokens_of(text)
        matches: list[Match] = []
        position = 0
        negated = False
        while position < len(tokens):
            length, found = self._at(tokens, position, modality)
            if found and found[0].word.kind is Kind.NOT:
                negated = True
                position += length
                continue
            if negated and not tokens[position].after_break:
                found = [Match(match.word, match.found, match.certainty, negated=True) for match in found]
            negated = False
            matches += found
            position += length
        return tuple(matches)

    def _at(self, tokens: Sequence[Token], position: int, modality: str) -> tuple[int, list[Match]]:
        best = max(_walk(self._root, tokens, position, modality), default=None, key=lambda hit: hit[0])
        if best:
            length, word = best
            return length, [Match(word, " ".join(token.text for token in tokens[position : position + length]), 1.0)]
        return 1, list(self._guess(tokens[position].text, modality))

    def _guess(self, text: str, modality: str) -> Iterator[Match]:
        """What a single unknown token may hide."""
        if len(text) < 5:
            return
        glued = self._glued(text, modality)
        if glued:
            yield from (Match(word, text, GLUED) for word in glued)
            return
        for stem, word in self._inner:
            if stem in text and word.holds_for(modality):
                yield Match(word, text, GLUED)
                return
        if len(text) >= _SHORTEST_MISSPELT:
            yield from self._nearly(text, modality)

    def _glued(self, text: str, modality: str) -> list[Word]:
        for start in _MODALITIES:
            rest = text.removeprefix(start)
            if rest == text or len(rest) < _SHORTEST_STEM:
                continue
            whole = next(_walk(self._root, (Token(rest, after_break=False),), 0, modality), None)
            if whole:
                return [whole[1]]
            if cut := self._cut(rest, modality):
                return cut
        words = self._cut(text, modality)
        return words if len(words) > 1 else []

    def _cut(self, text: str, modality: str) -> list[Word]:
        """The words that the whole of ``text`` is made of, up to a tail such as WO; none where a rest stays."""
        words: list[Word] = []
        while text and text not in _TAIL:
            piece = next((text[:end] for end in range(len(text), 2, -1) if text[:end] in _GLUABLE), "")
            hit = next(_walk(self._root, (Token(piece, after_break=False),), 0, modality), None) if piece else None
            if hit is None:
                return []
            words.append(hit[1])
            text = text[len(piece) :]
        return words

    def _nearly(self, text: str, modality: str) -> Iterator[Match]:
        """Entries one letter off: one missing, one too many, one other, or two exchanged."""
        for variant in (text, *_deletions(text)):
            for word in self._misspelt.get(variant, ()):
                if word.holds_for(modality) and _one_off(text, word.words):
                    yield Match(word, text, MISSPELT)
                    return


def _walk(node: _Node, tokens: Sequence[Token], position: int, modality: str) -> Iterator[tuple[int, Word]]:
    """Every entry that starts at a token, with its length in tokens; exact tokens before stems, long stems first."""
    if position >= len(tokens):
        return
    text = tokens[position].text
    following = [node.exact[text]] if text in node.exact else []
    if node.stems:
        ends = range(len(text), _SHORTEST_STEM - 1, -1)
        following += [node.stems[text[:end]] for end in ends if text[:end] in node.stems]
    for child in following:
        word = next((word for word in child.words if word.holds_for(modality)), None)
        if word:
            yield 1, word
        for length, longer in _walk(child, tokens, position + 1, modality):
            yield length + 1, longer


def _deletions(text: str) -> list[str]:
    return [text[:place] + text[place + 1 :] for place in range(len(text))]


def _one_off(found: str, meant: str) -> bool:
    """Optimal string alignment distance of one, the first letter being right."""
    if found[0] != meant[0] or abs(len(found) - len(meant)) > 1:
        return False
    if len(found) > len(meant):
        return meant in _deletions(found)
    if len(found) < len(meant):
        return found in _deletions(meant)
    differing = [place for place, (one, other) in enumerate(zip(found, meant, strict=True)) if one != other]
    if len(differing) == 1:
        return True
    return (
        len(differing) == 2
        and differing[1] == differing[0] + 1
        and found[differing[0]] == meant[differing[1]]
        and found[differing[1]] == meant[differing[0]]
    )
