"""The main job: select, fetch, verify, run, build, check, store, prove stored; each stage timed.

Results have deterministic UIDs: where the archive already holds them, nothing is run and nothing is sent again. Where it
holds one of them, because it failed between the two, the other is made as of the same moment, so that they agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
from iodeep.selection import Decision, decision_record
from iodeep.service.choosing import Choice, Job, choice_of, selected, why
from iodeep.service.library import obtain_model
from iodeep.service.timing import Stopwatch
from iodeep.volume import Volume

if TYPE_CHECKING:
    from iodeep.results import Results

__all__ = ["Job", "RunReport", "run_choice", "run_job"]


@dataclass(frozen=True)
class RunReport:
    """What happened: the decision, what was found, where it was written, and how long each stage took."""

    decision: Decision
    series: tuple[str, ...]
    model: ModelDescriptor
    uids: ResultUids
    kind: SegKind
    stored: bool = False
    already_there: bool = False
    sentences: tuple[str, ...] = ()
    volumes_ml: Mapping[int, float] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    network_seconds: Mapping[str, float] = field(default_factory=dict)
    """Within the stage ``run network``: preprocess, network, postprocess."""
    engine: str = ""
    warnings: tuple[str, ...] = ()

    def as_document(self) -> dict[str, Any]:
        """For ``--json``."""
        segments = self.model.card.segmentation.segments if self.model.card.segmentation else ()
        return {
            "series": list(self.series),
            "model": {
                "name": self.model.card.name,
                "version": str(self.model.card.version),
                "sop_instance_uid": self.model.identity.sop_instance_uid,
                "device_uid": self.model.identity.device_uid,
                "manifest_sha256": self.model.identity.manifest_sha256,
            },
            "segments": [
                {"number": s.number, "label": s.label, "volume_ml": round(self.volumes_ml[s.number], 3)}
                for s in segments
                if s.number in self.volumes_ml
            ],
            "findings": list(self.sentences),
            "segmentation_type": self.kind.value,
            "segmentation_uid": self.uids.segmentation if segments else None,
            "report_uid": self.uids.report,
            "stored": self.stored,
            "already_there": self.already_there,
            "files": [str(path) for path in self.files],
            "seconds": {stage: round(spent, 3) for stage, spent in self.seconds.items()},
            "network_seconds": {stage: round(spent, 3) for stage, spent in self.network_seconds.items()},
            "engine": self.engine,
            "warnings": list(self.warnings),
            "decision": self.decision.as_document(),
        }


def run_job(
    job: Job,
    engine: Engine,
    workspace: Path,
    *,
    watch: Stopwatch | None = None,
    progress: ProgressSink = no_progress,
    cancel: Cancellation | None = None,
) -> RunReport:
    """Do the job with the model that ranks first; ``Refusal`` where no model fits, with the decision's own sentences."""
    watch = watch or Stopwatch()
    with watch.stage("select"):
        selection = selected(job, progress)
        choice = choice_of(job, selection, selection.decision, workspace)
    return run_choice(job, choice, engine, workspace, watch=watch, progress=progress, cancel=cancel)


def run_choice(
    job: Job,
    choice: Choice,
    engine: Engine,
    workspace: Path,
    *,
    watch: Stopwatch,
    progress: ProgressSink = no_progress,
    cancel: Cancellation | None = None,
) -> RunReport:
    """Do what was chosen, from the model's fetching to the proof that its results are stored."""
    with watch.stage("select"):
        held = () if job.dry_run else _held(job.archive, choice.wanted)
    if held == choice.wanted:
        return _what_is_there(job, choice, workspace, watch)
    volumes, prediction = _predicted(job, choice, engine, watch, progress, cancel)
    with watch.stage("build and check results"):
        from iodeep.results import build_results, write_results  # here by now: import_meanwhile

        earlier = _earlier(job.archive, held, workspace)
        results = build_results(
            choice.series[0],
            prediction,
            choice.descriptor.card,
            choice.descriptor.identity,
            kind=choice.kind,
            decided=why(choice.decision),
            decision=_record(job, choice, earlier),
            now=_moment(earlier),
            further_series=choice.series[1:],
        )
        files = write_results(results, job.out or workspace / "results")
    if not job.dry_run:
        with watch.stage("store results"):
            _store(job.archive, files, held, progress, cancel)
        with watch.stage("prove stored"):
            job.archive.verify_stored(files, progress=progress)
    with watch.stage("draw picture"):
        pictures = _picture(job, volumes, prediction, choice.descriptor, results)
    return _report(
        choice,
        stored=not job.dry_run,
        sentences=results.sentences,
        volumes_ml=results.volumes_ml,
        files=(*files, *pictures) if job.out else (),
        seconds=watch.seconds,
        network_seconds=prediction.seconds,
        engine=prediction.engine,
        warnings=tuple(warning for each in choice.series for warning in each.warnings),
    )


