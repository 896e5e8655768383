"""Everything that must hold before a model may be run here: digests, the network's structure, the self-test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from iodeep.errors import InferenceError, IODeepError
from iodeep.inference import Engine, check_network
from iodeep.model_object import ModelDescriptor, assemble
from iodeep.ports import ProgressSink, no_progress
from iodeep.service.self_testing import self_tested
from iodeep.service.trusting import NOT_ASKED, signatures_in_files
from iodeep.trust import Check, verify_object

if TYPE_CHECKING:
    from iodeep.trust.policy import TrustPolicy


@dataclass(frozen=True)
class ModelVerdict:
    """All that was checked, each with a sentence; ``holds`` when nothing failed."""

    descriptor: ModelDescriptor | None
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Whether the model may be run."""
        return bool(self.checks) and all(check.holds for check in self.checks)


@dataclass(frozen=True)
class ContentVerdict:
    """What was checked of a model without running it, and its payload files where all of it holds so far."""

    descriptor: ModelDescriptor | None
    content: tuple[Check, ...]
    """Digests, and the network's structure."""
    signatures: tuple[Check, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    """Where digests and structure hold: by name, in the workspace."""


def verify_content(
    descriptor_path: Path,
    part_paths: tuple[Path, ...],
    workspace: Path,
    *,
    trust: TrustPolicy | None = None,
    progress: ProgressSink = no_progress,
) -> ContentVerdict:
    """Digests first; what fails there is not looked into. ``trust``: the site's policy, where it has one."""
    report = verify_object(descriptor_path, part_paths, progress=progress)
    if not report.holds or report.descriptor is None:
        return ContentVerdict(report.descriptor, report.checks)
    files = assemble(report.descriptor, part_paths, workspace)
    structure = _structure(report.descriptor, files)
    signatures = tuple(_signatures(report.descriptor, part_paths, trust))
    return ContentVerdict(report.descriptor, (*report.checks, structure), signatures, files if structure.holds else {})


def verify_model(
    descriptor_path: Path,
    part_paths: tuple[Path, ...],
    engine: Engine,
    workspace: Path,
    *,
    trust: TrustPolicy | None = None,
    progress: ProgressSink = no_progress,
) -> ModelVerdict:
    """All of :func:`verify_content`, and the self-test on this machine; what fails before is not loaded."""
    found = verify_content(descriptor_path, part_paths, workspace, trust=trust, progress=progress)
    tested = (run_self_test(found.descriptor, found.files, engine),) if found.descriptor and found.files else ()
    return ModelVerdict(found.descriptor, (*found.content, *tested, *found.signatures))


def _signatures(descriptor: ModelDescriptor, paths: tuple[Path, ...], trust: TrustPolicy | None) -> list[Check]:
    """One check for each signature that counts, and each thing that the site has against the model."""
    try:
        signatures = signatures_in_files(paths)
    except IODeepError as error:
        return [Check("signature", holds=False, sentence=str(error))]
    if trust is None:
        borne = (
            f"It bears {len(signatures)} signatures that nobody checked." if signatures else "It bears no signature."
        )
        return [Check("signature", holds=True, sentence=f"{borne} {NOT_ASKED}")]
    from iodeep.trust.policy import ModelInQuestion

    verdict = trust.judge(ModelInQuestion.of(descriptor), signatures, datetime.now(UTC))
    good = [Check("signature", holds=True, sentence=f"It is {each}.") for each in verdict.good]
    told = [Check("signature", holds=True, sentence=f"To know: {each}.") for each in verdict.warnings]
    return [*good, *told, *(Check("trust", holds=False, sentence=f"Not trusted: {each}.") for each in verdict.refusals)]


def _structure(descriptor: ModelDescriptor, files: dict[str, Path]) -> Check:
    card = descriptor.card
    try:
        facts = [check_network(files[name], card, folder=files[name].parent) for name in card.network.files]
    except IODeepError as error:
        return Check("structure", False, str(error))
    operators = sum(sum(each.operators.values()) for each in facts)
    return Check("structure", True, f"{len(facts)} network(s) with {operators} operators, all of them allowed.")


def run_self_test(descriptor: ModelDescriptor, files: Mapping[str, Path], engine: Engine) -> Check:
    """The object's own small input through this machine's runtime, compared within the declared tolerance."""
    try:
        result = self_tested(descriptor, files, engine)
    except InferenceError as error:
        return Check("self-test", False, f"The self-test could not be run: {error}")
    return Check("self-test", result.passed, result.sentence)
