"""A whole-body series is offered a model for each region in it; of a model's releases one."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from iodeep.selection import Candidate, Decision, SeriesFacts, SiteRules, decide, each_that_fits
from iodeep.settings import SelectionRule
from tests.unit.selection.support import make_card, mr, series

REGIONS = ("LIVER", "LUNG", "CHEST", "HEAD", "PROSTATE", "KIDNEY", "KNEE", "BREAST")
MODELS = [Candidate(make_card(f"{region} CT", "CT", region)) for region in REGIONS]
INSIDE_TRUNK = {"LIVER CT", "LUNG CT", "CHEST CT", "PROSTATE CT", "KIDNEY CT"}


def names(decisions: Iterable[Decision]) -> list[str]:
    return [each.chosen.card.name for each in decisions if each.chosen]


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ("WHOLE BODY CT", INSIDE_TRUNK | {"HEAD CT"}),
        ("CT Thorax Abdomen Becken", INSIDE_TRUNK),
        ("TDM thoraco-abdomino-pelvienne", INSIDE_TRUNK),
    ],
)
def test_a_series_of_several_regions_gets_a_model_for_each_of_them(description: str, expected: set[str]) -> None:
    decision = decide(series(Modality="CT", StudyDescription=description, PatientSex="M"), MODELS)

    assert set(names(each_that_fits(decision))) == expected
    assert {each.card.name for each in decision.also_fits} == expected - {names([decision])[0]}


def test_no_two_releases_of_a_model_are_run_and_the_newest_is() -> None:
    releases = [
        Candidate(make_card("Liver CT", "CT", "LIVER", version=version)) for version in ("1.0.0", "1.10.0", "1.9.0")
    ]
    decisions = each_that_fits(decide(trunk(), [*releases, *MODELS[1:]]))

    assert names(decisions).count("Liver CT") == 1
    assert [
        str(each.chosen.card.version) for each in decisions if each.chosen and each.chosen.card.name == "Liver CT"
    ] == ["1.10.0"]


def test_a_model_of_the_same_name_under_another_token_is_not_run_beside_it() -> None:
    renamed = Candidate(make_card("LIVER CT", "CT", "LIVER", version="9.0.0", token="LIVERX"))

    assert names(each_that_fits(decide(trunk(), [*MODELS, renamed]))).count("LIVER CT") == 1


def test_an_older_release_is_run_where_the_site_prefers_it() -> None:
    releases = [Candidate(make_card("Liver CT", "CT", "LIVER", version=version)) for version in ("1.0.0", "2.0.0")]
    rule = SelectionRule(effect="prefer", model="LIVERCT-1.0.0")
    decisions = each_that_fits(decide(trunk(), releases, rules=SiteRules(rules=(rule,))))

    assert [str(each.chosen.card.version) for each in decisions if each.chosen] == ["1.0.0"]


def test_each_decision_says_its_place_and_gives_its_own_inputs() -> None:
    decisions = each_that_fits(decide(trunk(), MODELS))

    assert len(decisions) == len(INSIDE_TRUNK)
    assert all(each.inputs == {"image": "1.2.3"} for each in decisions)
    assert (
        decisions[1].notes[-1].startswith(f"All models that fit are to be run: this one ranks 2 of {len(decisions)}.")
    )
    first = decisions[0].chosen
    assert first
    assert first.name in decisions[1].notes[-1]


def test_a_single_model_is_the_decision_itself_and_a_refusal_gives_none() -> None:
    alone = decide(trunk(), MODELS[:1])

    assert each_that_fits(alone) == (alone,)
    assert each_that_fits(decide(mr("1.2.3", "t1"), MODELS)) == ()


def trunk() -> SeriesFacts:
    return series(Modality="CT", StudyDescription="CT CHEST ABDOMEN PELVIS", PatientSex="M")
