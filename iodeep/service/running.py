"""The main job: select, fetch, verify, run, build, check, store, prove stored; each stage timed.

Results have deterministic UIDs: where the archive already holds them, nothing is run and nothing is sent again. Where it
holds one of them, because it failed between the two, the other is made as of the same moment, so that they agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iodeep.inference import Engine
from iodeep.model_object import ModelDescriptor
from iodeep.ports import Cancellation, ProgressSink, no_progress
from iodeep.prediction import Prediction
from iodeep.results import ResultUids, SegKind
from iodeep.selection import Decision
from iodeep.service.choosing import Choice, Job, choice_of, selected
from iodeep.service.library import obtain_model
from iodeep.service.stages import built, held_results, plan_of, predicted, store_lacking, told_again, volumes_of
from iodeep.service.timing import Stopwatch
from iodeep.service.trusting import check_may_run
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
        held = () if job.dry_run else held_results(job.archive, choice.wanted)
    if held == choice.wanted:
        return _what_is_there(job, choice, workspace, watch)
    with watch.stage("fetch and verify model"):
        model = obtain_model(job.archive, choice.descriptor, job.cache, progress=progress, cancel=cancel)
    with watch.stage("read images"):
        plan = plan_of(choice, job.policy.rules, job.archive, held, workspace)
        volumes = volumes_of(plan, progress, cancel)
    _ask_again(job, choice, workspace, watch)
    with watch.stage("run network"):
        prediction = predicted(plan, model.files, volumes, engine, progress, cancel)
    with watch.stage("build and check results"):
        from iodeep.results import write_results  # here by now: import_meanwhile

        results = built(plan, prediction)
        files = write_results(results, job.out or workspace / "results")
    if not job.dry_run:
        with watch.stage("store results"):
            store_lacking(job.archive, files, held, progress, cancel)
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
        warnings=(*engine.lacking, *(warning for each in choice.series for warning in each.warnings)),
    )


def _ask_again(job: Job, choice: Choice, workspace: Path, watch: Stopwatch) -> None:
    """NotTrustedError where the site does not accept the model any more."""
    policy = job.policy
    if policy.trust is None and policy.admission is None:
        return
    with watch.stage("ask who signed it"):
        check_may_run(job.archive, choice.descriptor, policy.trust, policy.admission, workspace)


def _report(choice: Choice, **found: Any) -> RunReport:
    """The choice, with what was found."""
    uids = tuple(each.series_instance_uid for each in choice.series)
    return RunReport(choice.decision, uids, choice.descriptor, choice.uids, choice.kind, **found)


def _what_is_there(job: Job, choice: Choice, workspace: Path, watch: Stopwatch) -> RunReport:
    """The results of an earlier run, fetched: what they say is told again, and nothing is made."""
    with watch.stage("fetch results"):
        told = told_again(job.archive, choice.wanted, choice.descriptor.card, job.out or workspace / "results")
    return _report(
        choice,
        already_there=True,
        sentences=told.sentences,
        volumes_ml=told.volumes_ml,
        files=told.files if job.out else (),
        seconds=watch.seconds,
        warnings=told.warnings,
    )


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
