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
from pydicom.valuerep import DT

from iodeep.card import ModelCard
from iodeep.errors import GeometryError, InputError, IntegrityError, Refusal
from iodeep.inference import Engine
from iodeep.model_object import ModelDescriptor, read_descriptor
from iodeep.ports import Archive, Cancellation, Level, ProgressSink, Wanted, no_progress
from iodeep.prediction import Prediction
from iodeep.results import (
    ResultUids,
    SegKind,
    accepted_kind,
    images_of,
    import_meanwhile,
    result_uids,
    sop_classes_to_propose,
)
from iodeep.selection import Candidate, Decision
from iodeep.service.library import fetch_descriptor, obtain_model
from iodeep.service.selecting import Selection, SitePolicy, select_model
from iodeep.service.subjects import Subject
from iodeep.service.timing import Stopwatch
from iodeep.volume import ImageSeries, Volume

if TYPE_CHECKING:
    from iodeep.results import Results


@dataclass(frozen=True)
class Job:
    """What to run, where, and how."""

    subject: Subject
    archive: Archive
    cache: Path
    policy: SitePolicy
    wanted_model: str | None = None
    condition: str | None = None
    kind: SegKind = SegKind.BINARY
    out: Path | None = None
    """Also write results, picture and decision to this folder."""
    dry_run: bool = False
    """Everything but the writing back."""


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


@dataclass(frozen=True)
class _Choice:
    """What will be run on what, and under which UIDs its results are, or will be, in the archive."""

    selection: Selection
    descriptor: ModelDescriptor
    series: tuple[ImageSeries, ...]
    """One for each of the card's inputs, in the card's order."""
    kind: SegKind
    uids: ResultUids

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """Where the results are in an archive that holds them, the report first."""
        study = self.series[0].study_instance_uid
        report = Wanted(study, self.uids.report_series, (self.uids.report,))
        segmentation = Wanted(study, self.uids.segmentation_series, (self.uids.segmentation,))
        return (report, segmentation) if self.descriptor.card.segmentation else (report,)

    def report(self, **found: Any) -> RunReport:
        """The choice, with what was found."""
        uids = tuple(each.series_instance_uid for each in self.series)
        return RunReport(self.selection.decision, uids, self.descriptor, self.uids, self.kind, **found)


