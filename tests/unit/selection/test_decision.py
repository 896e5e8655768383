"""Hard requirements, then a documented ranking; doubt ends in a refusal, and every answer is explained."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from iodeep.card import SlicePlane
from iodeep.selection import Candidate, Decision, UnusableModel, decide
from tests.unit.selection.support import make_card, models, mr, series

CT_CAP = series("1.1", Modality="CT", StudyDescription="CT chest abdomen pelvis", SeriesDescription="venous 3mm")
MR_BRAIN = series("1.2", Modality="MR", StudyDescription="MRI BRAIN", BodyPartExamined="BRAIN", SeriesDescription="t1")


def chosen(decision: Decision) -> str | None:
    return decision.chosen.card.name if decision.chosen else None


def only(*cards: object, **more: object) -> list[Candidate]:
    return [Candidate(card, **more) for card in cards]  # type: ignore[arg-type]


def test_the_organ_that_is_named_comes_before_its_region_and_before_other_organs() -> None:
    abdomen = make_card("Abdomen", "CT", "ABDOMEN")
    liver = make_card("Liver", "CT", "LIVER")
    kidney = make_card("Kidney", "CT", "KIDNEY")
    facts = series(Modality="CT", StudyDescription="CT ABDOMEN LIVER 3 PHASE")

    decision = decide(facts, only(abdomen, kidney, liver))

    assert chosen(decision) == "Liver"
    assert [each.card.name for each in decision.also_fits] == ["Abdomen", "Kidney"]


def test_a_scan_of_several_regions_may_have_several_models() -> None:
    decision = decide(CT_CAP, models())

    assert chosen(decision) is not None
    assert {chosen(decision), *(each.card.name for each in decision.also_fits)} == {"Liver CT", "Lung CT"}


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (replace(MR_BRAIN, modality="CT"), "needs MR"),
        (replace(MR_BRAIN, slice_count=3), "at least 12 slices"),
        (replace(MR_BRAIN, pixel_spacing_mm=4.0), "at most 2 mm"),
        (replace(MR_BRAIN, coverage_mm=20.0), "at least 90 mm"),
        (replace(MR_BRAIN, geometry_problem="slice 7 is missing"), "slice 7 is missing"),
        (
            replace(MR_BRAIN, image_types=frozenset({("DERIVED", "SECONDARY")}), image_type=("DERIVED", "SECONDARY")),
            "DERIVED",
        ),
        (series(Modality="MR", StudyDescription="MR KNEE"), "KNEE"),
        (series(Modality="MR", SeriesDescription="t1 tse"), "doesn't say what part"),
    ],
)
def test_each_requirement_that_fails_is_a_refusal_that_names_it(facts: object, words: str) -> None:
    decision = decide(facts, models()[:1])  # type: ignore[arg-type]

    assert decision.chosen is None
    assert words in decision.refusal


def test_a_localizer_hidden_among_images_makes_the_series_a_localizer() -> None:
    facts = replace(MR_BRAIN, image_types=frozenset({("ORIGINAL", "PRIMARY"), ("ORIGINAL", "PRIMARY", "LOCALIZER")}))

    assert "localizer" in decide(facts, models()).refusal


def test_planes_and_image_types_of_the_card_are_asked_for() -> None:
    card = make_card("Axial only", "MR", "HEAD", eligibility={"planes": ["AXIAL"], "image_type_required": ["M"]})

    sagittal = decide(replace(MR_BRAIN, plane=SlicePlane.SAGITTAL, image_type=("ORIGINAL", "PRIMARY", "M")), only(card))
    no_magnitude = decide(replace(MR_BRAIN, plane=SlicePlane.AXIAL), only(card))

    assert "axial" in sagittal.refusal
    assert "Image Type M" in no_magnitude.refusal


def test_a_model_for_one_side_needs_the_side() -> None:
    left = only(make_card("Left knee", "MR", "KNEE", laterality="L"))

    assert chosen(decide(series(Modality="MR", StudyDescription="MR knee left"), left)) == "Left knee"
    assert "right" in decide(series(Modality="MR", StudyDescription="MR Knie rechts"), left).refusal
    assert decide(series(Modality="MR", StudyDescription="MR knee"), left).chosen is None


def test_the_patients_sex_excludes_organs() -> None:
    prostate = only(make_card("Prostate", "MR", "PROSTATE"))
    facts = series(Modality="MR", StudyDescription="MR pelvis", PatientSex="F")

    assert "Sex" in decide(facts, prostate).refusal
    assert chosen(decide(replace(facts, patient_sex="M"), prostate)) == "Prostate"
    assert decide(replace(facts, patient_sex=""), prostate).chosen is None
    named = series(Modality="MR", StudyDescription="MR prostate")
    assert chosen(decide(named, prostate)) == "Prostate"


def test_an_mr_of_one_organ_is_not_given_to_a_model_for_its_neighbour() -> None:
    facts = series(Modality="MR", StudyDescription="MR uterus")

    assert decide(facts, only(make_card("Bladder", "MR", "BLADDER"))).chosen is None


def test_a_contradiction_is_a_refusal_that_shows_both_sides() -> None:
    facts = series(Modality="MR", BodyPartExamined="KNEE", StudyDescription="MR BRAIN")

    decision = decide(facts, models())

    assert decision.chosen is None
    assert "KNEE" in decision.refusal
    assert "BRAIN" in decision.refusal


def test_evidence_from_the_studys_other_series_is_not_enough_to_run_on() -> None:
    silent = series("1.9", Modality="MR", SeriesDescription="t1 tse")

    decision = decide(silent, models(), study=[MR_BRAIN])

    assert decision.anatomy.borrowed
    assert decision.anatomy.regions == ("HEAD",)
    assert decision.chosen is None


def test_the_disease_asked_for_is_a_requirement_and_one_not_asked_for_comes_last() -> None:
    cards = only(make_card("Glioma", "MR", "BRAIN", conditions=["Glioma"]), make_card("Brain", "MR", "HEAD"))

    assert chosen(decide(MR_BRAIN, cards)) == "Brain"
    assert chosen(decide(MR_BRAIN, cards, condition="glioma")) == "Glioma"
    assert decide(MR_BRAIN, cards, condition="stroke").chosen is None


def test_a_model_that_is_asked_for_still_has_to_fit() -> None:
    refused = decide(series(Modality="MR", StudyDescription="MR KNEE"), models(), wanted_model="BRAINMASK")

    assert refused.chosen is None
    assert "must not be used here" in refused.refusal
    assert "KNEE" in refused.refusal
    assert "not found" in decide(MR_BRAIN, models(), wanted_model="NOSUCH").refusal
    stored = [replace(each, study_instance_uid=f"2.25.{number}") for number, each in enumerate(models(), start=1)]
    assert chosen(decide(MR_BRAIN, stored, wanted_model="2.25.1")) == "Brain extraction"
    assert chosen(decide(MR_BRAIN, models(), wanted_model="brainmask")) == "Brain extraction"


def test_the_newest_release_of_a_model_comes_first_and_a_retired_one_never() -> None:
    old, new = make_card("Brain", "MR", "HEAD", version="1.0.0"), make_card("Brain", "MR", "HEAD", version="2.0.0")

    both = decide(MR_BRAIN, only(old, new))
    retired = decide(MR_BRAIN, [Candidate(old), Candidate(new, retired="recalled by its maker")])

    assert both.chosen is not None
    assert str(both.chosen.card.version) == "2.0.0"
    assert retired.chosen is not None
    assert str(retired.chosen.card.version) == "1.0.0"
    assert any("recalled" in reason for judged in retired.candidates for reason in judged.reasons_against)


def test_a_model_that_the_site_does_not_trust_is_refused_with_the_reason() -> None:
    decision = decide(MR_BRAIN, [Candidate(make_card("Brain", "MR", "HEAD"), distrusted="no signature")])

    assert "no signature" in decision.refusal


def test_an_unusable_model_is_shown_and_never_chosen() -> None:
    damaged = UnusableModel("Damaged", "1.2.9", "archive", "its manifest was altered")

    decision = decide(MR_BRAIN, [damaged, *models()])

    assert chosen(decision) == "Brain extraction"
    assert any("altered" in reason for judged in decision.candidates for reason in judged.reasons_against)
    assert decide(MR_BRAIN, [damaged]).refusal.startswith("No usable model")


def test_the_same_inputs_give_the_same_decision_in_any_order() -> None:
    forwards, backwards = decide(CT_CAP, models()), decide(CT_CAP, models()[::-1])

    assert json.dumps(forwards.as_document()) == json.dumps(backwards.as_document())


TUMOUR = make_card(
    "Tumour",
    "MR",
    "BRAIN",
    inputs=[{"name": name.lower(), "modality": "MR", "sequences": [name]} for name in ("T1", "T1C", "T2", "FLAIR")],
)
BRAIN_STUDY = [
    mr("2.1", "ax t1 pre"),
    mr("2.2", "ax t1 post gd"),
    mr("2.3", "ax t2 tse"),
    mr("2.4", "ax t2 flair"),
    mr("2.5", "localizer"),
]


def test_a_model_with_several_inputs_gets_each_from_the_study() -> None:
    decision = decide(BRAIN_STUDY, only(TUMOUR))

    assert decision.inputs == {"t1": "2.1", "t1c": "2.2", "t2": "2.3", "flair": "2.4"}


def test_a_missing_sequence_is_named() -> None:
    decision = decide(BRAIN_STUDY[:3], only(TUMOUR))

    assert decision.chosen is None
    assert "Input flair needs MR FLAIR" in decision.refusal


def test_no_series_serves_two_inputs() -> None:
    card = make_card(
        "Two T1",
        "MR",
        "BRAIN",
        inputs=[
            {"name": "first", "modality": "MR", "sequences": ["T1"]},
            {"name": "second", "modality": "MR", "sequences": ["T1", "T2"]},
        ],
    )

    assert decide([BRAIN_STUDY[0]], only(card)).chosen is None
    assert decide([BRAIN_STUDY[0], BRAIN_STUDY[2]], only(card)).inputs == {"first": "2.1", "second": "2.3"}


def test_an_input_gives_way_to_another_that_has_no_choice() -> None:
    card = make_card(
        "Greedy",
        "MR",
        "BRAIN",
        inputs=[{"name": "any", "modality": "MR"}, {"name": "t1", "modality": "MR", "sequences": ["T1"]}],
    )

    assert decide([BRAIN_STUDY[0], BRAIN_STUDY[2]], only(card)).inputs["t1"] == "2.1"


def test_one_series_of_a_study_brings_the_others_along() -> None:
    decision = decide(BRAIN_STUDY[0], only(TUMOUR), study=BRAIN_STUDY)

    assert decision.inputs["flair"] == "2.4"


def test_every_candidate_has_every_criterion_in_a_sentence() -> None:
    for judged in decide(MR_BRAIN, models()).candidates:
        assert {"modality", "region", "kind of series"} <= {outcome.criterion for outcome in judged.outcomes}
        assert all(outcome.sentence.endswith(".") for outcome in judged.outcomes)


def test_of_models_with_the_same_name_the_higher_version_comes_first_as_a_number() -> None:
    versions = ("0.9.0", "1.10.0", "1.9.0", "0.10.0")
    cards = [make_card("Brain", "MR", "HEAD", version=version, token=f"T{version[0]}") for version in versions]

    tokens_apart = decide(MR_BRAIN, only(*cards[:2]))
    newest_first = decide(
        MR_BRAIN, [Candidate(make_card("Brain", "MR", "HEAD", version=v, token=v.replace(".", ""))) for v in versions]
    )

    assert str(tokens_apart.chosen.card.version) == "1.10.0"  # type: ignore[union-attr]
    assert [judged.candidate.name for judged in newest_first.candidates] == [
        f"Brain {version}" for version in ("1.10.0", "1.9.0", "0.10.0", "0.9.0")
    ]
