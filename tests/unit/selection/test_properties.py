"""What holds of every decision, whatever the series and the models."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from iodeep.anatomy import AnatomicEvidence
from iodeep.anatomy.regions import covers, places, zones_of
from iodeep.selection import Candidate, Decision, SiteRules, decide
from iodeep.selection.decision import standard_resolver
from iodeep.selection.facts import SeriesFacts
from tests.unit.selection.support import make_card, series

REGIONS = (
    "HEAD",
    "BRAIN",
    "CHEST",
    "LUNG",
    "ABDOMEN",
    "LIVER",
    "KIDNEY",
    "PELVIS",
    "PROSTATE",
    "KNEE",
    "SHOULDER",
    "BREAST",
)
MODALITIES = ("MR", "CT", "CR")
WORDS = {
    "HEAD": ("HEAD", "Schädel", "crâne", "cabeza"),
    "CHEST": ("CHEST", "Thorax", "torace"),
    "ABDOMEN": ("ABDOMEN", "Oberbauch", "addome"),
    "PELVIS": ("PELVIS", "Becken", "pelve"),
    "KNEE": ("KNEE", "Knie", "genou", "ginocchio"),
    "SHOULDER": ("SHOULDER", "Schulter", "hombro"),
}
CARDS = {
    (modality, region): make_card(f"{region} {modality}", modality, region)
    for modality in MODALITIES
    for region in REGIONS
}
candidates = st.lists(st.sampled_from(sorted(CARDS)), unique=True, max_size=8).map(
    lambda keys: [Candidate(CARDS[key]) for key in keys]
)
texts = st.sampled_from(
    ["", *(word for words in WORDS.values() for word in words), "MR LIVER", "CT CAP", "t1 tse", "3mm"]
)
facts = st.builds(
    lambda modality, part, study, description: series(
        Modality=modality, BodyPartExamined=part, StudyDescription=study, SeriesDescription=description
    ),
    st.sampled_from(MODALITIES),
    st.sampled_from(["", *REGIONS]),
    texts,
    texts,
)


def chosen(decision: Decision) -> Candidate | None:
    return decision.chosen


@given(facts, candidates, st.sampled_from(MODALITIES))
def test_an_irrelevant_model_never_changes_a_decision(
    asked: SeriesFacts, models: list[Candidate], modality: str
) -> None:
    irrelevant = Candidate(make_card("Irrelevant", "US", "PHANTOM", version="9.9.9"))

    before, after = decide(asked, models), decide(asked, [irrelevant, *models])

    assert chosen(before) == chosen(after)
    assert before.also_fits == after.also_fits
    assert before.anatomy == after.anatomy


@given(facts, candidates, st.sampled_from(sorted(CARDS)))
def test_a_further_model_never_turns_a_choice_into_a_refusal_or_a_wider_one(
    asked: SeriesFacts, models: list[Candidate], further: tuple[str, str]
) -> None:
    before, after = decide(asked, models), decide(asked, [*models, Candidate(CARDS[further])])

    if before.chosen is not None:
        assert after.chosen is not None
        anatomy = [
            next(point.value for point in judged.points if point.criterion == "anatomy")
            for decision in (before, after)
            for judged in decision.candidates
            if judged.candidate is decision.chosen
        ]
        assert anatomy[1] >= anatomy[0]


FAR_APART = st.sampled_from(
    [(one, other) for one in WORDS for other in WORDS if one != other and {one, other} & {"KNEE", "SHOULDER", "HEAD"}]
).flatmap(lambda pair: st.tuples(st.sampled_from(WORDS[pair[0]]), st.sampled_from(WORDS[pair[1]]), st.just(pair)))


@given(FAR_APART, st.sampled_from(MODALITIES))
def test_body_part_and_study_that_contradict_each_other_end_in_a_refusal(
    contradiction: tuple[str, str, tuple[str, str]], modality: str
) -> None:
    study, _, (_, part) = contradiction
    asked = series(Modality=modality, BodyPartExamined=part, StudyDescription=study)

    decision = decide(asked, [Candidate(card) for card in CARDS.values()])

    assert decision.chosen is None
    assert decision.anatomy.confidence < SiteRules().minimum_confidence
    assert decision.anatomy.contradictions


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=20), st.sampled_from(["", "MR", "CT", "XX"]))
def test_any_text_is_read_without_an_error_and_answered_with_known_regions(
    study: str, description: str, part: str, modality: str
) -> None:
    answer = standard_resolver().resolve(
        AnatomicEvidence(
            modality=modality, study_description=study, series_description=description, body_part_examined=part
        )
    )

    assert set(answer.regions) <= set(places())
    assert all(0 < entry.confidence <= 1 for entry in answer.ranked)


@given(st.sampled_from(sorted(places())))
def test_a_region_covers_itself_and_what_lies_in_it_and_nothing_of_other_zones(region: str) -> None:
    place = places()[region]

    assert covers(region, region)
    assert place.relation not in {"whole", "shown"} or covers(place.part_of, region)
    for other in places():
        if zones_of(region) and zones_of(other) and not zones_of(other) <= zones_of(region) | around(region):
            assert not covers(region, other)


def around(region: str) -> frozenset[str]:
    return frozenset().union(*(zones_of(part) for part in places()[region].parts))
