"""Whether a model may run by the site's register of states: asked where models are chosen, and again before a network is loaded.

Only what is approved runs, and only with the content that was approved. Other content under the same SOP Instance UID, which some
archives take without a word, is put to quarantine by whoever notices it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from iodeep.errors import NotApprovedError
from iodeep.model_object import ModelDescriptor
from iodeep.service.model_alerts import ModelAlerts
from iodeep.trust.lifecycle import SERVICE, ModelState, RegisteredRelease, Standing, objection

if TYPE_CHECKING:
    from iodeep.trust.lifecycle import Register


@dataclass(frozen=True)
class Admission:
    """What the register says, for one kind of runs: those for real, or those of a trial (``shadow``)."""

    register: Register
    alerts: ModelAlerts
    shadow: bool = False

    def for_shadow(self) -> Admission:
        """The same for trials: nothing but models in the state ``shadow`` may run then."""
        return replace(self, shadow=True)

    def standings(self) -> Mapping[str, Standing]:
        """Where each release stands, by SOP Instance UID."""
        return {each.release.sop_instance_uid: each for each in self.register.standings()}

    def states(self) -> Mapping[str, str]:
        """The state of each release, by SOP Instance UID."""
        return {uid: standing.state.value for uid, standing in self.standings().items()}

    def objection(self, release: RegisteredRelease, standing: Standing | None) -> str:
        """Why it may not run, without a full stop; empty where it may. What was replaced is in quarantine once this returns."""
        reason = objection(standing, release.manifest_sha256)
        if standing is None:
            return reason
        if standing.release.manifest_sha256 != release.manifest_sha256:
            self.alerts.replaced(release.sop_instance_uid, f"{release.name}: {reason}")
            self.register.receive(release, SERVICE, "its content in the archive was replaced")
            return reason
        if not self.shadow:
            return reason
        if standing.state is ModelState.SHADOW:
            return ""
        return reason or "it is approved, and so is run for real and not on trial"

    def check(self, descriptor: ModelDescriptor) -> None:
        """:class:`iodeep.errors.NotApprovedError` where it may not run."""
        release = RegisteredRelease.of(descriptor)
        reason = self.objection(release, self.register.standing(release.sop_instance_uid))
        if reason:
            raise NotApprovedError(f"{release.name} may not run at this site: {reason}")
