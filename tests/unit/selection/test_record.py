"""A decision's record says why of every candidate, and stays small however many there were."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from random import Random

from iodeep.selection import Candidate, SiteRules, UnusableModel, decide, decision_record, each_that_fits
from iodeep.selection.record import LONGEST, MOST_FITTING, MOST_LISTED
from iodeep.settings import SelectionRule
from tests.unit.selection.support import make_card, models, mr, series

BRAIN = mr("1.2.3", "t1 axial")


def test_few_candidates_are_all_listed_with_every_requirement() -> None:
    decision = decide(BRAIN, models())
    record = decision_record(decision, SiteRules())

    assert {each["model"] for each in record["candidates"]} == {each.name for each in models()}
    assert all(each["requirements"] for each in record["candidates"])
    assert (record["looked_at"], record["not_listed"]) == (len(models()), {})
    assert record["chosen"] == "Brain extraction 1.0.2"
    assert record["candidates"][0]["model"] == record["chosen"]


def test_of_many_the_chosen_the_fitting_and_the_nearest_misses_are_listed_and_the_rest_counted() -> None:
    many = [Candidate(make_card(f"Head {number:04}", "MR", "HEAD")) for number in range(60)]
    others = [Candidate(make_card(f"Liver {number:04}", "CT", "LIVER")) for number in range(140)]
    decision = decide(BRAIN, [*many, *others])
    record = decision_record(decision, SiteRules())

    fitting = [each for each in record["candidates"] if each["fits"]]
    assert len(fitting) == MOST_FITTING
    assert len(record["candidates"]) == MOST_LISTED
    assert record["candidates"][0]["model"] == record["chosen"]
    assert record["looked_at"] == 200
    assert record["looked_at"] == len(record["candidates"]) + sum(record["not_listed"].values())
    assert record["not_listed"] == {"fits, ranked lower": 40, "modality": 110}
    assert len(json.dumps(record)) < 150_000


def test_one_that_ranks_far_down_is_listed_where_it_was_chosen() -> None:
    many = [Candidate(make_card(f"Head {number:04}", "MR", "HEAD")) for number in range(MOST_FITTING + 5)]
    last = each_that_fits(decide(BRAIN, many))[-1]
    record = decision_record(last, SiteRules())

    fitting = [each["model"] for each in record["candidates"] if each["fits"]]
    assert len(fitting) == MOST_FITTING
    assert record["chosen"] == fitting[-1] == f"Head {MOST_FITTING + 4:04} 1.0.2"


def test_the_order_of_candidates_does_not_change_the_record() -> None:
    shuffled = models()
    Random(7).shuffle(shuffled)

    assert decision_record(decide(BRAIN, shuffled), SiteRules()) == decision_record(
        decide(BRAIN, models()), SiteRules()
    )


def test_the_rules_in_force_are_in_it_in_sentences() -> None:
    rule = SelectionRule(effect="deny", model="LIVER*", modality="CT", station="CT1", reason="under review")
    record = decision_record(decide(BRAIN, models()), SiteRules(0.7, accept_borrowed=False, rules=(rule,)))

    assert record["rules"] == [
        "What a series shows has to be at least 70% sure.",
        "What only the study's other series show is not enough.",
        "deny LIVER* for modality CT, station CT1: under review",
    ]


def test_texts_are_one_line_each_and_bounded() -> None:
    named = series(
        "1.2.3", Modality="MR", StudyDescription="MR BRAIN", SeriesDescription="t1\r\n\x1b[31m" + "x" * 5_000
    )
    broken = UnusableModel("Broken", "1.2", "main", "line\none\x00two")
    record = decision_record(decide(named, [*models(), broken]), SiteRules())

    text = json.dumps(record, ensure_ascii=False)
    assert text.isprintable()
    assert not re.search(r"(?<!\\)\\[nru]", text)
    assert all(len(label) <= LONGEST for label in record["series"])
    assert "line one two" in text


def test_a_refusal_has_a_record_too() -> None:
    record = decision_record(decide(replace(BRAIN, modality="US"), models()), SiteRules())

    assert record["chosen"] is None
    assert record["refusal"]
