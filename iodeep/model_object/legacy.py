"""The published prior art's object is recognised and explained; it is never unpickled, so never run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LegacyModel:
    """What a prior-art object says about itself, what it carries, why it is refused and what to do."""

    name: str
    uid: str
    modality: str
    body_part: str
    architecture: str
    """The first thousand characters of the network's description."""
    weights_format: str
    weights_bytes: int
    imports: tuple[str, ...]
    """What unpickling would import, as ``module name``."""
    sentences: tuple[str, ...]


def explain_legacy(path: Path) -> LegacyModel:
    """Explain a prior-art object without executing anything of it; ObjectError where it isn't one."""
    raise NotImplementedError
