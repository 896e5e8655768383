"""Evidence from several attributes is weighed; contradictions are told; silence stays silent."""

from __future__ import annotations

import pytest

from iodeep.anatomy import AnatomicEvidence, AnatomyResolver, Attribute, Side
from iodeep.anatomy.ranking import FIRM
from iodeep.terms import Code

RESOLVER = AnatomyResolver()
LIVER = Code("10200004", "SCT", "Liver")


def resolve(modality: str = "CT", **evidence: object):  # type: ignore[no-untyped-def]
    return RESOLVER.resolve(AnatomicEvidence(modality=modality, **evidence))  # type: ignore[arg-type]


def test_a_code_of_the_standard_speaks_for_itself() -> None:
    answer = resolve(anatomic_regions=(LIVER,))

    assert answer.regions == ("ABDOMEN",)
    assert answer.organ == "LIVER"
    assert answer.ranked[0].findings[0].attribute is Attribute.ANATOMIC_REGION


def test_a_local_code_speaks_by_its_meaning() -> None:
    assert resolve(procedure_codes=(Code("RAD123", "99LOCAL", "MRT Kniegelenk rechts"),)).regions == ("KNEE",)


def test_agreeing_attributes_make_the_answer_surer() -> None:
    alone = resolve(study_description="CT ABDOMEN").confidence
    both = resolve(study_description="CT ABDOMEN", body_part_examined="ABDOMEN").confidence
    three = resolve(
        study_description="CT ABDOMEN", body_part_examined="ABDOMEN", series_description="abd ven"
    ).confidence

    assert alone < both < three


def test_a_weak_word_or_a_misspelling_makes_it_less_sure() -> None:
    assert resolve(study_description="CT ABODMEN").confidence < resolve(study_description="CT ABDOMEN").confidence


def test_a_contradiction_is_told_and_lowers_confidence() -> None:
    answer = resolve(study_description="MR BRAIN", body_part_examined="KNEE")

    assert answer.confidence < FIRM
    assert set(answer.regions) == {"HEAD", "KNEE"}
    assert "BRAIN" in answer.contradictions[0]
    assert "KNEE" in answer.contradictions[0]


def test_neighbours_that_contradict_each_other_are_within_what_holds_both() -> None:
    answer = resolve(study_description="CT CHEST", body_part_examined="ABDOMEN")

    assert answer.regions[0] == "CHESTABDOMEN"
    assert answer.confidence < FIRM


def test_a_coarse_body_part_is_no_contradiction() -> None:
    assert resolve(study_description="CT THORAX", body_part_examined="CHESTABDPELVIS").contradictions == ()


def test_the_series_says_which_of_its_studys_regions_it_shows() -> None:
    answer = resolve(study_description="CT NECK CHEST ABDOMEN PELVIS", series_description="NECK 2mm")

    assert answer.shown == "NECK"
    assert answer.examination == "NECKCHESTABDPELV"
    assert answer.regions[:2] == ("NECKCHESTABDPELV", "NECK")
    assert answer.confidence > 0.9


def test_a_series_of_a_region_next_to_its_studys_is_part_of_an_examination_of_both() -> None:
    answer = resolve(study_description="MRI ABDOMEN", series_description="Ax T2 PELVIS")

    assert (answer.shown, answer.examination) == ("PELVIS", "ABDOMENPELVIS")
    assert answer.contradictions


@pytest.mark.parametrize(
    ("study", "series"),
    [
        ("MRI BRAIN", "SAG KNEE"),
        ("CT ABDOMEN", "LUNG 2.0"),
        ("CT CHEST ABDOMEN", "5.0 B30f"),
        ("CT ABDOMEN", "ABD 5.0"),
    ],
)
def test_no_examination_is_told_where_the_series_picks_no_part_of_one(study: str, series: str) -> None:
    assert resolve(study_description=study, series_description=series).examination is None


def test_an_examination_leaves_out_what_is_said_to_be_left_out() -> None:
    answer = resolve(study_description="CT Thorax Abdomen ohne Becken", series_description="Thorax 2.0")

    assert (answer.shown, answer.examination) == ("CHEST", "CHESTABDOMEN")


def test_the_series_picks_from_what_all_others_name() -> None:
    texts = {"study_description": "CT ABDOMEN PELVIS", "body_part_examined": "ABDOMENPELVIS"}

    answer = resolve(series_description="COR ABD", **texts)

    assert answer.shown == "ABDOMEN"
    assert answer.confidence > 0.9


def test_a_series_that_says_nothing_borrows_and_says_so() -> None:
    silent = AnatomicEvidence(modality="MR", series_description="t1 tse")
    brain = AnatomicEvidence(modality="MR", study_description="MRI BRAIN")

    answer = RESOLVER.resolve(silent, [brain])

    assert answer.borrowed
    assert answer.regions == ("HEAD",)
    assert answer.confidence <= FIRM
    assert answer.ranked[0].findings[0].attribute is Attribute.OTHER_SERIES
    assert not RESOLVER.resolve(silent).known


def test_a_series_that_says_something_does_not_borrow() -> None:
    knee = AnatomicEvidence(modality="MR", series_description="knee sag")

    assert RESOLVER.resolve(knee, [AnatomicEvidence(study_description="MRI BRAIN")]).regions == ("KNEE",)


@pytest.mark.parametrize(
    ("evidence", "side"),
    [
        ({"laterality": "L"}, Side.LEFT),
        ({"series_description": "KNEE RT"}, Side.RIGHT),
        ({"study_description": "Knie links"}, Side.LEFT),
        ({"study_description": "genou droit"}, Side.RIGHT),
        ({"study_description": "rodilla izq"}, Side.LEFT),
        ({"study_description": "ginocchio dx"}, Side.RIGHT),
        ({"study_description": "mammae bilateral"}, Side.BOTH),
        ({"study_description": "left and right knee"}, Side.BOTH),
        ({"study_description": "knee"}, None),
        ({"study_description": "knee right", "series_description": "left sag"}, Side.LEFT),
    ],
)
def test_the_side_is_read_in_several_languages(evidence: dict[str, str], side: Side | None) -> None:
    texts = {"study_description": "knee", **evidence}

    assert resolve("MR", **texts).side is side


def test_the_answer_is_json_with_its_evidence() -> None:
    document = resolve(study_description="CT LIVER").as_document()

    assert document["regions"] == ["ABDOMEN"]
    assert document["evidence"][0] == {
        "attribute": "Study Description", "words": "LIVER", "region": "LIVER", "weight": 0.65
    }  # fmt: skip
