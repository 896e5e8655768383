"""Card and payload files -> a folder of DICOM instances, whole and read back, or nothing at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from iodeep.card import ModelCard
from iodeep.model_object.identity import ModelIdentity
from iodeep.model_object.self_test import SelfTest
from iodeep.ports import ProgressSink, no_progress

DEFAULT_PART_SIZE = 64 << 20


@dataclass(frozen=True)
class PackedModel:
    """What was written."""

    folder: Path
    descriptor: Path
    parts: tuple[Path, ...]
    identity: ModelIdentity
    study_instance_uid: str
    total_bytes: int

    @property
    def files(self) -> tuple[Path, ...]:
        """Everything to store: the parts first, so that a model is found only when it is complete."""
        return (*self.parts, self.descriptor)


def pack_model(
    card: ModelCard,
    files: Mapping[str, Path],
    out: Path,
    *,
    part_size: int = DEFAULT_PART_SIZE,
    self_test: SelfTest | None = None,
    packed_at: datetime | None = None,
    progress: ProgressSink = no_progress,
) -> PackedModel:
    """Write a model to ``out``, a folder that does not exist yet or is empty."""
    raise NotImplementedError