def _report(choice: Choice, **found: Any) -> RunReport:
    """The choice, with what was found."""
    uids = tuple(each.series_instance_uid for each in choice.series)
    return RunReport(choice.decision, uids, choice.descriptor, choice.uids, choice.kind, **found)


def _predicted(
    job: Job,
    choice: Choice,
    engine: Engine,
    watch: Stopwatch,
    progress: ProgressSink,
    cancel: Cancellation | None,
) -> tuple[dict[str, Volume], Prediction]:
    """The series' voxels by the card's input names, and what the verified network says of them."""
    card = choice.descriptor.card
    with watch.stage("fetch and verify model"):
        model = obtain_model(job.archive, choice.descriptor, job.cache, progress=progress, cancel=cancel)
    with watch.stage("read images"):
        volumes = {
            asked.name: each.read_volume(progress, cancel)
            for asked, each in zip(card.inputs, choice.series, strict=True)
        }
    import_meanwhile()
    with watch.stage("run network"):
        prediction = engine.run(
            card,
            model.files,
            volumes,
            probabilities=choice.kind is SegKind.FRACTIONAL,
            progress=progress,
            cancel=cancel,
        )
    return volumes, prediction


def _what_is_there(job: Job, choice: Choice, workspace: Path, watch: Stopwatch) -> RunReport:
    """The results of an earlier run, fetched: what they say is told again, and nothing is made."""
    from iodeep.results import volume_sentence, volumes_of_report

    into = job.out or workspace / "results"
    with watch.stage("fetch results"):
        files = [path for each in choice.wanted for path in job.archive.fetch(each, into)]
        volumes = volumes_of_report(pydicom.dcmread(files[0]))
    card = choice.descriptor.card
    segments = card.segmentation.segments if card.segmentation else ()
    return _report(
        choice,
        already_there=True,
        sentences=tuple(
            volume_sentence(each.label, volumes[each.number]) for each in segments if each.number in volumes
        ),
        volumes_ml=volumes,
        files=tuple(files) if job.out else (),
        seconds=watch.seconds,
        warnings=not_retold(card),
    )


def not_retold(card: ModelCard) -> tuple[str, ...]:
    """What an earlier run's report says and is not read out of it: silence must not be taken for a negative finding."""
    names = ", ".join(head.name for head in card.classifications)
    return (
        (f"the report of the earlier run also says: {names}. Read it there; it is not told again here",)
        if names
        else ()
    )


def _held(archive: Archive, wanted: tuple[Wanted, ...]) -> tuple[Wanted, ...]:
    """Those that the archive holds."""
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


def _earlier(archive: Archive, held: tuple[Wanted, ...], workspace: Path) -> Dataset | None:
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


def _record(job: Job, choice: Choice, earlier: Dataset | None) -> dict[str, Any]:
    """The record of the choice; that of the report that the archive holds, where models have come or gone since."""
    from iodeep.results import decision_of_report

    held = decision_of_report(earlier) if earlier is not None else None
    return held or decision_record(choice.decision, job.policy.rules)


def _store(
    archive: Archive,
    files: list[Path],
    held: tuple[Wanted, ...],
    progress: ProgressSink,
    cancel: Cancellation | None,
) -> None:
    """Send what the archive lacks, after what it holds has been proved to be the same: no UID ever names two things."""
    uids = {uid for each in held for uid in each.instances}
    there = [path for path in files if path.stem in uids]
    if there:
        archive.verify_stored(there, progress=progress)
    archive.store([path for path in files if path not in there], progress=progress, cancel=cancel)


def _picture(
    job: Job,
    volumes: Mapping[str, Volume],
    prediction: Prediction,
    descriptor: ModelDescriptor,
    results: Results,
) -> tuple[Path, ...]:
    if job.out is None:
        return ()
    from iodeep.results import overlay_png  # Pillow, for those who want a picture

    first = volumes[descriptor.card.inputs[0].name]
    path = job.out / "overlay.png"
    return (overlay_png(first, prediction.segmentation, descriptor.card, path, volumes_ml=results.volumes_ml),)
