"""What an importer makes of a source: files, what the source says of the card, and what it leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iodeep.packing.importing.sources import SourceKind


@dataclass(frozen=True)
class Question:
    """What a card needs and the source doesn't say: the card's field, and what is asked for in a sentence."""

    field: str
    """Dotted, as a card's error names it: ``segmentation.segments.0.type``."""
    sentence: str


@dataclass(frozen=True)
class ImportedNetwork:
    """A source, read. ``card`` holds JSON values of the card's own shape; a field that is there is what the source says.

    The completed card must agree with each such field: lists have the same length, entries are compared one by one, and a
    part that a list's entry leaves out is the person's to fill in. ``preprocessing``, ``postprocessing`` and ``network``
    are said wholly: what they leave out has the card's default.
    """

    kind: SourceKind
    card: Mapping[str, Any]
    files: Mapping[str, Path]
    """Name in the card (``network.files``, ``external_data``, ``trainable``) -> the file, below the folder to write to."""
    framework: str
    """What made the reference and the export: ``MONAI 1.6.1, torch 2.13.0``."""
    questions: tuple[Question, ...] = ()
    suggested: Mapping[str, Any] = field(default_factory=dict)
    """Fields for a draft that the person may write otherwise: texts, names, a version; of the shape of ``card``."""
    notes: tuple[str, ...] = ()
    """Sentences on what was left out because it doesn't change a result here, such as a transform of labels."""
