"""What a site decides for itself: which models it allows, denies and prefers, for which series.

Rules only ever narrow or order: none can make a model fit that does not meet the hard requirements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from iodeep.anatomy import AnatomyAnswer
from iodeep.selection.facts import SeriesFacts
from iodeep.selection.profile import Profile
from iodeep.selection.verdict import Outcome, Point
from iodeep.settings import SelectionRule, SelectionSettings

_NO_PREFERENCE = Point("site", 0.0, "The site has no preference for it.")


@dataclass(frozen=True)
class SiteRules:
    """A site's own choice; the default lets every model stand that meets the hard requirements."""

    minimum_confidence: float = 0.55
    """Below this confidence in the anatomy (0..1) no model is chosen."""
    accept_borrowed: bool = False
    """Whether what only the study's other series say is enough to run on."""
    rules: tuple[SelectionRule, ...] = ()

    def sure_enough(self, answer: AnatomyAnswer) -> bool:
        """Whether a model may be run on what the series is taken to show; contradicting siblings never are enough."""
        if answer.borrowed:
            return self.accept_borrowed and not answer.contradictions and len(answer.ranked) == 1
        return answer.confidence >= self.minimum_confidence

    def outcomes(self, model: Profile, uid: str, asked: Sequence[SeriesFacts]) -> tuple[Outcome, ...]:
        """What the site's rules say of a model for these series; nothing where no rule applies."""
        if not self.rules:
            return ()
        applying = [rule for rule in self.rules if any(_is_for(rule, facts) for facts in asked)]
        denied = [rule for rule in applying if rule.effect == "deny" and _names(rule, model, uid)]
        outcomes = [Outcome("site", passed=False, sentence=f"The site denies it{_because(rule)}.") for rule in denied]
        allowing = [rule for rule in applying if rule.effect == "allow"]
        if allowing and not any(_names(rule, model, uid) for rule in allowing):
            listed = ", ".join(rule.model for rule in allowing)
            sentence = f"The site allows only {listed} here{_because(allowing[0])}."
            outcomes.append(Outcome("site", passed=False, sentence=sentence))
        return tuple(outcomes)

    def preference(self, model: Profile, uid: str, asked: Sequence[SeriesFacts]) -> Point:
        """How much the site prefers the model for these series."""
        preferring = [
            rule for rule in self.rules if rule.effect == "prefer" and any(_is_for(rule, facts) for facts in asked)
        ]
        for place, rule in enumerate(preferring):
            if _names(rule, model, uid):
                return Point("site", float(len(preferring) - place), f"The site prefers it{_because(rule)}.")
        return _NO_PREFERENCE


def site_rules(settings: SelectionSettings) -> SiteRules:
    """The rules of ``[selection]`` in ``iodeep.toml``."""
    return SiteRules(settings.minimum_confidence, settings.accept_borrowed, settings.rules)


def _is_for(rule: SelectionRule, facts: SeriesFacts) -> bool:
    asked = (
        (rule.modality, facts.modality),
        (rule.station, facts.station_name),
        (rule.ae_title, facts.station_aet),
        (rule.department, facts.department),
    )
    return all(_fits(pattern, value) for pattern, value in asked if pattern)


def _names(rule: SelectionRule, model: Profile, uid: str) -> bool:
    names = (model.token, model.name, f"{model.name} {model.version}", f"{model.token}-{model.version}", uid)
    return any(_fits(rule.model, name) for name in names)


def _fits(pattern: str, value: str) -> bool:
    return fnmatchcase(value.casefold(), pattern.casefold())


def _because(rule: SelectionRule) -> str:
    return f": {rule.reason.rstrip('.')}" if rule.reason else ""
