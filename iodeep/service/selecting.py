"""Which model fits: the series' facts and geometry, the archive's candidates, and the decision.

A series whose geometry is refused is still a question that gets an answer: the reason becomes part of the refusal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from iodeep.anatomy import AnatomyResolver
from iodeep.anatomy.vocabulary import site_vocabulary
from iodeep.errors import GeometryError
from iodeep.lifecycle_settings import states_count
from iodeep.ports import Archive, ProgressSink, no_progress
from iodeep.selection import (
    Candidate,
    Catalogue,
    Decision,
    SeriesFacts,
    SiteRules,
    UnusableModel,
    decide,
    facts_of_attributes,
    facts_of_headers,
    site_rules,
)
from iodeep.service.admitting import Admission
from iodeep.service.configuration import Configuration, data_folder
from iodeep.service.model_alerts import ModelAlerts
from iodeep.service.subjects import Subject
from iodeep.service.trusting import CandidateJudge, decided_by_trust, policy_of
from iodeep.settings import Settings
from iodeep.volume import ImageSeries, SeriesFiles, open_series

if TYPE_CHECKING:
    from iodeep.trust.policy import TrustPolicy


@dataclass(frozen=True)
class SitePolicy:
    """A site's rules and words, as its settings have them, and who says what may run."""

    rules: SiteRules
    resolver: AnatomyResolver
    catalogue_max_age_s: float = 0.0
    """See :class:`iodeep.selection.Catalogue`."""
    trust: TrustPolicy | None = None
    """None: the site has not said whom it trusts."""
    admission: Admission | None = None
    """None: it is not asked whether a model was approved."""
    alerts: ModelAlerts | None = None
    """Told of models that the trust policy refuses, where nobody looks on."""

    def judge(self, archive: Archive, folder: Path) -> CandidateJudge:
        """Who judges candidates of an archive; ``folder`` holds for a moment what is looked at."""
        return CandidateJudge(archive, folder, self.trust, self.admission, self.alerts)


def site_policy(
    settings: Settings,
    *,
    serving: bool = False,
    admission: Admission | None = None,
    alerts: ModelAlerts | None = None,
) -> SitePolicy:
    """The policy of ``[selection]``, ``[trust]``, ``[lifecycle]`` and ``vocabulary`` in ``iodeep.toml``. ``serving``: nobody looks on.

    ``admission`` has to be given where models have to be approved, and is left aside where they need not be.
    """
    vocabulary = site_vocabulary(settings.vocabulary) if settings.vocabulary else None
    selection = settings.selection
    asked = states_count(settings.lifecycle, serving=serving)
    if asked and admission is None:
        raise ValueError("models have to be approved here, and there is no register to ask")
    return SitePolicy(
        site_rules(selection),
        AnatomyResolver(vocabulary),
        selection.catalogue_max_age_s,
        policy_of(settings, serving=serving),
        admission if asked else None,
        alerts,
    )


@contextmanager
def policy_for_commands(configuration: Configuration) -> Iterator[SitePolicy]:
    """The policy as commands obey it: the register of this machine's service is asked where ``[lifecycle]`` is set."""
    settings = configuration.settings
    if not states_count(settings.lifecycle, serving=False):
        yield site_policy(settings)
        return
    from iodeep.service.audit import open_audit
    from iodeep.service.lifecycle.reading import register_at_hand
    from iodeep.service.serving.context import DataFolders

    folders = DataFolders(data_folder(configuration), settings.serve)
    audit = open_audit(folders, "terminal")
    with register_at_hand(configuration, folders, audit) as register:
        yield site_policy(settings, admission=Admission(register, ModelAlerts(audit.record)))


@dataclass(frozen=True)
class SeriesAtHand:
    """A local series: its facts, and the opened series where its geometry is certain."""

    facts: SeriesFacts
    opened: ImageSeries | None


@dataclass(frozen=True)
class Selection:
    """A decision with the series that it is about, by Series Instance UID."""

    decision: Decision
    at_hand: dict[str, SeriesAtHand]


def look_at(series: SeriesFiles) -> SeriesAtHand:
    """Facts and geometry of a local series; no pixel is read."""
    facts = facts_of_headers(series.headers)
    try:
        opened = open_series(series)
    except GeometryError as error:
        return SeriesAtHand(replace(facts, geometry_problem=str(error)), None)
    geometry = opened.geometry
    measured = replace(
        facts,
        slice_count=geometry.slice_count,
        slice_spacing_mm=geometry.spacing[0],
        pixel_spacing_mm=max(geometry.spacing[1:]),
        coverage_mm=geometry.coverage_mm,
        plane=geometry.plane,
    )
    return SeriesAtHand(measured, opened)


def select_model(
    subject: Subject,
    archive: Archive,
    cache: Path,
    policy: SitePolicy,
    *,
    wanted_model: str | None = None,
    condition: str | None = None,
    every_candidate: bool = False,
    progress: ProgressSink = no_progress,
) -> Selection:
    """The decision for the series or study at hand, among the archive's models.

    ``every_candidate``: look at all models of the archive, so that each gets its reasons, not only at those that the
    tokens let through. The choice is the same.
    """
    at_hand = {series.series_instance_uid: look_at(series) for series in subject.series}
    asked = [series.facts for series in at_hand.values()]
    siblings = [facts_of_attributes(row) for row in subject.siblings]
    catalogue = Catalogue(archive, cache, max_age_s=policy.catalogue_max_age_s)
    if every_candidate:
        candidates = catalogue.candidates(progress=progress)
    else:
        candidates = _narrowed(catalogue, asked, policy.resolver, progress)

    def decided(among: Sequence[Candidate | UnusableModel]) -> Decision:
        return decide(
            asked,
            among,
            study=siblings,
            wanted_model=wanted_model,
            condition=condition,
            rules=policy.rules,
            resolver=policy.resolver,
        )

    judge = policy.judge(archive, cache)
    return Selection(decided_by_trust(decided, candidates, judge, every_candidate=every_candidate), at_hand)


def _narrowed(
    catalogue: Catalogue, asked: Sequence[SeriesFacts], resolver: AnatomyResolver, progress: ProgressSink
) -> list[Candidate | UnusableModel]:
    """Candidates whose tokens name a modality and a region of the series asked about, each once."""
    found: dict[str, Candidate | UnusableModel] = {}
    for modality in sorted({facts.modality for facts in asked}):
        evidence = [facts.evidence for facts in asked if facts.modality == modality]
        regions = sorted({region for each in evidence for region in resolver.resolve(each).regions})
        for candidate in catalogue.candidates(modality, regions, progress=progress):
            found[candidate.uid] = candidate
    return list(found.values())
