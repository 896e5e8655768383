"""What a site decides for itself: which models it allows, denies and prefers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from iodeep.card import ModelCard
from iodeep.selection.facts import SeriesFacts
from iodeep.selection.verdict import Outcome, Point


@dataclass(frozen=True)
class SiteRules:
    """A site's own choice; the default lets every model stand that meets the hard requirements."""

    minimum_confidence: float = 0.55
    """Below this confidence in the anatomy (0..1) no model is chosen."""

    def outcomes(self, card: ModelCard, uid: str, asked: Sequence[SeriesFacts]) -> tuple[Outcome, ...]:
        """What the site's rules say of a model for these series; nothing where no rule applies."""
        del card, uid, asked
        return ()

    def preference(self, card: ModelCard) -> Point:
        """How much the site prefers the model."""
        del card
        return Point("site", 0.0, "The site has no preference.")
