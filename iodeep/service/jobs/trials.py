"""Trials: a model in the state ``shadow`` runs beside what is approved, in jobs of its own, and nobody is treated by what it says.

Its results go to one archive, which is not a clinical one, are marked as research, and bear UIDs that no run for real ever has.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from iodeep.errors import IODeepError, NotApprovedError, SettingsError
from iodeep.selection import Decision
from iodeep.service.choosing import Job
from iodeep.service.jobs.request import JobRequest, Priority
from iodeep.service.selecting import SitePolicy, select_model
from iodeep.trust.lifecycle import ModelState

if TYPE_CHECKING:
    from iodeep.service.jobs.steps import Workshop

log = logging.getLogger(__name__)

NOTE = "A trial: this model is not approved at this site. Nobody may be treated by its results."


def begin_trials(request: JobRequest, job: Job, shop: Workshop) -> None:
    """Ask for a trial of each model in the state ``shadow`` that fits the job's series; a trial itself begins none.

    What goes wrong with trials takes nothing from the job.
    """
    admission = shop.policy.admission
    if request.shadow or admission is None:
        return
    try:
        if not any(each.state is ModelState.SHADOW for each in admission.standings().values()):
            return
        if not shop.shadow_archive:
            log.warning("models are in the state shadow, and no [lifecycle] shadow_archive says where their results go")
            return
        for trial in _trials(request, job, shop):
            shop.submit(trial)
    except IODeepError as error:
        log.warning("no model was tried beside job %s: %s", request.job_id, error)


def _trials(request: JobRequest, job: Job, shop: Workshop) -> list[JobRequest]:
    policy = replace(shop.policy, admission=shop.policy.admission and shop.policy.admission.for_shadow())
    decision = select_model(
        job.subject, job.archive, job.cache, policy, wanted_model=job.wanted_model, condition=job.condition
    ).decision
    fitting = [each for each in (decision.chosen, *decision.also_fits) if each is not None]
    return [
        request.model_copy(
            update={
                "model": each.uid,
                "shadow": True,
                "results_to": shop.shadow_archive,
                "priority": Priority.BATCH,
            }
        )
        for each in fitting
    ]


def policy_for(request: JobRequest, policy: SitePolicy) -> SitePolicy:
    """The policy of the job. NotApprovedError for a trial at a site that does not ask who approved what."""
    if not request.shadow:
        return policy
    if policy.admission is None:
        raise NotApprovedError(
            "a model cannot be tried where models need not be approved",
            remedy="Take required = false out of [lifecycle] in iodeep.toml, or ask for the run for real.",
        )
    return replace(policy, admission=policy.admission.for_shadow())


def check_target(request: JobRequest, shadow_archive: str) -> None:
    """SettingsError where a trial's results would go anywhere but to the archive of trials."""
    if request.shadow and (not shadow_archive or request.results_to != shadow_archive):
        raise SettingsError(
            "the results of a trial are not written to this archive",
            expected=shadow_archive or "a shadow_archive under [lifecycle] in iodeep.toml",
            found=request.results_to,
            remedy="Ask for the series again: its trials are begun anew.",
        )


def as_trial(decision: Decision) -> Decision:
    """The decision, which says what it is."""
    return replace(decision, notes=(*decision.notes, NOTE))
