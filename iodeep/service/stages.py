"""The stages of a run, each by itself: a command does them in a row, a job does them over the death of its process.

The rule: what a stage needs to know of an earlier one is in the :class:`Plan`, and a plan that is carried out again gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.valuerep import DT

from iodeep.card import ModelCard
from iodeep.inference import Engine
from iodeep.model_object import ModelDescriptor
from iodeep.ports import Archive, Cancellation, Level, ProgressSink, Wanted, no_progress
from iodeep.prediction import Prediction
from iodeep.results import ResultUids, SegKind, import_meanwhile
from iodeep.selection import SiteRules, decision_record
from iodeep.service.choosing import Choice, parameters_of_run, where_results_are, why
from iodeep.volume import ImageSeries, Volume

if TYPE_CHECKING:
    from iodeep.results import Results


@dataclass(frozen=True)
class Plan:
    """All that is settled before a network runs: the model, its inputs, and what its results will say of the choice and when."""

    descriptor: ModelDescriptor
    series: tuple[ImageSeries, ...]
    """One for each of the card's inputs, in the card's order."""
    kind: SegKind
    uids: ResultUids
    decided: str
    """One line on why the model was chosen."""
    record: Mapping[str, Any]
    """The whole record of the choice."""
    moment: datetime
    """When the results are made."""
    trial: bool = False

    @property
    def card(self) -> ModelCard:
        """The card, of which a trial's results say that they are for research whatever the model is for."""
        card = self.descriptor.card
        return card.model_copy(update={"qualification": "RESEARCH"}) if self.trial else card

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """Where the results are in an archive that holds them, the report first."""
        return where_results_are(self.series[0].study_instance_uid, self.uids, self.descriptor)


@dataclass(frozen=True)
class ToldAgain:
    """What the results of an earlier run say."""

    sentences: tuple[str, ...]
    volumes_ml: Mapping[int, float]
    files: tuple[Path, ...]
    warnings: tuple[str, ...]


def held_results(archive: Archive, wanted: Sequence[Wanted]) -> tuple[Wanted, ...]:
    """Those results that the archive holds."""
    return tuple(
        each
        for each in wanted
        if archive.find(
            Level.IMAGE,
            {
                "StudyInstanceUID": each.study,
                "SeriesInstanceUID": each.series or "",
                "SOPInstanceUID": each.instances[0],
            },
        )
    )


def plan_of(choice: Choice, rules: SiteRules, archive: Archive, held: Sequence[Wanted], workspace: Path) -> Plan:
    """The plan of a choice; where the archive holds the half of its results, the other half is made as of the same moment."""
    earlier = _earlier(archive, held, workspace)
    return Plan(
        choice.descriptor,
        choice.series,
        choice.kind,
        choice.uids,
        why(choice.decision),
        _record(choice, rules, earlier),
        _moment(earlier),
        choice.trial,
    )


def volumes_of(plan: Plan, progress: ProgressSink, cancel: Cancellation | None) -> dict[str, Volume]:
    """The series' voxels by the card's input names."""
    inputs = zip(plan.descriptor.card.inputs, plan.series, strict=True)
    return {asked.name: each.read_volume(progress, cancel) for asked, each in inputs}


def predicted(
    plan: Plan,
    files: Mapping[str, Path],
    volumes: Mapping[str, Volume],
    engine: Engine,
    progress: ProgressSink = no_progress,
    cancel: Cancellation | None = None,
) -> Prediction:
    """What the network, in its verified ``files``, says of the volumes."""
    import_meanwhile()
    return engine.run(
        plan.descriptor.card,
        files,
        volumes,
        probabilities=plan.kind is SegKind.FRACTIONAL,
        progress=progress,
        cancel=cancel,
    )


def built(plan: Plan, prediction: Prediction) -> Results:
    """SEG and SR, checked."""
    from iodeep.results import build_results  # here by now: import_meanwhile

    return build_results(
        plan.series[0],
        prediction,
        plan.card,
        plan.descriptor.identity,
        kind=plan.kind,
        run_parameters=parameters_of_run(trial=plan.trial),
        decided=plan.decided,
        decision=plan.record,
        now=plan.moment,
        further_series=plan.series[1:],
    )


def store_lacking(
    archive: Archive,
    files: Sequence[Path],
    held: Sequence[Wanted],
    progress: ProgressSink = no_progress,
    cancel: Cancellation | None = None,
) -> None:
    """Send what the archive lacks, after what it holds has been proved to be the same: no UID ever names two things."""
    uids = {uid for each in held for uid in each.instances}
    there = [path for path in files if path.stem in uids]
    if there:
        archive.verify_stored(there, progress=progress)
    lacking = [path for path in files if path not in there]
    if lacking:
        archive.store(lacking, progress=progress, cancel=cancel)


def told_again(archive: Archive, wanted: Sequence[Wanted], card: ModelCard, into: Path) -> ToldAgain:
    """What the results say that the archive holds already, the report first among ``wanted``."""
    from iodeep.results import volume_sentence, volumes_of_report

    files = tuple(path for each in wanted for path in archive.fetch(each, into))
    volumes = volumes_of_report(pydicom.dcmread(files[0]))
    segments = card.segmentation.segments if card.segmentation else ()
    sentences = tuple(volume_sentence(each.label, volumes[each.number]) for each in segments if each.number in volumes)
    return ToldAgain(sentences, volumes, files, not_retold(card))


def not_retold(card: ModelCard) -> tuple[str, ...]:
    """What an earlier run's report says and is not read out of it: silence must not be taken for a negative finding."""
    names = ", ".join(head.name for head in card.classifications)
    return (
        (f"the report of the earlier run also says: {names}. Read it there; it is not told again here",)
        if names
        else ()
    )


def _earlier(archive: Archive, held: Sequence[Wanted], workspace: Path) -> Dataset | None:
    """The half of the results that the archive holds, the report where it is that; None where it holds nothing."""
    if not held:
        return None
    (path,) = archive.fetch(held[0], workspace / "held")
    return pydicom.dcmread(path, stop_before_pixels=True)


def _moment(earlier: Dataset | None) -> datetime:
    """When the results are made: now in local time, or when the half of them was that the archive holds."""
    if earlier is None:
        return datetime.now().astimezone()
    return DT(str(earlier.ContributingEquipmentSequence[-1].ContributionDateTime))


def _record(choice: Choice, rules: SiteRules, earlier: Dataset | None) -> dict[str, Any]:
    """The record of the choice; that of the report that the archive holds, where models have come or gone since."""
    from iodeep.results import decision_of_report

    held = decision_of_report(earlier) if earlier is not None else None
    return held or decision_record(choice.decision, rules)
