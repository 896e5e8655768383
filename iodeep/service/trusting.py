"""Whether the site lets a model run, where models are chosen and run: by its trust policy, and by its register of states.

A model that would be chosen is judged before it is, and again right before its network is loaded, with the signatures that the archive
has then, the list of what is revoked and the register as they are then.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from iodeep.errors import ArchiveUnreachableError, IODeepError, LocalStorageError, NotTrustedError
from iodeep.model_object import (
    ModelDescriptor,
    ObjectKind,
    Signature,
    is_signature_series,
    read_descriptor,
    read_signature,
    recognise,
)
from iodeep.model_object.signature_object import MOST_SIGNATURES
from iodeep.ports import Archive, Level, Wanted
from iodeep.selection import Candidate, Decision, UnusableModel
from iodeep.service.admitting import Admission
from iodeep.service.library import fetch_descriptor
from iodeep.service.model_alerts import ModelAlerts
from iodeep.settings import Settings
from iodeep.trust.lifecycle import RegisteredRelease
from iodeep.trust_settings import TrustSettings

if TYPE_CHECKING:
    from iodeep.trust.lifecycle import Standing
    from iodeep.trust.policy import ModelInQuestion, TrustPolicy, TrustVerdict

NOT_ASKED = "Nobody asked who made this model: iodeep.toml says nothing of whom to trust ([trust])."


def policy_of(settings: Settings, *, serving: bool) -> TrustPolicy | None:
    """The policy of ``[trust]``. Where there is no such section nothing is asked; the service refuses what nobody signed.

    What was seen before, of the time and of lists of what is revoked, is remembered in the data folder.
    """
    if settings.trust is None and not serving:
        return None
    from iodeep.service.revoking import fetched_lists
    from iodeep.service.trust_memory import FileMemory, memory_folder
    from iodeep.trust.policy import trust_policy  # cryptography: only for those who have a policy

    folder = memory_folder(settings)
    return trust_policy(
        settings.trust or TrustSettings(research=True),
        serving=serving,
        memory=FileMemory(folder),
        fetched=fetched_lists(settings, folder),
    )


def signatures_in_archive(archive: Archive, study: str, workspace: Path) -> tuple[Signature, ...]:
    """All signatures that the archive has of the release that is the study ``study``, at most one more than are judged."""
    rows = archive.find(Level.SERIES, {"StudyInstanceUID": study}, ("SeriesInstanceUID", "SeriesNumber"))
    series = sorted({row["SeriesInstanceUID"] for row in rows if is_signature_series(row["SeriesNumber"])})
    found: list[Signature] = []
    for uid in series[: MOST_SIGNATURES + 1]:
        with tempfile.TemporaryDirectory(prefix="signature-", dir=workspace) as name:
            found += map(read_signature, sorted(archive.fetch(Wanted(study, uid), Path(name))))
    return tuple(found)


def signatures_in_files(paths: Iterable[Path]) -> tuple[Signature, ...]:
    """All signatures among files, and in folders."""
    files = (file for path in paths for file in (sorted(path.rglob("*")) if path.is_dir() else [path]))
    return tuple(
        read_signature(file) for file in files if file.is_file() and recognise(file).kind is ObjectKind.SIGNATURE
    )


def check_may_run(
    archive: Archive,
    descriptor: ModelDescriptor,
    trust: TrustPolicy | None,
    admission: Admission | None,
    workspace: Path,
) -> None:
    """Right before a network is loaded: NotTrustedError where the site does not accept the model, or has not approved it."""
    if admission is not None:
        admission.check(descriptor)
    check_trusted(archive, descriptor, trust, workspace)


def check_trusted(archive: Archive, descriptor: ModelDescriptor, trust: TrustPolicy | None, workspace: Path) -> None:
    """NotTrustedError where the site does not accept the model.

    What to know of one that it accepts stands in the notes of the decision by which it was chosen.
    """
    if trust is None:
        return
    from iodeep.trust.policy import ModelInQuestion

    workspace.mkdir(parents=True, exist_ok=True)
    signatures = signatures_in_archive(archive, descriptor.study_instance_uid, workspace)
    verdict = trust.judge(ModelInQuestion.of(descriptor), signatures, datetime.now(UTC))
    name = f"{descriptor.card.name} {descriptor.card.version}"
    if not verdict.accepted:
        raise NotTrustedError(f"the site does not trust {name}: {verdict.distrusted}")


class CandidateJudge:
    """Judges candidates of one archive, each once. ``alerts``: is told of those that the trust policy refuses."""

    def __init__(
        self,
        archive: Archive,
        folder: Path,
        trust: TrustPolicy | None,
        admission: Admission | None = None,
        alerts: ModelAlerts | None = None,
    ) -> None:
        self._archive = archive
        self._folder = folder
        self._trust = trust
        self._admission = admission
        self._alerts = alerts
        self._judged: dict[str, Candidate] = {}
        self._verdicts: dict[str, TrustVerdict] = {}

    @property
    def asks(self) -> bool:
        """Whether there is a policy, or a register to be obeyed."""
        return self._trust is not None or self._admission is not None

    def knows(self, candidate: Candidate) -> bool:
        """Whether it was judged."""
        return candidate.uid in self._judged

    def judged(self, candidate: Candidate) -> Candidate:
        """The candidate as the archive has it, with the reasons where the site does not let it run."""
        if not self.asks or candidate.identity is None:
            return candidate
        if candidate.uid not in self._judged:
            self._judged[candidate.uid] = self._trusted(self._admitted(candidate))
        return self._judged[candidate.uid]

    def warnings(self, candidate: Candidate) -> tuple[str, ...]:
        """What to know about a candidate that is accepted."""
        verdict = self._verdicts.get(candidate.uid)
        return tuple(f"{candidate.name}: {warning}." for warning in verdict.warnings) if verdict else ()

    @cached_property
    def _standings(self) -> Mapping[str, Standing]:
        return self._admission.standings() if self._admission is not None else {}

    def _admitted(self, candidate: Candidate) -> Candidate:
        """The candidate, with why it is not approved. One that seems to be replaced is looked at as the archive has it now."""
        if self._admission is None:
            return candidate
        standing = self._standings.get(candidate.uid)
        if standing is not None and standing.release.manifest_sha256 != _manifest(candidate):
            try:
                candidate = self._as_it_is(candidate)
            except (ArchiveUnreachableError, LocalStorageError):
                raise
            except IODeepError as error:
                return replace(candidate, unapproved=str(error).rstrip("."))
        assert candidate.identity is not None
        release = RegisteredRelease.of_identity(candidate.identity, candidate.study_instance_uid)
        reason = self._admission.objection(release, standing)
        return replace(candidate, unapproved=reason) if reason else candidate

    def _as_it_is(self, candidate: Candidate) -> Candidate:
        """What the archive has under the candidate's study: the local index knows it from before."""
        with tempfile.TemporaryDirectory(prefix="judged-", dir=self._made_folder()) as name:
            descriptor = read_descriptor(fetch_descriptor(self._archive, candidate.study_instance_uid, Path(name)))
        return Candidate(
            descriptor.card,
            identity=descriptor.identity,
            where=candidate.where,
            total_bytes=descriptor.total_bytes,
            study_instance_uid=candidate.study_instance_uid,
        )

    def _trusted(self, candidate: Candidate) -> Candidate:
        """The candidate, with why the trust policy refuses it. What cannot be read distrusts; an archive that is away, or a full disk, ends the choice."""
        if self._trust is None:
            return candidate
        try:
            signatures = signatures_in_archive(self._archive, candidate.study_instance_uid, self._made_folder())
        except (ArchiveUnreachableError, LocalStorageError):
            raise
        except IODeepError as error:
            return self._distrusted(candidate, str(error).rstrip("."))
        verdict = self._trust.judge(_in_question(candidate), signatures, datetime.now(UTC))
        if verdict.distrusted:
            return self._distrusted(candidate, verdict.distrusted)
        self._verdicts[candidate.uid] = verdict
        return candidate

    def _distrusted(self, candidate: Candidate, reason: str) -> Candidate:
        if self._alerts is not None and not candidate.unapproved:
            self._alerts.distrusted(candidate.uid, f"the site does not trust {candidate.name}: {reason}")
        return replace(candidate, distrusted=reason)

    def _made_folder(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder


def _manifest(candidate: Candidate) -> str:
    return candidate.identity.manifest_sha256 if candidate.identity else ""


def _in_question(candidate: Candidate) -> ModelInQuestion:
    from iodeep.trust.policy import ModelInQuestion

    assert candidate.identity is not None
    return ModelInQuestion(candidate.card, candidate.identity.manifest_sha256)


def decided_by_trust(
    decide: Callable[[Sequence[Candidate | UnusableModel]], Decision],
    candidates: Sequence[Candidate | UnusableModel],
    judge: CandidateJudge,
    *,
    every_candidate: bool = False,
) -> Decision:
    """The decision among those that the site lets run: what would fit is judged, until nothing fits that was not.

    What doesn't fit anyway is not asked about, but where every candidate is to have its reasons.
    """
    if not judge.asks:
        return decide(candidates)
    among = [judge.judged(each) if every_candidate and isinstance(each, Candidate) else each for each in candidates]
    while True:
        decision = decide(among)
        fitting = [each for each in (decision.chosen, *decision.also_fits) if each is not None]
        asked = {each.uid for each in fitting if each.identity is not None and not judge.knows(each)}
        if not asked:
            break
        among = [judge.judged(each) if isinstance(each, Candidate) and each.uid in asked else each for each in among]
    told = judge.warnings(decision.chosen) if decision.chosen else ()
    return replace(decision, notes=(*decision.notes, *told))
