"""The states of a model at a site, and whether one in such a state may run. Only what is approved runs; doubt doesn't."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, StringConstraints

from iodeep.model_object import ModelDescriptor, ModelIdentity
from iodeep.model_object.manifest import UID, Sha256

SERVICE = "service"
"""Who does what no person does: arrival, checks, quarantine. No person may be called so."""


class ModelState(StrEnum):
    """Where a release stands at this site."""

    RECEIVED = "received"
    QUARANTINED = "quarantined"
    VERIFIED = "verified"
    """Digests, structure and the trust policy hold."""
    SELF_TESTED = "self-tested"
    """Its self-test gives here what was recorded."""
    SHADOW = "shadow"
    """It runs, and its results go to an archive of their own where nobody is treated by them."""
    APPROVED = "approved"
    RETIRED = "retired"
    REVOKED = "revoked"


class RegisteredRelease(BaseModel):
    """A release as the register names it: its descriptor's UIDs, and the digest that pins all of its content."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sop_instance_uid: UID
    """Of the descriptor."""
    study_instance_uid: UID
    manifest_sha256: Sha256
    device_uid: UID
    """Of this version (0018,1002)."""
    family_uid: UID
    """Manufacturer's Device Class UID (0018,100B)."""
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """Name and version, as people read it."""

    @classmethod
    def of(cls, descriptor: ModelDescriptor) -> Self:
        """The release of a descriptor that was read, and so checked."""
        return cls.of_identity(descriptor.identity, descriptor.study_instance_uid)

    @classmethod
    def of_identity(cls, identity: ModelIdentity, study_instance_uid: str) -> Self:
        """The release that results would name so."""
        return cls(
            sop_instance_uid=identity.sop_instance_uid,
            study_instance_uid=study_instance_uid,
            manifest_sha256=identity.manifest_sha256,
            device_uid=identity.device_uid,
            family_uid=identity.device_class_uid,
            name=f"{identity.name} {identity.version}",
        )

    @property
    def model(self) -> str:
        """The model's name without its version."""
        return self.name.rpartition(" ")[0]


@dataclass(frozen=True)
class Standing:
    """Where a release stands, since when, by whom and why."""

    release: RegisteredRelease
    state: ModelState
    since: datetime
    by: str
    reason: str
    approved_by: tuple[str, ...] = ()
    """Who has approved it; in a state before ``approved``: who has, while others have yet to."""


def goes_without_shadow(before: ModelState | None, wanted: ModelState) -> bool:
    """Whether a release is approved that never ran as a shadow."""
    return before is ModelState.SELF_TESTED and wanted is ModelState.APPROVED


def objection(standing: Standing | None, manifest_sha256: str) -> str:
    """Why the release may not run as an approved one; empty where it may. ``manifest_sha256``: of what would be run."""
    if standing is None:
        return "it was never registered at this site: `iodeep approve` checks it and approves it, `iodeep states` shows all"
    said = f"by {standing.by} on {standing.since:%Y-%m-%d} ({standing.reason})"
    if standing.release.manifest_sha256 != manifest_sha256:
        return (
            "it was REPLACED: the archive has other content under the same SOP Instance UID than the one that this site"
            f" registered (manifest {standing.release.manifest_sha256}): find out who stored it, and store the release again"
        )
    return {
        ModelState.RECEIVED: f"it was received {said} and nobody has checked it: `iodeep approve` does",
        ModelState.QUARANTINED: f"it is in quarantine, put there {said}: find out why; `iodeep approve` checks it anew",
        ModelState.VERIFIED: "it was verified, and its self-test was not run here yet: `iodeep approve` runs it",
        ModelState.SELF_TESTED: "it passed its self-test here, and nobody has approved it: `iodeep shadow` or `iodeep approve`",
        ModelState.SHADOW: f"it runs as a shadow only, set so {said}: its results are not to be shown before `iodeep approve`",
        ModelState.APPROVED: "",
        ModelState.RETIRED: f"it was retired {said}: use the release that took its place",
        ModelState.REVOKED: f"it was revoked {said}: use another model, and take this one out of the archive",
    }[standing.state]
