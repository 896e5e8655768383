"""Where a model stands at this site, and its change by an administrator; the register's rules decide whether it may be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Body
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from iodeep.errors import InputError, NotTrustedError, SettingsError
from iodeep.service.access import Principal
from iodeep.service.access.principal import ANONYMOUS
from iodeep.service.api.parameters import Uid
from iodeep.service.api.problems import ConflictError, NotFoundError
from iodeep.service.api.state import Administrator, ApiState, State, Viewer
from iodeep.service.serving.shadow import need_shadow_archive
from iodeep.trust.lifecycle import ModelState, Register, Standing, StateRecord, objection
from iodeep.trust.lifecycle.record import SUBJECT
from iodeep.trust.lifecycle.rules import check_is_person

router = APIRouter(prefix="/models", tags=["models"])


class WantedState(StrEnum):
    """What a person can ask for; the states between are what checks found."""

    QUARANTINED = "quarantined"
    SHADOW = "shadow"
    APPROVED = "approved"
    RETIRED = "retired"
    REVOKED = "revoked"


class StateAsk(BaseModel):
    """A change of state."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "state": "approved",
                    "reason": "agreed with our readers in 40 of 40 trials",
                    "manifest_sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
                }
            ]
        },
    )

    state: WantedState
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=1000)] = Field(
        description="Kept in the register and the audit log."
    )
    manifest_sha256: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = Field(
        default="", description="Of the content that was looked at; needed for `shadow` and `approved`."
    )
    skip_shadow: bool = Field(default=False, description="Approve what never ran as a shadow; say why in the reason.")


class StateChange(BaseModel):
    """A record of the register."""

    sequence: int = Field(description="Place in the site's chain.")
    sha256: str = Field(description="By which the next record names it.")
    at: datetime
    by: str
    before: str | None = Field(description="Null: the site did not know the release.")
    wanted: str
    after: str = Field(description="Other than `wanted` where an approval waits for another.")
    reason: str
    evidence: dict[str, str]


class ModelStateOut(BaseModel):
    """Where a release stands, and what led there."""

    sop_instance_uid: str
    study_instance_uid: str
    name: str
    manifest_sha256: str
    state: str
    since: datetime
    by: str
    reason: str
    approved_by: list[str] = Field(description="Who has approved it; before it is `approved`: who has so far.")
    runs: bool = Field(description="Whether it may run, with results for everybody.")
    why_not: str | None
    history: list[StateChange] = Field(description="Each record, the first first.")


@router.get(
    "/{uid}/state",
    operation_id="getModelState",
    summary="Where a model stands",
    responses={404: {"description": "This site has not registered such a model."}},
)
async def get(uid: Uid, state: State, _caller: Viewer) -> ModelStateOut:
    """The state of a release (by descriptor or study) at this site, and every record that led there."""
    return await state.database.run(_told, state, uid)


@router.post(
    "/{uid}/state",
    operation_id="changeModelState",
    summary="Change where a model stands",
    responses={
        404: {"description": "This site has not registered such a model."},
        409: {"description": "The register's rules do not allow it; `detail` and `remedy` say why."},
    },
)
async def change(uid: Uid, ask: Annotated[StateAsk, Body()], state: State, caller: Administrator) -> ModelStateOut:
    """Put a release to quarantine, on trial, approve, retire or revoke it. It is recorded under the caller's name.

    Where two people have to approve, two callers do: the first approval is recorded and changes nothing yet.
    """
    return await state.database.run(_changed, state, uid, ask, caller)


def _changed(state: ApiState, uid: str, ask: StateAsk, caller: Principal) -> ModelStateOut:
    known, wanted = _standing(state, uid), ModelState(ask.state.value)
    with _rules_are_conflicts():
        if caller.proof == ANONYMOUS:
            raise NotTrustedError(
                "nobody who is not signed in changes where a model stands",
                remedy="Sign in, or bring an administrator's API key (`iodeep keys add NAME --role administrator`).",
            )
        check_is_person(caller.name)
        if wanted is ModelState.SHADOW:
            need_shadow_archive(state.context.settings, known.release.name)
        _register(state).change(
            known.release.sop_instance_uid,
            wanted,
            by=caller.name,
            reason=ask.reason,
            evidence={"signed in by": caller.proof, **({SUBJECT: caller.subject} if caller.subject else {})},
            manifest_sha256=ask.manifest_sha256,
            skip_shadow=ask.skip_shadow,
            signed_in=True,
        )
    return _told(state, uid)


def _told(state: ApiState, uid: str) -> ModelStateOut:
    standing = _standing(state, uid)
    release = standing.release
    why_not = objection(standing, release.manifest_sha256)
    return ModelStateOut(
        sop_instance_uid=release.sop_instance_uid,
        study_instance_uid=release.study_instance_uid,
        name=release.name,
        manifest_sha256=release.manifest_sha256,
        state=standing.state.value,
        since=standing.since,
        by=standing.by,
        reason=standing.reason,
        approved_by=list(standing.approved_by),
        runs=not why_not,
        why_not=why_not or None,
        history=[_change(record) for record in _register(state).history(release.sop_instance_uid)],
    )


def _change(record: StateRecord) -> StateChange:
    return StateChange(
        sequence=record.sequence,
        sha256=record.sha256,
        at=record.at,
        by=record.by,
        before=record.before.value if record.before else None,
        wanted=record.wanted.value,
        after=record.after.value,
        reason=record.reason,
        evidence=record.evidence,
    )


def _register(state: ApiState) -> Register:
    if state.register is None:
        raise ConflictError(
            "models need not be approved at this site, and so stand nowhere",
            expected="required = true under [lifecycle] in iodeep.toml, which is what holds without that section",
            found="required = false",
        )
    return state.register


def _standing(state: ApiState, uid: str) -> Standing:
    for each in _register(state).standings():
        if uid in (each.release.sop_instance_uid, each.release.study_instance_uid):
            return each
    raise NotFoundError(
        f"this site has not registered a model {uid}",
        remedy="`iodeep states` lists those that it has; `iodeep import` and `iodeep approve` register one.",
    )


@contextmanager
def _rules_are_conflicts() -> Iterator[None]:
    try:
        yield
    except (InputError, NotTrustedError, SettingsError) as error:
        raise ConflictError(error.problem, expected=error.expected, found=error.found, remedy=error.remedy) from error
