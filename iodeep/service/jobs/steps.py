"""The steps of a job, on the stages of a run. Each may be done twice, and each makes again what it needs and does not find.

What the first step settles (model, inputs, moment, record of the choice) is kept with the job and settled once: all later steps, in
whatever process and however often, give the same bytes under the same UIDs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from iodeep.errors import InputError, IntegrityError, IODeepError, NotApprovedError, NotTrustedError, SelfTestError
from iodeep.inference import Engine
from iodeep.model_object import read_descriptor
from iodeep.ports import Archive, Cancellation, ProgressSink
from iodeep.prediction import Prediction
from iodeep.results import SegKind, write_results
from iodeep.results.kinds import COMPREHENSIVE_3D_SR_STORAGE, segmentation_sop_class
from iodeep.service.audit.event import AuditEvent, EventKind
from iodeep.service.choosing import Choice, Job, choice_of, uids_of_run
from iodeep.service.intake import spool_folder
from iodeep.service.jobs.record import ResultRef, Step
from iodeep.service.jobs.request import JobRequest
from iodeep.service.jobs.trials import as_trial, begin_trials, check_target, policy_for
from iodeep.service.jobs.workplace import Workplace
from iodeep.service.library import fetch_descriptor, has_model, obtain_model
from iodeep.service.selecting import Selection, SitePolicy, look_at, select_model
from iodeep.service.self_testing import SelfTestBook, need_self_test
from iodeep.service.stages import Plan, built, held_results, plan_of, predicted, store_lacking, told_again, volumes_of
from iodeep.service.subjects import Subject, local_series, subject_in_folder, subject_of
from iodeep.service.trusting import check_may_run
from iodeep.volume import ImageSeries, Volume

Document = dict[str, Any]


@dataclass(frozen=True)
class Workshop:
    """What a worker process has for all its jobs."""

    open_archive: Callable[[str], Archive]
    models_from: str
    cache: Path
    spool: Path
    policy: SitePolicy
    engine: Engine
    record: Callable[[AuditEvent], None] = lambda _: None
    """Where it is written down, before it happens, whose images a network sees and what is sent where (PS3.15 A.5)."""
    shadow_archive: str = ""
    """The only archive that results of trials go to; none: there are no trials."""
    self_tests: SelfTestBook | None = None
    """Results of self-tests; None: none is asked for."""
    submit: Callable[[JobRequest], object] = lambda _: None
    """Where jobs are asked for: trials of models in the state ``shadow``."""


class JobSteps:
    """One job in one process; ``done`` holds what earlier steps gave, here or elsewhere."""

    def __init__(
        self,
        request: JobRequest,
        workshop: Workshop,
        workplace: Workplace,
        *,
        progress: ProgressSink,
        cancel: Cancellation,
    ) -> None:
        self.done: dict[Step, Document] = {}
        self._request = request
        self._shop = workshop
        self._place = workplace
        self._progress = progress
        self._cancel = cancel
        self._opened = ExitStack()
        self._archives: dict[str, Archive] = {}
        self._settled: Plan | None = None
        self._volumes: dict[str, Volume] | None = None
        self._said: Prediction | None = None

    def do(self, step: Step) -> Document:
        """Do a step; gives what is kept of it. A model that does not hold is a security alert beside the error."""
        try:
            return _STEPS[step](self)
        except NotApprovedError:
            raise
        except SelfTestError as error:
            self._alert_of_self_test(error)
            raise
        except (IntegrityError, NotTrustedError) as error:
            self._alert(error)
            raise

    def close(self) -> None:
        """Close archives."""
        self._opened.close()

    def select(self) -> Document:
        """The series is brought and a model chosen for it; where its results are there already, that is all."""
        selection = self._selection()
        begin_trials(self._request, self._job, self._shop)
        decision = as_trial(selection.decision) if self._request.shadow else selection.decision
        told: Document = {"decision": decision.as_document()}
        if decision.chosen is None:
            return {**told, "refused": decision.refusal}
        choice = choice_of(self._job, selection, decision, self._place.made())
        held = held_results(self._target, choice.wanted)
        plan = plan_of(choice, self._shop.policy.rules, self._target, held, self._place.folder)
        document = json.loads(json.dumps({**told, **_settled_document(choice, plan)}))
        self._settled = _as_kept(plan, document)
        return {**document, **self._there(choice)} if held == choice.wanted else document

    def fetch(self) -> Document:
        """The model is here."""
        if not has_model(self._plan.descriptor, self._shop.cache):
            self._obtain()
        return {}

    def verify(self) -> Document:
        """Every digest of the model's files holds, and its self-test on this host."""
        self._need_self_test(self._obtain())
        return {}

    def run(self) -> Document:
        """The network has been run, its model trusted at that moment."""
        self._record(EventKind.INSTANCES_ACCESSED, len(self._plan.series[0].headers), "run by a model")
        prediction = self._predict()
        return {"engine": prediction.engine, "seconds": prediction.seconds}

    def build(self) -> Document:
        """The results are files."""
        results = built(self._plan, self._prediction())
        write_results(results, self._place.results)
        warnings = [warning for each in self._plan.series for warning in each.warnings]
        return {"findings": list(results.sentences), "warnings": [*self._shop.engine.lacking, *warnings]}

    def store(self) -> Document:
        """The archive has said that it has them, and their model might still have been run."""
        self._check_still_may_run()
        wanted = self._plan.wanted
        self._record(EventKind.INSTANCES_TRANSFERRED, len(wanted), f"results sent to {self._target.name}")
        store_lacking(self._target, self._files(), held_results(self._target, wanted), self._progress, self._cancel)
        return {}

    def confirm(self) -> Document:
        """They were found again there, and are the same."""
        self._target.verify_stored(self._files(), progress=self._progress)
        return {}

    def _alert(self, error: IODeepError) -> None:
        if self._shop.policy.alerts is not None:
            uid = self.done.get(Step.SELECT, {}).get("model", {}).get("uid", "")
            self._shop.policy.alerts.altered(uid, f"job {self._request.job_id}: {error}")

    def _alert_of_self_test(self, error: SelfTestError) -> None:
        if self._shop.policy.alerts is not None:
            uid = self._plan.descriptor.identity.sop_instance_uid
            self._shop.policy.alerts.self_test_failed(uid, f"{error.problem}: {error.found}")

    def _need_self_test(self, files: Mapping[str, Path]) -> None:
        """:class:`iodeep.errors.SelfTestError` where the model fails its self-test on this host's runtime."""
        if self._shop.self_tests is not None:
            need_self_test(self._shop.self_tests, self._plan.descriptor, files, self._shop.engine, self._cancel)

    def _record(self, kind: EventKind, instances: int, detail: str) -> None:
        """Errors: :class:`iodeep.errors.LocalStorageError`: what cannot be recorded isn't done."""
        patient = self._plan.series[0].headers[0]
        self._shop.record(
            AuditEvent(
                kind,
                user=self._request.requested_by or self._request.origin.value,
                action="C" if kind is EventKind.INSTANCES_TRANSFERRED else "R",
                patient_id=str(patient.get("PatientID") or ""),
                patient_name=str(patient.get("PatientName") or ""),
                study_instance_uids=(self._request.study_instance_uid,),
                instances=instances,
                model_uids=(self._plan.descriptor.identity.sop_instance_uid,),
                detail=f"job {self._request.job_id}{' on trial' if self._request.shadow else ''}: {detail}",
            )
        )

    @property
    def _models(self) -> Archive:
        return self._archive(self._shop.models_from or self._request.pacs)

    @property
    def _target(self) -> Archive:
        check_target(self._request, self._shop.shadow_archive)
        return self._archive(self._request.results_to)

    @cached_property
    def _policy(self) -> SitePolicy:
        return policy_for(self._request, self._shop.policy)

    def _archive(self, name: str) -> Archive:
        if name not in self._archives:
            self._archives[name] = self._opened.enter_context(self._shop.open_archive(name))
        return self._archives[name]

    @cached_property
    def _job(self) -> Job:
        return Job(
            self._subject(),
            self._models,
            self._shop.cache,
            self._policy,
            wanted_model=self._request.model,
            condition=self._request.condition,
            kind=SegKind(self._request.segmentation_type),
            results_to=self._target,
            trial=self._request.shadow,
        )

    def _subject(self) -> Subject:
        """The series, from this host's spool where it is whole there, else out of the archive."""
        request = self._request
        archive = self._archive(request.pacs)
        spooled = spool_folder(self._shop.spool, request.series_instance_uid, request.instances)
        if spooled is not None:
            return subject_in_folder(spooled, request.study_instance_uid, archive)
        named = f"{request.study_instance_uid}/{request.series_instance_uid}"
        return subject_of(named, archive, self._place.made(), progress=self._progress, cancel=self._cancel)

    def _selection(self) -> Selection:
        job = self._job
        selection = select_model(
            job.subject,
            job.archive,
            job.cache,
            job.policy,
            wanted_model=job.wanted_model,
            condition=job.condition,
            progress=self._progress,
        )
        further = set(selection.decision.inputs.values()) - set(selection.at_hand)
        at_hand = {uid: look_at(files) for uid in further for files in local_series(self._fetched(uid))}
        return replace(selection, at_hand={**selection.at_hand, **at_hand})

    def _fetched(self, series: str) -> Path:
        named = f"{self._request.study_instance_uid}/{series}"
        subject_of(
            named, self._archive(self._request.pacs), self._place.made(), progress=self._progress, cancel=self._cancel
        )
        return self._place.folder / "series" / series

    def _there(self, choice: Choice) -> Document:
        told = told_again(self._target, choice.wanted, choice.descriptor.card, self._place.results)
        return {"there": True, "findings": list(told.sentences), "warnings": list(told.warnings)}

    @property
    def _plan(self) -> Plan:
        """What was settled, made again from what is kept where another process settled it."""
        if self._settled is None:
            self._settled = self._settled_again(self.done[Step.SELECT])
        return self._settled

    def _settled_again(self, kept: Document) -> Plan:
        model = kept["model"]
        descriptor = read_descriptor(fetch_descriptor(self._models, model["study"], self._place.made()))
        if self._policy.admission is not None:
            self._policy.admission.check(descriptor)
        if descriptor.identity.manifest_sha256 != model["manifest_sha256"]:
            raise IntegrityError(
                f"the model {model['name']} in {self._models.name} changed since it was chosen for this job",
                expected=f"manifest {model['manifest_sha256']}",
                found=f"manifest {descriptor.identity.manifest_sha256}",
                remedy="Find out who replaced it: a release is never changed. Run `iodeep verify` on it.",
            )
        series = tuple(self._series(kept["inputs"][asked.name]) for asked in descriptor.card.inputs)
        kind = SegKind(kept["kind"])
        uids = uids_of_run(series, descriptor, kind, trial=self._request.shadow)
        if [uids.segmentation, uids.report] != kept["uids"]:
            raise InputError(
                "the series has changed since its model was chosen: it has other images now",
                remedy="Ask for it again: that is another job.",
            )
        trial = self._request.shadow
        return Plan(descriptor, series, kind, uids, kept["decided"], kept["record"], _moment(kept), trial)

    def _series(self, uid: str) -> ImageSeries:
        opened = self._opened_series
        if uid not in opened:
            (files,) = local_series(self._fetched(uid))
            opened[uid] = _certain(look_at(files).opened)
        return opened[uid]

    @cached_property
    def _opened_series(self) -> dict[str, ImageSeries]:
        """The series that was asked about, opened."""
        return {each.series_instance_uid: _certain(look_at(each).opened) for each in self._subject().series}

    def _obtain(self) -> Mapping[str, Path]:
        return obtain_model(
            self._models, self._plan.descriptor, self._shop.cache, progress=self._progress, cancel=self._cancel
        ).files

    def _predict(self) -> Prediction:
        volumes = volumes_of(self._plan, self._progress, self._cancel)
        policy = self._policy
        check_may_run(self._models, self._plan.descriptor, policy.trust, policy.admission, self._place.made())
        files = self._obtain()
        self._need_self_test(files)
        self._said = predicted(self._plan, files, volumes, self._shop.engine, self._progress, self._cancel)
        self._place.keep_prediction(self._said)
        return self._said

    def _check_still_may_run(self) -> None:
        """NotTrustedError where the model was stopped since; whom to trust was asked a moment ago where the network ran in this process."""
        policy = self._policy
        trust = None if self._said is not None else policy.trust
        check_may_run(self._models, self._plan.descriptor, trust, policy.admission, self._place.made())

    def _prediction(self) -> Prediction:
        return self._said or self._place.prediction() or self._predict()

    def _files(self) -> tuple[Path, ...]:
        uids = tuple(uid for each in reversed(self._plan.wanted) for uid in each.instances)
        files = self._place.result_files(uids)
        if files is None:
            self.build()
            files = self._place.result_files(uids)
            assert files is not None
        return files


