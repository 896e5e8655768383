"""Descriptions that mislead a word search, in seven languages; ``traps.csv`` says what each shows and why it is a trap.

``-``: nothing is said. ``?``: something is said, but not surely enough to run a model on.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from iodeep.anatomy import AnatomicEvidence, AnatomyResolver
from iodeep.selection import SiteRules

RESOLVER = AnatomyResolver()
with (Path(__file__).parent / "traps.csv").open(encoding="utf-8") as table:
    TRAPS = list(csv.DictReader(table, delimiter=";"))


@pytest.mark.parametrize(
    "trap", TRAPS, ids=lambda trap: f"{trap['language']} {trap['StudyDescription']} {trap['SeriesDescription']}"
)
def test_trap(trap: dict[str, str]) -> None:
    answer = RESOLVER.resolve(
        AnatomicEvidence(
            modality=trap["Modality"],
            body_part_examined=trap["BodyPartExamined"],
            study_description=trap["StudyDescription"],
            series_description=trap["SeriesDescription"],
        )
    )

    if trap["expected"] == "-":
        assert not answer.known
    elif trap["expected"] == "?":
        assert answer.known
        assert answer.confidence < SiteRules().minimum_confidence
    else:
        assert answer.shown == trap["expected"]
        assert answer.confidence >= SiteRules().minimum_confidence


def test_there_are_two_hundred_traps_in_seven_languages() -> None:
    assert len(TRAPS) >= 200
    assert {trap["language"] for trap in TRAPS} == {"en", "de", "fr", "es", "it", "nl", "pt"}
