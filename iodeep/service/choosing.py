"""From a job to what will be run: the decision, carried as far as the opened series and the UIDs of the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from iodeep.errors import GeometryError, InputError, IntegrityError, Refusal
from iodeep.model_object import ModelDescriptor, read_descriptor
from iodeep.ports import Archive, ProgressSink, Wanted
from iodeep.results import ResultUids, SegKind, accepted_kind, images_of, result_uids, sop_classes_to_propose
from iodeep.selection import Candidate, Decision, facts_of_attributes
from iodeep.service.library import fetch_descriptor
from iodeep.service.selecting import Selection, SitePolicy, select_model
from iodeep.service.subjects import Subject
from iodeep.volume import ImageSeries


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
    results_to: Archive | None = None
    """Where results go, if not where the models are."""
    trial: bool = False
    """Whether nobody is to be treated by the results: they are marked as research, under UIDs of their own."""

    @property
    def target(self) -> Archive:
        """The archive that results go to."""
        return self.results_to or self.archive


@dataclass(frozen=True)
class Choice:
    """What will be run on what, and under which UIDs its results are, or will be, in the archive."""

    decision: Decision
    descriptor: ModelDescriptor
    series: tuple[ImageSeries, ...]
    """One for each of the card's inputs, in the card's order."""
    kind: SegKind
    uids: ResultUids
    trial: bool = False

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """Where the results are in an archive that holds them, the report first."""
        return where_results_are(self.series[0].study_instance_uid, self.uids, self.descriptor)


def where_results_are(study: str, uids: ResultUids, descriptor: ModelDescriptor) -> tuple[Wanted, ...]:
    """What to ask an archive for that may hold the results, the report first."""
    report = Wanted(study, uids.report_series, (uids.report,))
    segmentation = Wanted(study, uids.segmentation_series, (uids.segmentation,))
    return (report, segmentation) if descriptor.card.segmentation else (report,)


def selected(job: Job, progress: ProgressSink) -> Selection:
    """The decision for the job; ``Refusal`` with its sentences where no model fits."""
    selection = select_model(
        job.subject,
        job.archive,
        job.cache,
        job.policy,
        wanted_model=job.wanted_model,
        condition=job.condition,
        progress=progress,
    )
    if selection.decision.chosen is None:
        raise Refusal(selection.decision.refusal)
    return selection


def choice_of(job: Job, selection: Selection, decision: Decision, workspace: Path) -> Choice:
    """What ``decision``, the selection's own or that of another model that fits, comes to."""
    chosen = decision.chosen
    if chosen is None or chosen.identity is None:
        raise Refusal(decision.refusal or "the model has no object in the archive that could be run")
    descriptor = _fresh_descriptor(job, chosen, workspace)
    series = _inputs(selection, decision.inputs, descriptor)
    kind = _kind(job, descriptor)
    uids = uids_of_run(series, descriptor, kind, trial=job.trial)
    return Choice(_about(job, selection, decision), descriptor, series, kind, uids, job.trial)


def uids_of_run(
    series: Sequence[ImageSeries], descriptor: ModelDescriptor, kind: SegKind, *, trial: bool
) -> ResultUids:
    """The UIDs of a run's results; a trial's are never those of the run for real."""
    return result_uids(tuple(map(images_of, series)), descriptor.identity, kind, parameters_of_run(trial=trial))


def parameters_of_run(*, trial: bool) -> Mapping[str, str]:
    """What results say of the run besides model and series."""
    return {"trial": "yes"} if trial else {}


def why(decision: Decision) -> str:
    """One line on why the model was chosen: its requirements, in the decision's words."""
    judged = next(each for each in decision.candidates if each.candidate is decision.chosen)
    return " ".join(outcome.sentence for outcome in judged.outcomes)


def _about(job: Job, selection: Selection, decision: Decision) -> Decision:
    """The decision with the anatomy of the series that this model is given, where the first-ranking one gets another."""
    given = set(decision.inputs.values())
    if given == set(selection.decision.inputs.values()):
        return decision
    asked = {uid: series.facts.evidence for uid, series in selection.at_hand.items()}
    used = next((uid for uid in asked if uid in given), None)
    if used is None:
        return decision
    others = [evidence for uid, evidence in asked.items() if uid != used]
    others += [facts_of_attributes(row).evidence for row in job.subject.siblings]
    return replace(decision, anatomy=job.policy.resolver.resolve(asked[used], others))


def _fresh_descriptor(job: Job, chosen: Candidate, workspace: Path) -> ModelDescriptor:
    """The chosen model's descriptor, as the archive has it now: it must be the one that the decision was about."""
    descriptor = read_descriptor(fetch_descriptor(job.archive, chosen.study_instance_uid, workspace))
    if job.policy.admission is not None:
        job.policy.admission.check(descriptor)
    if descriptor.identity != chosen.identity:
        raise IntegrityError(
            f"the model {chosen.name} in {job.archive.name} changed while it was being chosen",
            expected=f"manifest {chosen.identity.manifest_sha256 if chosen.identity else '(none)'}",
            found=f"manifest {descriptor.identity.manifest_sha256}",
            remedy="Find out who replaced it: a release is never changed. Run `iodeep verify` on it.",
        )
    return descriptor


def _kind(job: Job, descriptor: ModelDescriptor) -> SegKind:
    """The encoding asked for, or what the archive and the segments allow."""
    segmentation = descriptor.card.segmentation
    overlapping = segmentation is not None and segmentation.overlapping
    return accepted_kind(job.kind, job.target.accepted(sop_classes_to_propose(job.kind)), overlapping=overlapping)


def _inputs(selection: Selection, inputs: Mapping[str, str], descriptor: ModelDescriptor) -> tuple[ImageSeries, ...]:
    """The opened series that the decision gives to each of the card's inputs, in the card's order."""
    opened = []
    for asked in descriptor.card.inputs:
        uid = inputs[asked.name]
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
