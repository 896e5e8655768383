"""Why a model was chosen stands in the report, and is read back from it as it was."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import highdicom as hd
import pydicom
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from iodeep.results import decision_of_report, volumes_of_report
from iodeep.results.decision_content import decision_content
from iodeep.results.decision_terms import Term
from iodeep.selection import SiteRules, decide, decision_record
from iodeep.settings import SelectionRule
from tests.unit.results.test_report import volume_results
from tests.unit.selection.support import models, mr, series
from tests.validators import dciodvfy_errors, missing_attributes

LINE = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=40)
LINES = st.lists(LINE, max_size=3)
SHARE = st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)
INPUTS = st.dictionaries(LINE, LINE, max_size=3)
OUTCOMES = st.sampled_from([(True, False), (True, True), (False, False)])
CANDIDATE = st.builds(
    lambda texts, fits, inputs, outcomes, points: {
        "model": texts[0],
        "uid": texts[1],
        "where": texts[2],
        "fits": fits,
        "inputs": inputs,
        "requirements": [
            {"criterion": a, "passed": passed, "open": still, "sentence": b} for a, b, (passed, still) in outcomes
        ],
        "ranking": [{"criterion": a, "value": value, "sentence": b} for a, b, value in points],
    },
    st.tuples(LINE, LINE, LINE | st.just("")),
    st.booleans(),
    INPUTS,
    st.lists(st.tuples(LINE, LINE, OUTCOMES), max_size=4),
    st.lists(st.tuples(LINE, LINE, SHARE), max_size=3),
)
ANATOMY = st.fixed_dictionaries(
    {
        "regions": LINES,
        "shown": st.none() | LINE,
        "organ": st.none() | LINE,
        "side": st.none() | st.sampled_from("LRB"),
        "confidence": SHARE,
        "borrowed": st.booleans(),
        "contradictions": LINES,
        "evidence": st.lists(
            st.fixed_dictionaries({"attribute": LINE, "words": LINE, "region": LINE, "weight": SHARE}), max_size=3
        ),
    }
)
RECORDS = st.fixed_dictionaries(
    {
        "series": LINES,
        "anatomy": ANATOMY,
        "chosen": st.none() | LINE,
        "chosen_uid": st.none() | LINE,
        "inputs": INPUTS,
        "refusal": st.none() | LINE,
        "refused_for": st.none() | LINE,
        "open_questions": LINES,
        "notes": LINES,
        "candidates": st.lists(CANDIDATE, max_size=3),
        "rules": LINES,
        "looked_at": st.integers(0, 10_000),
        "not_listed": st.dictionaries(LINE, st.integers(1, 10_000), max_size=3),
    }
)
RECORD: dict[str, Any] = {
    "series": ["CT series 'Abdomen Übersicht 頭'"],
    "anatomy": {
        "regions": ["ABDOMEN", "CHEST"],
        "shown": "ABDOMEN",
        "organ": "LIVER",
        "side": None,
        "confidence": 0.953,
        "borrowed": False,
        "contradictions": ["Body Part Examined says HEAD."],
        "evidence": [{"attribute": "Study Description", "words": "leber", "region": "LIVER", "weight": 0.65}],
    },
    "chosen": "Organ finder 1.2.3",
    "chosen_uid": "2.25.1001",
    "inputs": {"image": "1.2.3.4"},
    "refusal": None,
    "refused_for": None,
    "open_questions": [],
    "notes": ["One other release cannot be used."],
    "candidates": [
        {
            "model": "Organ finder 1.2.3",
            "uid": "2.25.1001",
            "where": "main",
            "fits": True,
            "inputs": {"image": "1.2.3.4"},
            "requirements": [
                {"criterion": "modality", "passed": True, "open": False, "sentence": "The model needs CT."},
                {"criterion": "slices", "passed": True, "open": True, "sentence": "It needs 10 slices."},
            ],
            "ranking": [{"criterion": "validation", "value": 2.083, "sentence": "Its card reports 120 cases."}],
        },
        {
            "model": "Lung finder 1.0.0",
            "uid": "2.25.1009",
            "where": "main",
            "fits": False,
            "inputs": {},
            "requirements": [
                {"criterion": "region", "passed": False, "open": False, "sentence": "It is for LUNG."},
            ],
            "ranking": [],
        },
    ],
    "rules": ["What a series shows has to be at least 55% sure."],
    "looked_at": 10_000,
    "not_listed": {"modality": 9_000, "region": 998},
}


def read_again(dataset: Dataset) -> Dataset:
    """What comes back from a file."""
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return pydicom.dcmread(BytesIO(buffer.getvalue()))


@given(RECORDS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_record_comes_back_as_it_was(record: dict[str, Any]) -> None:
    document = Dataset()
    document.ContentSequence = [decision_content(record)]

    assert decision_of_report(document) == record


def test_the_record_of_a_real_decision_comes_back_as_it_was() -> None:
    asked = series("1.2.3", Modality="MR", StudyDescription="MR KNEE", BodyPartExamined="HEAD")
    rules = SiteRules(rules=(SelectionRule(effect="deny", model="LIVER*"),))
    for decision in (decide(asked, models(), rules=rules), decide(mr("1.2.3", "t1 axial"), models(), rules=rules)):
        record = decision_record(decision, rules)
        document = Dataset()
        document.ContentSequence = [decision_content(record)]

        assert decision_of_report(document) == record


def test_the_report_of_a_run_keeps_the_record_and_its_measurements(tmp_path: Path) -> None:
    results = volume_results(tmp_path, decision=RECORD)
    report = read_again(results.report)

    assert decision_of_report(report) == RECORD
    assert volumes_of_report(report).keys() == results.volumes_ml.keys()
    (scheme,) = report.CodingSchemeIdentificationSequence
    assert (scheme.CodingSchemeDesignator, scheme.CodingSchemeResponsibleOrganization) == ("99IODEEP", "IODeep")


def test_the_same_record_gives_the_same_bytes(tmp_path: Path) -> None:
    made = [volume_results(tmp_path / name, decision=RECORD).report for name in ("a", "b")]
    first, second = (BytesIO(), BytesIO())
    for dataset, buffer in zip(made, (first, second), strict=True):
        dataset.save_as(buffer, enforce_file_format=True)

    assert first.getvalue() == second.getvalue()


def test_a_report_with_a_record_is_valid_and_read_by_highdicom(tmp_path: Path) -> None:
    report = volume_results(tmp_path, decision=RECORD).report
    path = tmp_path / "report.dcm"
    report.save_as(path, enforce_file_format=True)

    assert dciodvfy_errors(path) == []
    assert missing_attributes(report) == []
    content: Any = hd.sr.srread(path).content
    assert len(content.get_volumetric_roi_measurement_groups()) == 2


def test_a_report_without_a_record_says_so() -> None:
    assert decision_of_report(Dataset()) is None


def test_every_term_is_a_valid_code() -> None:
    assert all(len(term.name) <= 16 and len(term.value) <= 64 for term in Term)
    assert len({term.value for term in Term}) == len(Term)
