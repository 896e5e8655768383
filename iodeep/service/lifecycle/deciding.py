"""Deciding about a model: what has to hold before somebody may is looked at first, here and now, and recorded step by step.

Whatever fails on the way leaves the model in quarantine, with the reason; nothing is decided then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from iodeep.errors import InferenceError, InputError, IntegrityError, NotTrustedError, ObjectError, SettingsError
from iodeep.inference import Engine
from iodeep.model_object import ModelDescriptor, read_descriptor
from iodeep.ports import Archive, ProgressSink, no_progress
from iodeep.service.jobs.self_tests import SelfTestTable
from iodeep.service.library import fetch_descriptor, fetch_model, read_model
from iodeep.service.lifecycle.site_register import SiteRegister
from iodeep.service.self_testing import SelfTestResult, self_tested
from iodeep.service.verifying import ContentVerdict, verify_content
from iodeep.trust import Check
from iodeep.trust.lifecycle import SERVICE, ModelState, RegisteredRelease, Standing
from iodeep.trust.lifecycle.personal import sign_decision
from iodeep.trust.lifecycle.rules import Rollback, SiteRules, check_is_person
from iodeep.trust.signatures import SigningKey

if TYPE_CHECKING:
    from iodeep.trust.lifecycle import PersonalSignature, StateRecord
    from iodeep.trust.policy import TrustPolicy

_BEFORE_SELF_TESTED = (ModelState.RECEIVED, ModelState.QUARANTINED, ModelState.VERIFIED)


@dataclass(frozen=True)
class Decider:
    """Who decides, why, and with which key of their own, where they have one."""

    name: str
    reason: str
    key: SigningKey | None = None
    login: str = ""
    """As the system knows them, whatever they call themselves."""

    def __post_init__(self) -> None:
        check_is_person(self.name)

    @property
    def evidence(self) -> dict[str, str]:
        """What the record tells of who it was, besides the name."""
        return {"login": self.login} if self.login else {}

    def sign(self, last: StateRecord, to: ModelState) -> PersonalSignature:
        """Their signature for a change of the release with this newest record."""
        assert self.key is not None
        return sign_decision(last, to, self.key, by=self.name, reason=self.reason)


@dataclass(frozen=True)
class Decided:
    """What a decision came to, and what was checked for it."""

    standing: Standing
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Surroundings:
    """What is needed to look at a model."""

    archive: Archive
    register: SiteRegister
    engine: Engine
    workspace: Path
    trust: TrustPolicy | None = None
    progress: ProgressSink = no_progress


class NotGoodEnoughError(NotTrustedError):
    """A model that somebody would have approved does not hold, and is in quarantine."""

    def __init__(self, name: str, checks: Sequence[Check]) -> None:
        failed = [check.sentence.rstrip(".") for check in checks if not check.holds]
        super().__init__(
            f"{name} is not approved, and stays in quarantine: {'; '.join(failed)}",
            remedy="`iodeep states UID` shows what was found. Once the cause is gone, approve it again.",
        )
        self.checks = tuple(checks)


def name_of(rules: SiteRules, key: SigningKey | None, given: str | None, login: str) -> str:
    """Who decides: as they say, as the settings call the owner of their key, or as they are logged in."""
    if given:
        return given
    if key is not None:
        public = key.private.public_key()
        owner = next((person.rules.name for person in rules.people if person.public == public), None)
        if owner is None and rules.people:
            raise InputError(
                "the key is of nobody whom iodeep.toml names",
                expected=" or ".join(person.rules.name for person in rules.people),
                remedy="Add its public half under [[lifecycle.people]], or give another key.",
            )
        return owner or login
    return login


def promote(around: Surroundings, uid: str, to: ModelState, who: Decider, *, skip_shadow: bool = False) -> Decided:
    """Make a model a shadow, or approve it; what it has not passed yet is done first. ``uid``: of its study or descriptor.

    Errors: :class:`NotGoodEnoughError` where something doesn't hold; NotTrustedError for what the rules don't allow.
    """
    if to is ModelState.SHADOW and not around.register.rules.settings.shadow_archive:
        raise SettingsError(
            "there is no archive for the results of shadows",
            remedy="Name one that nobody is treated by: shadow_archive under [lifecycle] in iodeep.toml.",
        )
    descriptor, standing = _noticed(around, uid, who)
    checks: tuple[Check, ...] = ()
    if standing.state in _BEFORE_SELF_TESTED:
        checks = _looked_at(around, descriptor, standing, who)
    return Decided(change(around.register, RegisteredRelease.of(descriptor), to, who, skip_shadow=skip_shadow), checks)


def change(
    register: SiteRegister, release: RegisteredRelease, to: ModelState, who: Decider, *, skip_shadow: bool = False
) -> Standing:
    """One change by a person, signed where they have a key."""
    last = register.history(release.sop_instance_uid)[-1:]
    return register.change(
        release.sop_instance_uid,
        to,
        by=who.name,
        reason=who.reason,
        evidence=who.evidence,
        manifest_sha256=release.manifest_sha256,
        skip_shadow=skip_shadow,
        signature=who.sign(last[0], to) if who.key and last else None,
    )


def registered(register: SiteRegister, uid: str) -> Standing | None:
    """The release that a UID names, of its descriptor or study; None where it is not registered."""
    return next((each for each in register.standings() if is_named(each.release, uid)), None)


def is_named(release: RegisteredRelease, uid: str) -> bool:
    """Whether the UID is the release's."""
    return uid in (release.sop_instance_uid, release.study_instance_uid)