def _settled_document(choice: Choice, plan: Plan) -> Document:
    """What is kept of the plan: with it, any process makes it again."""
    card, identity = plan.descriptor.card, plan.descriptor.identity
    return {
        "model": {
            "name": card.name,
            "version": str(card.version),
            "uid": identity.sop_instance_uid,
            "study": plan.descriptor.study_instance_uid,
            "manifest_sha256": identity.manifest_sha256,
        },
        "inputs": {asked.name: each.series_instance_uid for asked, each in zip(card.inputs, plan.series, strict=True)},
        "kind": plan.kind.value,
        "uids": [plan.uids.segmentation, plan.uids.report],
        "decided": plan.decided,
        "record": plan.record,
        "moment": plan.moment.isoformat(),
        "results": [each.model_dump(mode="json") for each in _references(choice)],
    }


def _references(choice: Choice) -> tuple[ResultRef, ...]:
    """The instances that the results are, the segmentation first."""
    classes = {
        choice.uids.segmentation: (segmentation_sop_class(choice.kind), "SEG"),
        choice.uids.report: (COMPREHENSIVE_3D_SR_STORAGE, "SR"),
    }
    return tuple(
        ResultRef(
            study_instance_uid=each.study,
            series_instance_uid=each.series or "",
            sop_instance_uid=uid,
            sop_class_uid=classes[uid][0],
            modality=classes[uid][1],
        )
        for each in reversed(choice.wanted)
        for uid in each.instances
    )


def _as_kept(plan: Plan, kept: Document) -> Plan:
    """The plan with what it says as it comes out of being kept, so that both are the same to the last digit."""
    return replace(plan, record=kept["record"], moment=_moment(kept))


def _moment(kept: Document) -> datetime:
    return datetime.fromisoformat(kept["moment"])


def _certain(opened: ImageSeries | None) -> ImageSeries:
    if opened is None:
        raise InputError("the series cannot be opened any more, though it could when its model was chosen")
    return opened


_STEPS: Mapping[Step, Callable[[JobSteps], Document]] = {
    Step.SELECT: JobSteps.select,
    Step.FETCH: JobSteps.fetch,
    Step.VERIFY: JobSteps.verify,
    Step.RUN: JobSteps.run,
    Step.BUILD: JobSteps.build,
    Step.STORE: JobSteps.store,
    Step.CONFIRM: JobSteps.confirm,
}
