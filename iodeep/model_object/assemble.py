"""Parts -> payload files: every part checked while it streams, every file written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from iodeep.model_object.descriptor import ModelDescriptor
from iodeep.ports import ProgressSink, no_progress


def assemble(
    descriptor: ModelDescriptor, parts: Iterable[Path], into: Path, *, progress: ProgressSink = no_progress
) -> dict[str, Path]:
    """The payload files by name, written to ``into``. ``parts``: files in any order, or folders that hold them."""
    raise NotImplementedError
