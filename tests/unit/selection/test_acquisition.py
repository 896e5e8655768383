"""MR sequence and CT phase on hand-made rows of what scanners write: right with all that a series says, and where not else.

``acquisition.csv``: values as Siemens, GE, Philips, Canon and United Imaging write them at 1.5 and 3 T. ``expected`` is what the
series is: a type that cards can ask for, or ``-`` (STIR, susceptibility, angiography, maps, contradictions). The last two
columns say what is told from parameters alone and from words alone: ``right``, ``untold``, ``general`` (ENHANCED, and not which
phase), ``wrong``.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from iodeep.selection import SeriesFacts, facts_of_attributes
from iodeep.selection.acquisition import phase_of, sequence_of
from iodeep.selection.kinds import nature_of
from tests.unit.selection.support import ROOT

Row = dict[str, str]
with (Path(__file__).parent / "acquisition.csv").open(encoding="utf-8", newline="") as table:
    ROWS: list[Row] = list(csv.DictReader(table))
IMAGES = [row for row in ROWS if row["nature"] != "LOCALIZER"]
_PHASES = {"ARTERIAL", "VENOUS", "DELAYED"}


def name(row: Row) -> str:
    return f"{row['vendor']} {row['modality']} {row['series']}"


def facts(row: Row, *, words: bool = True, parameters: bool = True) -> SeriesFacts:
    attributes = {"Modality": row["modality"], "SeriesInstanceUID": "1.2.3"}
    attributes |= {"SeriesDescription": row["series"]} if words else {}
    if not parameters:
        return facts_of_attributes(attributes)
    header = {"ImageType": "image_type", "ContrastBolusAgent": "agent", "ConvolutionKernel": "kernel"}
    return replace(
        facts_of_attributes(attributes | {keyword: row[column] for keyword, column in header.items()}),
        sequence_name=row["sequence_name"],
        scanning_sequence=tuple(filter(None, row["scanning"].split("\\"))),
        sequence_variant=tuple(filter(None, row["variant"].split("\\"))),
        echo_times=numbers(row["te"]),
        repetition_time=next(iter(numbers(row["tr"])), None),
        inversion_time=next(iter(numbers(row["ti"])), None),
        echo_train_length=next(iter(numbers(row["etl"])), None),
        b_values=numbers(row["b"]),
        temporal_positions=int(row["temporal"]) if row["temporal"] else None,
    )


def numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(";") if part)


def outcome(row: Row, told: SeriesFacts) -> str:
    found = sequence_of(told).sequence if row["modality"] == "MR" else phase_of(told).phase
    value = found.value if found else "-"
    if value == row["expected"]:
        return "right"
    if value == "-":
        return "untold"
    return "general" if value == "ENHANCED" and row["expected"] in _PHASES else "wrong"


@pytest.mark.parametrize("row", IMAGES, ids=name)
def test_a_series_is_told_as_what_it_is(row: Row) -> None:
    assert outcome(row, facts(row)) == "right"
    assert outcome(row, facts(row, words=False)) == row["by_parameters"]
    assert outcome(row, facts(row, parameters=False)) == row["by_words"]


@pytest.mark.parametrize("row", ROWS, ids=name)
def test_acquired_images_derived_ones_and_localizers_are_told_apart(row: Row) -> None:
    assert nature_of(facts(row)).nature.name == row["nature"]


def test_the_page_states_the_share() -> None:
    page = " ".join((ROOT / "docs" / "selection.md").read_text(encoding="utf-8").split())
    for modality in ("MR", "CT"):
        rows = [row for row in IMAGES if row["modality"] == modality]
        for column, said in (("by_parameters", "parameters alone"), ("by_words", "words alone")):
            counts = Counter(row[column] for row in rows)
            figures = " | ".join(str(counts[each]) for each in ("right", "general", "untold", "wrong"))
            assert f"| {modality}, {said} | {figures} |" in page
        assert f"| {modality}, everything | {len(rows)} | 0 | 0 | 0 |" in page