def notice(archive: Archive, register: SiteRegister, uid: str, workspace: Path, by: str) -> ModelDescriptor:
    """The descriptor that the archive has now; the register knows it once this returns."""
    descriptor = read_model(archive, uid, workspace)
    register.receive(RegisteredRelease.of(descriptor), by, f"seen in {archive.name}")
    return descriptor


def roll_back(
    archive: Archive, register: SiteRegister, model: str, who: Decider, workspace: Path
) -> tuple[Standing, Standing]:
    """Take the newest approved release back, after a look at whether the one before it is in the archive as it was approved."""
    plan = register.rollback_plan(model)
    _check_still_there(archive, plan, workspace)
    signer = who.sign if who.key else None
    return register.rollback(model, by=who.name, reason=who.reason, evidence=who.evidence, signer=signer, planned=plan)


def _noticed(around: Surroundings, uid: str, who: Decider) -> tuple[ModelDescriptor, Standing]:
    descriptor = notice(around.archive, around.register, uid, around.workspace, who.name)
    standing = around.register.standing(descriptor.identity.sop_instance_uid)
    assert standing is not None  # it was just noticed
    return descriptor, standing


def _looked_at(
    around: Surroundings, descriptor: ModelDescriptor, standing: Standing, who: Decider
) -> tuple[Check, ...]:
    """Every check up to the self-test, each step recorded."""
    release = standing.release
    content = _content(around, release)
    checks = (*content.content, *content.signatures)
    _record(around, release, ModelState.VERIFIED, standing.state, checks, _told(content), who)
    check, evidence = _self_test(around, descriptor, content.files)
    _record(around, release, ModelState.SELF_TESTED, ModelState.VERIFIED, (check,), evidence, who)
    return (*checks, check)


def _content(around: Surroundings, release: RegisteredRelease) -> ContentVerdict:
    """Digests, structure and trust of what the archive has, which has to be what was noticed; damage is a check that failed."""
    folder, payload = around.workspace / "object", around.workspace / "payload"
    try:
        local = fetch_model(around.archive, release.study_instance_uid, folder, progress=around.progress)
        if RegisteredRelease.of(read_descriptor(local.descriptor_path)) != release:
            raise IntegrityError("it was replaced in the archive while it was looked at")
        return verify_content(
            local.descriptor_path, local.part_paths, payload, trust=around.trust, progress=around.progress
        )
    except ObjectError as error:
        return ContentVerdict(None, (Check("content", False, str(error)),))


def _self_test(
    around: Surroundings, descriptor: ModelDescriptor, files: Mapping[str, Path]
) -> tuple[Check, dict[str, str]]:
    """The self-test in the contained runtime of this host; its result is kept for the service too."""
    try:
        tested = self_tested(descriptor, files, around.engine)
    except InferenceError as error:
        return Check("self-test", False, f"The self-test could not be run: {error}"), {}
    SelfTestTable(around.register.engine).keep(tested)
    return Check("self-test", tested.passed, tested.sentence), _evidence(tested)


def _record(
    around: Surroundings,
    release: RegisteredRelease,
    to: ModelState,
    state: ModelState,
    checks: Sequence[Check],
    evidence: Mapping[str, str],
    who: Decider,
) -> None:
    """The step where all checks hold, else quarantine and an error. One that was taken before is not taken again."""
    good = bool(checks) and all(check.holds for check in checks)
    if good and state is to:
        return
    reason = f"for {who.name}: " + ("all checks hold" if good else _failures(checks))
    around.register.change(
        release.sop_instance_uid,
        to if good else ModelState.QUARANTINED,
        by=SERVICE,
        reason=reason,
        evidence=evidence,
        manifest_sha256=release.manifest_sha256,
    )
    if not good:
        raise NotGoodEnoughError(release.name, checks)


def _failures(checks: Sequence[Check]) -> str:
    return " ".join(check.sentence for check in checks if not check.holds)[:3000] or "nothing could be checked"


def _told(verdict: ContentVerdict) -> dict[str, str]:
    content, trust = (" ".join(check.sentence for check in each) for each in (verdict.content, verdict.signatures))
    return {"content": content} | ({"trust": trust} if trust else {})


def _evidence(result: SelfTestResult) -> dict[str, str]:
    return {
        "self-test": result.sentence,
        "runtime": str(result.runtime),
        "provider": result.runtime.provider,
        "fingerprint": result.fingerprint,
        "host": result.host,
    }


def _check_still_there(archive: Archive, plan: Rollback, workspace: Path) -> None:
    release = plan.older.release
    try:
        found = RegisteredRelease.of(read_descriptor(fetch_descriptor(archive, release.study_instance_uid, workspace)))
    except InputError as error:
        raise NotTrustedError(
            f"{release.name} is not in {archive.name} any more: nothing was taken back",
            remedy="Store it again, or stop the newest with `iodeep quarantine`.",
        ) from error
    if found != release:
        raise NotTrustedError(
            f"{release.name} was replaced in {archive.name}: nothing was taken back",
            expected=f"manifest {release.manifest_sha256}",
            found=f"manifest {found.manifest_sha256}",
            remedy="Find out who stored it. `iodeep quarantine` stops the newest.",
        )
