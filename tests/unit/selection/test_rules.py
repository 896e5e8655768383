"""A site narrows and orders the choice; it never makes a model fit that does not."""

from __future__ import annotations

import pytest

from iodeep.errors import SettingsError
from iodeep.selection import Candidate, SiteRules, decide, site_rules
from iodeep.settings import SelectionRule, settings_of_document
from tests.unit.selection.support import make_card, series

CT = series(
    "1.1", Modality="CT", StudyDescription="CT ABDOMEN", StationName="CT2", InstitutionalDepartmentName="Surgery"
)
MODELS = [
    Candidate(make_card(name, "CT", region))
    for name, region in (("Liver", "LIVER"), ("Kidney", "KIDNEY"), ("Knee", "KNEE"))
]


def chosen(*rules: SelectionRule) -> str | None:
    decision = decide(CT, MODELS, rules=SiteRules(rules=rules))
    return decision.chosen.card.name if decision.chosen else None


def test_without_rules_ties_are_broken_by_name() -> None:
    assert chosen() == "Kidney"


def test_a_denied_model_is_never_chosen_and_says_why() -> None:
    decision = decide(
        CT, MODELS, rules=SiteRules(rules=(SelectionRule(effect="deny", model="KID*", reason="under review"),))
    )

    assert decision.chosen is not None
    assert decision.chosen.card.name == "Liver"
    assert any("under review" in reason for judged in decision.candidates for reason in judged.reasons_against)


def test_where_models_are_allowed_only_they_are_chosen() -> None:
    assert chosen(SelectionRule(effect="allow", model="liver")) == "Liver"
    assert chosen(SelectionRule(effect="allow", model="knee")) is None


def test_a_preferred_model_comes_first_in_the_rules_order() -> None:
    assert chosen(SelectionRule(effect="prefer", model="Liver")) == "Liver"
    assert (
        chosen(SelectionRule(effect="prefer", model="Kidney"), SelectionRule(effect="prefer", model="Liver"))
        == "Kidney"
    )
    assert chosen(SelectionRule(effect="prefer", model="Knee")) == "Kidney"


@pytest.mark.parametrize(
    ("condition", "applies"),
    [
        ({"modality": "CT"}, True),
        ({"modality": "MR"}, False),
        ({"station": "CT?"}, True),
        ({"station": "CT9"}, False),
        ({"department": "surg*"}, True),
        ({"department": "surg*", "station": "CT9"}, False),
    ],
)
def test_a_rule_holds_only_for_the_series_it_names(condition: dict[str, str], applies: bool) -> None:
    assert chosen(SelectionRule(effect="deny", model="Kidney", **condition)) == ("Liver" if applies else "Kidney")


def test_rules_are_read_from_the_settings() -> None:
    document = {"selection": {"minimum_confidence": 0.9, "rules": [{"effect": "deny", "model": "Kidney"}]}}

    rules = site_rules(settings_of_document(document, "iodeep.toml").selection)

    assert rules.minimum_confidence == 0.9
    assert rules.rules[0].model == "Kidney"
    with pytest.raises(SettingsError, match="effect"):
        settings_of_document({"selection": {"rules": [{"effect": "maybe", "model": "x"}]}}, "iodeep.toml")


def test_a_site_may_accept_what_the_studys_other_series_say() -> None:
    silent = series("1.5", Modality="CT", SeriesDescription="3mm")
    liver = series("1.6", Modality="CT", StudyDescription="CT liver")
    knee = series("1.7", Modality="CT", StudyDescription="CT knee")

    assert decide(silent, MODELS, study=[liver]).chosen is None
    accepted = decide(silent, MODELS, study=[liver], rules=SiteRules(accept_borrowed=True))
    assert accepted.chosen is not None
    assert "other series of its study" in " ".join(accepted.notes)
    assert decide(silent, MODELS, study=[liver, knee], rules=SiteRules(accept_borrowed=True)).chosen is None
