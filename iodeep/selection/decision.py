"""The decision: hard requirements first, then a documented ranking; doubt ends in a refusal.

The same inputs give the same decision: ties are broken by name, version and UID, never by the order of arrival.
"""

from __future__ import annotations

from collections.abc import Sequence

from iodeep.anatomy import AnatomyResolver
from iodeep.selection.candidate import Candidate, UnusableModel
from iodeep.selection.facts import SeriesFacts
from iodeep.selection.rules import SiteRules
from iodeep.selection.verdict import Decision


def decide(
    asked: SeriesFacts | Sequence[SeriesFacts],
    candidates: Sequence[Candidate | UnusableModel],
    *,
    study: Sequence[SeriesFacts] = (),
    wanted_model: str | None = None,
    condition: str | None = None,
    rules: SiteRules | None = None,
    resolver: AnatomyResolver | None = None,
) -> Decision:
    """Which model fits the series (or the study's series) asked about, and why.

    ``study``: the other series of the same study, for models with several inputs and for a series that says nothing.
    ``wanted_model``: SOP Instance UID, token or name of the only model that may be chosen; it has to meet the
    requirements all the same. ``condition``: a disease asked for, as a code value, a meaning or a condition token.
    """
    raise NotImplementedError
