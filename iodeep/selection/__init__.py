"""Series + archive -> a decision with reasons, or a refusal."""

from __future__ import annotations

from iodeep.selection.candidate import Candidate, UnusableModel
from iodeep.selection.catalogue import Catalogue, ModelRow, list_models
from iodeep.selection.decision import decide
from iodeep.selection.facts import SeriesFacts, facts_of_attributes, facts_of_headers
from iodeep.selection.record import decision_record
from iodeep.selection.rules import SiteRules, site_rules
from iodeep.selection.several import each_that_fits
from iodeep.selection.shelf import candidates_in_folder
from iodeep.selection.summary import Summary, summary_of
from iodeep.selection.summary_page import summary_page
from iodeep.selection.table import decide_table, table_rows
from iodeep.selection.verdict import Decision, Judged, Outcome, Point

__all__ = [
    "Candidate",
    "Catalogue",
    "Decision",
    "Judged",
    "ModelRow",
    "Outcome",
    "Point",
    "SeriesFacts",
    "SiteRules",
    "Summary",
    "UnusableModel",
    "candidates_in_folder",
    "decide",
    "decide_table",
    "decision_record",
    "each_that_fits",
    "facts_of_attributes",
    "facts_of_headers",
    "list_models",
    "site_rules",
    "summary_of",
    "summary_page",
    "table_rows",
]
