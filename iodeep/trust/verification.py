"""Every digest of a packed model, checked while streaming, told in sentences; nothing is raised for what is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from iodeep.model_object import ModelDescriptor
from iodeep.ports import ProgressSink, no_progress


@dataclass(frozen=True)
class Check:
    """One thing that was checked: whether it holds, and a sentence."""

    subject: str
    holds: bool
    sentence: str


@dataclass(frozen=True)
class VerificationReport:
    """All checks of one model; ``descriptor`` is None where it could not be read."""

    descriptor: ModelDescriptor | None
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Whether everything holds."""
        return bool(self.checks) and all(check.holds for check in self.checks)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was found, one sentence a check."""
        return tuple(check.sentence for check in self.checks)


def verify_object(
    descriptor_path: Path, part_paths: Iterable[Path], *, progress: ProgressSink = no_progress
) -> VerificationReport:
    """Check the descriptor and every part that it names. ``part_paths``: files in any order, or folders."""
    raise NotImplementedError
