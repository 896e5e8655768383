"""The site's trust policy where models are chosen and run: signatures are found beside a model, and judged, each time anew.

Without ``[trust]`` nothing is asked. With it, a model that would be chosen is judged before it is, and again right before its
network is loaded, with the signatures that the archive has then and the list of what is revoked as it is then.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from iodeep.errors import ArchiveUnreachableError, IODeepError, LocalStorageError, NotTrustedError
from iodeep.model_object import (
    ModelDescriptor,
    ObjectKind,
    Signature,
    is_signature_series,
    read_signature,
    recognise,
)
from iodeep.model_object.signature_object import MOST_SIGNATURES
from iodeep.ports import Archive, Level, Wanted
from iodeep.selection import Candidate, Decision, UnusableModel
from iodeep.trust_settings import TrustSettings

if TYPE_CHECKING:
    from iodeep.trust.policy import ModelInQuestion, TrustPolicy, TrustVerdict

NOT_ASKED = "Nobody asked who made this model: iodeep.toml says nothing of whom to trust ([trust])."


def policy_of(settings: TrustSettings | None, *, serving: bool) -> TrustPolicy | None:
    """The policy of ``[trust]``, None where there is no such section."""
    if settings is None:
        return None
    from iodeep.trust.policy import trust_policy  # cryptography: only for those who have a policy

    return trust_policy(settings, serving=serving)


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


def check_trusted(archive: Archive, descriptor: ModelDescriptor, trust: TrustPolicy | None, workspace: Path) -> None:
    """Right before a network is loaded: NotTrustedError where the site does not accept the model.

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
    """Judges candidates of one archive, each once."""

    def __init__(self, archive: Archive, trust: TrustPolicy | None, folder: Path) -> None:
        self._archive = archive
        self._trust = trust
        self._folder = folder
        self._verdicts: dict[str, TrustVerdict | str] = {}

    @property
    def asks(self) -> bool:
        """Whether there is a policy."""
        return self._trust is not None

    def knows(self, candidate: Candidate) -> bool:
        """Whether it was judged."""
        return candidate.uid in self._verdicts

    def judged(self, candidate: Candidate) -> Candidate:
        """The candidate, with the reason where the site does not trust it."""
        if self._trust is None or candidate.identity is None:
            return candidate
        if candidate.uid not in self._verdicts:
            self._verdicts[candidate.uid] = self._verdict(candidate, self._trust)
        verdict = self._verdicts[candidate.uid]
        distrusted = verdict if isinstance(verdict, str) else verdict.distrusted
        return replace(candidate, distrusted=distrusted) if distrusted else candidate

    def warnings(self, candidate: Candidate) -> tuple[str, ...]:
        """What to know about a candidate that is accepted."""
        verdict = self._verdicts.get(candidate.uid)
        if verdict is None or isinstance(verdict, str):
            return ()
        return tuple(f"{candidate.name}: {warning}." for warning in verdict.warnings)

    def _verdict(self, candidate: Candidate, trust: TrustPolicy) -> TrustVerdict | str:
        """What cannot be read distrusts; an archive that is away, or a full disk, ends the choice."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            signatures = signatures_in_archive(self._archive, candidate.study_instance_uid, self._folder)
        except (ArchiveUnreachableError, LocalStorageError):
            raise
        except IODeepError as error:
            return str(error).rstrip(".")
        return trust.judge(_in_question(candidate), signatures, datetime.now(UTC))


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
    """The decision among those that the site trusts: what would fit is judged, until nothing fits that was not.

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
