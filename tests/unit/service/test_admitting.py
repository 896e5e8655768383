"""Only what is approved runs, as it was approved; what was replaced is put to quarantine by whoever notices it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from iodeep.errors import NotTrustedError
from iodeep.service.admitting import Admission
from iodeep.service.audit import EventKind, Outcome
from iodeep.service.lifecycle.site_register import SiteRegister
from iodeep.service.model_alerts import ModelAlerts
from iodeep.trust.lifecycle import SERVICE, ModelState, RegisteredRelease
from tests.unit.service.lifecycle.registers import Events, approved, change, register, release, to_self_tested

IT = release()


@dataclass
class Site:
    """A register and the alerts."""

    register: SiteRegister
    events: Events

    @property
    def admission(self) -> Admission:
        return Admission(self.register, ModelAlerts(self.events.record))

    def objection(self, what: RegisteredRelease = IT, *, shadow: bool = False) -> str:
        admission = self.admission.for_shadow() if shadow else self.admission
        return admission.objection(what, admission.standings().get(what.sop_instance_uid))

    @property
    def state(self) -> ModelState | None:
        standing = self.register.standing(IT.sop_instance_uid)
        return standing.state if standing else None


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    events = Events()
    with register(tmp_path) as opened:
        yield Site(opened, events)


def test_what_is_approved_runs(site: Site) -> None:
    assert "never registered" in site.objection()
    to_self_tested(site.register, IT)
    assert "nobody has approved it" in site.objection()
    change(site.register, IT, ModelState.APPROVED)

    assert site.objection() == ""
    assert not site.events.events


def test_what_is_retired_or_on_trial_does_not_run(site: Site) -> None:
    approved(site.register, IT)
    for state, words in ((ModelState.SHADOW, "as a shadow only"), (ModelState.RETIRED, "was retired")):
        change(site.register, IT, state)
        assert words in site.objection()


def test_trials_are_of_what_is_on_trial_and_of_nothing_else(site: Site) -> None:
    assert "never registered" in site.objection(shadow=True)
    approved(site.register, IT)
    assert "run for real" in site.objection(shadow=True)
    change(site.register, IT, ModelState.SHADOW)

    assert site.objection(shadow=True) == ""


@pytest.mark.parametrize("shadow", [False, True])
def test_what_was_replaced_is_in_quarantine_and_an_alert(site: Site, shadow: bool) -> None:
    approved(site.register, IT)
    change(site.register, IT, ModelState.SHADOW if shadow else ModelState.QUARANTINED)
    other = IT.model_copy(update={"manifest_sha256": "f" * 64})

    assert "REPLACED" in site.objection(other, shadow=shadow)
    assert site.state is ModelState.QUARANTINED
    (alert,) = site.events.events
    assert (alert.kind, alert.outcome, alert.event_type) == (
        EventKind.SECURITY_ALERT,
        Outcome.SERIOUS_FAILURE,
        "110135",
    )
    assert alert.model_uids == (IT.sop_instance_uid,)
    assert "in quarantine" in site.objection(other)


def test_an_alert_is_told_again_after_an_hour_and_not_before() -> None:
    now = [0.0]
    events = Events()
    alerts = ModelAlerts(events.record, lambda: now[0])
    for moment in (0.0, 1.0, 3599.0, 3700.0):
        now[0] = moment
        alerts.distrusted("1.2", "nobody signed it")
    alerts.distrusted("1.2", "another reason")

    assert [each.detail for each in events.events] == ["nobody signed it", "nobody signed it", "another reason"]


def test_the_service_itself_approves_nothing(site: Site) -> None:
    to_self_tested(site.register, IT)

    with pytest.raises(NotTrustedError, match="never makes a model approved"):
        site.register.change(
            IT.sop_instance_uid,
            ModelState.APPROVED,
            by=SERVICE,
            reason="why not",
            manifest_sha256=IT.manifest_sha256,
            skip_shadow=True,
        )
