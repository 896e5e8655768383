"""The vocabulary is data: every entry works, a hospital's own come first, and mistakes in a file are named."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from iodeep.anatomy import AnatomicEvidence, AnatomyResolver
from iodeep.anatomy.lexicon import Lexicon
from iodeep.anatomy.regions import places, zones_of
from iodeep.anatomy.vocabulary import Kind, Word, built_in_vocabulary, site_vocabulary
from iodeep.errors import SettingsError
from iodeep.terms import anatomic_regions

VOCABULARY = built_in_vocabulary()
LEXICON = Lexicon(VOCABULARY)


def modality_of(word: Word) -> str:
    return min(word.modalities) if word.modalities else "CT"


def test_every_entry_is_found_by_its_own_words() -> None:
    lost = []
    for word in VOCABULARY.words:
        found = LEXICON.find(word.words.replace("*", ""), modality_of(word))
        if word.kind is Kind.NOT:
            continue
        same = [match for match in found if match.word.region == word.region or match.word.kind is word.kind]
        zones = [zones_of(match.word.region) for match in found if match.word.region]
        if not same and (not word.region or zones_of(word.region) not in zones):
            lost.append((word.words, word.region, [match.word.region for match in found]))
    assert lost == []


def test_no_spelling_has_two_regions_in_one_modality() -> None:
    said: dict[tuple[str, str], set[str]] = {}
    for word in VOCABULARY.words:
        if word.kind is Kind.SPELLING:
            continue
        for modality in word.modalities or {"CT", "MR", "CR", "US"}:
            said.setdefault((word.words, modality), set()).add(word.region)
    doubtful = {
        key: regions for key, regions in said.items() if len({zones_of(r) if r else frozenset() for r in regions}) > 1
    }
    assert doubtful == {}


SAME_IN_SEVEN_LANGUAGES = {
    "HEAD": "head | Kopf | tête | cabeza | testa | hoofd | cabeça",
    "BRAIN": "brain | Gehirn | cerveau | cerebro | encefalo | hersenen | cérebro",
    "NECK": "neck | Hals | cou | cuello | collo | nek | pescoço",
    "CHEST": "chest | Thorax | poitrine | tórax | torace | borstkas | tórax",
    "LUNG": "lung | Lunge | poumon | pulmón | polmone | longen | pulmão",
    "HEART": "heart | Herz | coeur | corazón | cuore | hart | coração",
    "ABDOMEN": "abdomen | Bauch | ventre | vientre | addome | buik | abdome",
    "LIVER": "liver | Leber | foie | hígado | fegato | lever | fígado",
    "KIDNEY": "kidney | Niere | rein droit | riñón | reni | nier | rim direito",
    "SPLEEN": "spleen | Milz | la rate | bazo | milza | milt | baço",
    "BLADDER": "bladder | Harnblase | vessie | vejiga | vescica | blaas | bexiga",
    "PELVIS": "pelvis | Becken | bassin | pelvis | bacino | bekken | bacia",
    "PROSTATE": "prostate | Prostata | prostate | próstata | prostata | prostaat | próstata",
    "UTERUS": "uterus | Gebärmutter | utérus | útero | utero | baarmoeder | útero",
    "SPINE": "spine | Wirbelsäule | colonne vertébrale | columna vertebral | colonna vertebrale | wervelkolom | coluna vertebral",
    "LSPINE": "lumbar spine | LWS | rachis lombaire | columna lumbar | rachide lombare | LWK | coluna lombar",
    "SHOULDER": "shoulder | Schulter | épaule | hombro | spalla | schouder | ombro",
    "ELBOW": "elbow | Ellenbogen | coude | codo | gomito | elleboog | cotovelo",
    "WRIST": "wrist | Handgelenk | poignet | muñeca | polso | pols | punho",
    "HIP": "hip | Hüfte | hanche | cadera | anca | heup | quadril",
    "THIGH": "thigh | Oberschenkel | cuisse | muslo | coscia | bovenbeen | coxa",
    "KNEE": "knee | Knie | genou | rodilla | ginocchio | knie | joelho",
    "ANKLE": "ankle | Sprunggelenk | cheville | tobillo | caviglia | enkel | tornozelo",
    "FOOT": "foot | Fuß | pied | pie derecho | piede | voet | pé direito",
}


@pytest.mark.parametrize("region", SAME_IN_SEVEN_LANGUAGES)
def test_each_of_the_seven_languages_has_a_word_for_it(region: str) -> None:
    words = [word.strip() for word in SAME_IN_SEVEN_LANGUAGES[region].split("|")]

    assert len(words) == 7
    for word in words:
        assert [match.word.region for match in LEXICON.find(word, "MR")] == [region], word


def test_every_entry_names_its_source() -> None:
    assert [word.words for word in VOCABULARY.words if not word.source] == []


def test_every_defined_term_has_a_place() -> None:
    assert set(places()) == set(anatomic_regions())
    assert {place.relation for place in places().values()} == {"zone", "whole", "shown", "combined", "none"}
    assert [
        place.region
        for place in places().values()
        if place.relation in {"whole", "shown"} and not zones_of(place.region)
    ] == []


def test_every_defined_term_is_understood_as_body_part_examined() -> None:
    resolver = AnatomyResolver()
    for term, place in places().items():
        answer = resolver.resolve(AnatomicEvidence(modality="CT", body_part_examined=term))
        if place.relation != "none":
            assert zones_of(answer.regions[0]) & zones_of(term), term


@pytest.mark.parametrize("typed", ["HEAD_NECK", "Head-Neck", "head neck", "HEADNECK", "HEAD/NECK"])
def test_what_people_type_into_body_part_examined_is_understood(typed: str) -> None:
    answer = AnatomyResolver().resolve(AnatomicEvidence(modality="CT", body_part_examined=typed))

    assert answer.regions == ("HEADNECK",)


def write(path: Path, *rows: dict[str, str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["region", "language", "words", "kind", "modalities", "source"])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_hospitals_own_words_come_before_the_built_in_ones(tmp_path: Path) -> None:
    path = write(
        tmp_path / "words.csv",
        {"region": "PELVIS", "words": "bb mr | Beckenboden dyn*"},
        {"region": "", "words": "knie", "kind": "skip"},
    )
    resolver = AnatomyResolver(site_vocabulary(path))

    def shows(text: str) -> tuple[str, ...]:
        return resolver.resolve(AnatomicEvidence(modality="MR", study_description=text)).regions

    assert shows("BB-MR") == ("PELVIS",)
    assert shows("KNIE") == ()
    assert shows("Schulter") == ("SHOULDER",)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"region": "TUMMY", "words": "x"}, "line 2.*TUMMY"),
        ({"region": "", "words": "x"}, "line 2"),
        ({"region": "HEAD", "words": "x", "kind": "nmae"}, "nmae"),
    ],
)
def test_a_mistake_in_a_hospitals_file_names_line_and_value(tmp_path: Path, row: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        site_vocabulary(write(tmp_path / "words.csv", row))


def test_a_file_without_the_columns_or_in_another_encoding_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("one,two\n", encoding="utf-8")
    (tmp_path / "b.csv").write_bytes("region,words\nHEAD,Schädel\n".encode("latin-1"))
    for name in ("a.csv", "b.csv", "missing.csv"):
        with pytest.raises(SettingsError):
            site_vocabulary(tmp_path / name)
