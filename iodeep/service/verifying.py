"""Everything that must hold before a model may be run here: digests, the network's structure, the self-test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iodeep.errors import IODeepError
from iodeep.inference import Engine, check_network
from iodeep.model_object import ModelDescriptor, assemble
from iodeep.ports import ProgressSink, no_progress
from iodeep.trust import Check, SelfTestVerdict, judge_self_test, verify_object


@dataclass(frozen=True)
class ModelVerdict:
    """All that was checked, each with a sentence; ``holds`` when nothing failed."""

    descriptor: ModelDescriptor | None
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Whether the model may be run."""
        return bool(self.checks) and all(check.holds for check in self.checks)


def verify_model(
    descriptor_path: Path,
    part_paths: tuple[Path, ...],
    engine: Engine,
    workspace: Path,
    *,
    progress: ProgressSink = no_progress,
) -> ModelVerdict:
    """Digests first; what fails there is not loaded."""
    report = verify_object(descriptor_path, part_paths, progress=progress)
    checks = list(report.checks)
    if report.holds and report.descriptor is not None:
        files = assemble(report.descriptor, part_paths, workspace)
        checks.append(_structure(report.descriptor, files))
        if checks[-1].holds:
            checks.append(run_self_test(report.descriptor, files, engine))
    return ModelVerdict(report.descriptor, tuple(checks))


def _structure(descriptor: ModelDescriptor, files: dict[str, Path]) -> Check:
    card = descriptor.card
    try:
        facts = [check_network(files[name], card, folder=files[name].parent) for name in card.network.files]
    except IODeepError as error:
        return Check("structure", False, str(error))
    operators = sum(sum(each.operators.values()) for each in facts)
    return Check("structure", True, f"{len(facts)} network(s) with {operators} operators, all of them allowed.")


def run_self_test(descriptor: ModelDescriptor, files: dict[str, Path], engine: Engine) -> Check:
    """The object's own small input through this machine's runtime, compared within the declared tolerance."""
    self_test = descriptor.self_test
    if self_test is None:
        return Check("self-test", False, "The object carries no self-test, so nothing shows that it works here.")
    try:
        prediction = engine.run(descriptor.card, files, dict(self_test.inputs))
    except IODeepError as error:
        return Check("self-test", False, f"The self-test could not be run: {error}")
    verdict: SelfTestVerdict = judge_self_test(self_test, prediction, descriptor.card.self_test)
    return Check("self-test", verdict.passed, " ".join(verdict.sentences))
