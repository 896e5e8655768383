"""What a site decides for itself: which models it allows, denies and prefers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SiteRules:
    """A site's own choice; the default lets every model stand that meets the hard requirements."""

    minimum_confidence: float = 0.6
    """Below this confidence in the anatomy (0..1) no model is chosen."""