def run_job(
    job: Job,
    engine: Engine,
    workspace: Path,
    *,
    watch: Stopwatch | None = None,
    progress: ProgressSink = no_progress,
    cancel: Cancellation | None = None,
) -> RunReport:
    """Do the job; ``Refusal`` where no model fits, with the decision's own sentences."""
    watch = watch or Stopwatch()
    with watch.stage("select"):
        choice = _chosen(job, workspace, progress)
        held = () if job.dry_run else _held(job.archive, choice.wanted)
    if held == choice.wanted:
        return _what_is_there(job, choice, workspace, watch)
    volumes, prediction = _predicted(job, choice, engine, watch, progress, cancel)
    with watch.stage("build and check results"):
        from iodeep.results import build_results, write_results  # here by now: import_meanwhile

        results = build_results(
            choice.series[0],
            prediction,
            choice.descriptor.card,
            choice.descriptor.identity,
            kind=choice.kind,
            decided=why(choice.selection.decision),
            now=_moment(job.archive, held, workspace),
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
    return choice.report(
        stored=not job.dry_run,
        sentences=results.sentences,
        volumes_ml=results.volumes_ml,
        files=(*files, *pictures) if job.out else (),
        seconds=watch.seconds,
        network_seconds=prediction.seconds,
        engine=prediction.engine,
        warnings=tuple(warning for each in choice.series for warning in each.warnings),
    )


def _chosen(job: Job, workspace: Path, progress: ProgressSink) -> _Choice:
    selection = select_model(
        job.subject,
        job.archive,
        job.cache,
        job.policy,
        wanted_model=job.wanted_model,
        condition=job.condition,
        progress=progress,
    )
    chosen = selection.decision.chosen
    if chosen is None or chosen.identity is None:
        raise Refusal(selection.decision.refusal)
    descriptor = _fresh_descriptor(job.archive, chosen, workspace)
    series = _inputs(selection, descriptor)
    kind = _kind(job, descriptor)
    uids = result_uids(tuple(map(images_of, series)), descriptor.identity, kind)
    return _Choice(selection, descriptor, series, kind, uids)


def _predicted(
    job: Job,
    choice: _Choice,
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


def _what_is_there(job: Job, choice: _Choice, workspace: Path, watch: Stopwatch) -> RunReport:
    """The results of an earlier run, fetched: what they say is told again, and nothing is made."""
    from iodeep.results import volume_sentence, volumes_of_report

    into = job.out or workspace / "results"
    with watch.stage("fetch results"):
        files = [path for each in choice.wanted for path in job.archive.fetch(each, into)]
        volumes = volumes_of_report(pydicom.dcmread(files[0]))
    card = choice.descriptor.card
    segments = card.segmentation.segments if card.segmentation else ()
    return choice.report(
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


def _kind(job: Job, descriptor: ModelDescriptor) -> SegKind:
    """The encoding asked for, or what the archive and the segments allow."""
    segmentation = descriptor.card.segmentation
    overlapping = segmentation is not None and segmentation.overlapping
    return accepted_kind(job.kind, job.archive.accepted(sop_classes_to_propose(job.kind)), overlapping=overlapping)


def _fresh_descriptor(archive: Archive, chosen: Candidate, workspace: Path) -> ModelDescriptor:
    """The chosen model's descriptor, as the archive has it now: it must be the one that the decision was about."""
    descriptor = read_descriptor(fetch_descriptor(archive, chosen.study_instance_uid, workspace))
    if descriptor.identity != chosen.identity:
        raise IntegrityError(
            f"the model {chosen.name} in {archive.name} changed while it was being chosen",
            expected=f"manifest {chosen.identity.manifest_sha256 if chosen.identity else '(none)'}",
            found=f"manifest {descriptor.identity.manifest_sha256}",
            remedy="Find out who replaced it: a release is never changed. Run `iodeep verify` on it.",
        )
    return descriptor


def why(decision: Decision) -> str:
    """One line on why the model was chosen: its requirements, in the decision's words."""
    judged = next(each for each in decision.candidates if each.candidate is decision.chosen)
    return " ".join(outcome.sentence for outcome in judged.outcomes)


def _inputs(selection: Selection, descriptor: ModelDescriptor) -> tuple[ImageSeries, ...]:
    """The opened series that the decision gives to each of the card's inputs, in the card's order."""
    opened = []
    for asked in descriptor.card.inputs:
        uid = selection.decision.inputs[asked.name]
        at_hand = selection.at_hand.get(uid)
        if at_hand is None:
            raise InputError(
                f"{descriptor.card.name} also needs series {uid} of the study for its input {asked.name!r}",
                remedy="Run it on the whole study: give the Study Instance UID or the study's folder.",
            )
        if at_hand.opened is None:
            raise GeometryError(at_hand.facts.geometry_problem)
        opened.append(at_hand.opened)
    frames = {each.geometry.frame_of_reference_uid for each in opened}
    if len(frames) > 1:
        raise GeometryError(
            f"the {len(opened)} series that {descriptor.card.name} needs do not share a frame of reference",
            expected="series of one examination without repositioning",
            found=f"{len(frames)} Frame of Reference UIDs",
        )
    return tuple(opened)


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


def _moment(archive: Archive, held: tuple[Wanted, ...], workspace: Path) -> datetime:
    """When the results are made: now in local time, or when the half of them was that the archive holds."""
    if not held:
        return datetime.now().astimezone()
    (path,) = archive.fetch(held[0], workspace / "held")
    made = pydicom.dcmread(path, stop_before_pixels=True)
    return DT(str(made.ContributingEquipmentSequence[-1].ContributionDateTime))


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
