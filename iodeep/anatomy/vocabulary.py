"""The words for regions, as data: ``words.csv`` and a hospital's own file of the same form.

A row gives a region (PS3.16 Annex L), a language, words separated by ``|``, a kind, the modalities that it holds for
(all where empty) and its source. ``stem*`` matches the beginning of a word, ``*stem*`` any place in it. Kinds:

``name``    says the region
``weak``    says it only faintly
``window``  says it, but in a series description may be a window or kernel (LUNG in a scan of the abdomen)
``preset``  the same, but not beside a word for a phase (LIVER is a window, LIVER DELAYED is the liver)
``hint``    supports a region that something else says, never says it alone
``skip``    says nothing, though a part of it would (HEAD FIRST, CHEST COIL)
``spelling`` one of the words above that is also recognised one letter off (PROSTRATE, ABODMEN)
``phase``   says no region; beside a preset word it says that this is no window (LIVER DELAYED)
``not``     takes away the region that follows (WITHOUT PELVIS)
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from pathlib import Path

from iodeep.anatomy.regions import places
from iodeep.anatomy.text import spellings, tokens_of
from iodeep.errors import SettingsError
from iodeep.terms import anatomic_regions

COLUMNS = ("region", "language", "words", "kind", "modalities", "source")


class Kind(StrEnum):
    """What a word is good for; see the module's text."""

    NAME = "name"
    WEAK = "weak"
    WINDOW = "window"
    PRESET = "preset"
    HINT = "hint"
    SKIP = "skip"
    SPELLING = "spelling"
    PHASE = "phase"
    NOT = "not"

    @property
    def needs_region(self) -> bool:
        """Whether an entry of this kind says something about a region."""
        return self not in {Kind.SKIP, Kind.PHASE, Kind.NOT}


@dataclass(frozen=True)
class Word:
    """One entry: words, what they say, and where that is known from."""

    words: str
    region: str
    kind: Kind
    modalities: frozenset[str]
    language: str
    source: str

    def holds_for(self, modality: str) -> bool:
        """Whether the entry counts in this modality."""
        return not self.modalities or modality in self.modalities


@dataclass(frozen=True)
class Vocabulary:
    """Every entry in use; earlier entries win over later ones of the same spelling and modality."""

    words: tuple[Word, ...]


def built_in_vocabulary() -> Vocabulary:
    """The words that the package carries, and the defined terms of PS3.16 Annex L themselves."""
    with files("iodeep.anatomy").joinpath("words.csv").open(encoding="utf-8") as table:
        words = tuple(_words(csv.DictReader(table), "words.csv"))
    return Vocabulary((*words, *_annex_l_meanings({word.words for word in words})))


def site_vocabulary(path: Path) -> Vocabulary:
    """The built-in words with a hospital's own before them; an error names line, column and value."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as table:
            reader = csv.DictReader(table)
            missing = {"region", "words"} - set(reader.fieldnames or ())
            if missing:
                raise SettingsError(
                    f"the vocabulary {path} lacks the column {', '.join(sorted(missing))}",
                    expected=f"a first line {','.join(COLUMNS)} (region and words are needed)",
                )
            own = tuple(_words(reader, str(path)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"the vocabulary {path} cannot be read: {error}", remedy="Save it as UTF-8 CSV.") from error
    return Vocabulary((*own, *built_in_vocabulary().words))


def _words(rows: Iterable[Mapping[str, str | None]], origin: str) -> Iterator[Word]:
    for number, row in enumerate(rows, start=2):
        region = (row.get("region") or "").strip().upper()
        kind = _kind((row.get("kind") or "name").strip(), f"{origin}, line {number}")
        if region not in places() and (region or kind.needs_region):
            raise SettingsError(
                f"{origin}, line {number}: region {region!r} is not known",
                expected="a Body Part Examined defined term of PS3.16 Annex L",
            )
        for words in (row.get("words") or "").split("|"):
            for spelling in spellings(words.strip()):
                if spelling:
                    modalities = frozenset((row.get("modalities") or "").upper().split())
                    language, source = row.get("language") or "", row.get("source") or ""
                    yield Word(spelling, region, kind, modalities, language, source)


def _kind(text: str, place: str) -> Kind:
    try:
        return Kind(text)
    except ValueError as error:
        raise SettingsError(f"{place}: kind {text!r} is not known", expected=f"one of {', '.join(Kind)}") from error


def _annex_l_meanings(known: set[str]) -> Iterator[Word]:
    """Code meanings of several words (``Circle of Willis``); single words are left to the reviewed table."""
    for region in anatomic_regions().values():
        spelling = spellings(region.code.meaning)[0]
        if len(tokens_of(spelling)) > 1 and spelling not in known and places()[region.defined_term].relation != "none":
            yield Word(spelling, region.defined_term, Kind.NAME, frozenset(), "en", "Annex L")
