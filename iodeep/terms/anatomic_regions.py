"""PS3.16 Annex L, offline: Body Part Examined defined terms beside their SNOMED CT codes (317 rows)."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from iodeep.terms.code import Code


@dataclass(frozen=True)
class AnatomicRegion:
    """A row of PS3.16 Table L-1; ``paired`` where the structure exists on both sides."""

    defined_term: str
    code: Code
    paired: bool


@cache
def anatomic_regions() -> dict[str, AnatomicRegion]:
    """All rows, keyed by Body Part Examined defined term."""
    with files("iodeep.terms").joinpath("annex_l.csv").open(encoding="utf-8") as table:
        return {
            row["defined_term"]: AnatomicRegion(
                row["defined_term"], Code(row["code"], row["scheme"], row["meaning"]), row["paired"] == "yes"
            )
            for row in csv.DictReader(table)
        }


def region_of_defined_term(term: str) -> AnatomicRegion | None:
    """The row of a Body Part Examined value that is a defined term, else None."""
    return anatomic_regions().get(term.strip().upper())


@cache
def _by_code() -> dict[Code, AnatomicRegion]:
    return {region.code: region for region in anatomic_regions().values()}


def region_of_code(code: Code) -> AnatomicRegion | None:
    """The row of an Anatomic Region Sequence code, else None."""
    return _by_code().get(code)
