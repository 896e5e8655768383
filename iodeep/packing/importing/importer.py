"""One importer a kind of source; each is loaded only within the contained process that needs it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from iodeep.errors import InputError
from iodeep.packing.importing.imported import ImportedNetwork
from iodeep.packing.importing.reference import ReferenceImage, ReferencePrediction
from iodeep.packing.importing.sources import SourceKind


class Importer(Protocol):
    """Reads one kind of source. Both calls happen within containment, each in a process of its own.

    There: no network, no other program, no other process (threads yes), files to read only below ``source`` and in the
    installed libraries, files to write only below ``out``. Errors are :class:`iodeep.errors.IODeepError`, which reach the
    person as they are; any other exception becomes one InputError.
    """

    def read(self, source: Path, out: Path) -> ImportedNetwork:
        """Everything but the prediction: configuration, weights, export to ONNX below ``out``."""

    def predict(
        self, source: Path, images: Sequence[ReferenceImage], card: Mapping[str, Any], out: Path
    ) -> ReferencePrediction:
        """What the source's own framework says of real images, from its own preprocessing to the images' grid.

        ``card``: the completed card as JSON values (``iodeep.card.card_document``). ``out``: for intermediate files.
        """


class CardLed(Protocol):
    """Reads a source that is weights alone: what happens before and after the network is the card's to say.

    Its reference is the source's own network within our pipeline, so that its export is what is compared.
    """

    def read(self, source: Path, out: Path) -> ImportedNetwork:
        """What can be said without a card, for a draft; no files."""

    def export(self, source: Path, card: Mapping[str, Any], out: Path) -> ImportedNetwork:
        """The same with the files, exported for the windows of ``card``."""

    def network(self, source: Path) -> Any:
        """The network as a torch module in evaluation mode."""


CARD_LED = frozenset({SourceKind.TORCHSCRIPT, SourceKind.STATE_DICT})
_MODULES = {
    SourceKind.MONAI_BUNDLE: "iodeep.packing.importing.monai_bundle",
    SourceKind.NNUNET: "iodeep.packing.importing.nnunet",
    SourceKind.TORCHSCRIPT: "iodeep.packing.importing.torchscript",
    SourceKind.STATE_DICT: "iodeep.packing.importing.state_dict",
}
"""Each has a function ``importer()``."""


def importer_of(kind: SourceKind) -> Importer:
    """The importer of a ``kind`` that says everything; InputError where the libraries for it are not installed."""
    found: Importer = _made(kind)
    return found


def card_led(kind: SourceKind) -> CardLed:
    """That of a ``kind`` of :data:`CARD_LED`."""
    found: CardLed = _made(kind)
    return found


def _made(kind: SourceKind) -> Any:
    if kind not in _MODULES:
        raise InputError(
            "ONNX needs no importer", remedy="Give the ONNX file, or the folder that holds it and nothing else."
        )
    try:
        return importlib.import_module(_MODULES[kind]).importer()
    except ModuleNotFoundError as error:
        raise InputError(
            f"what imports {kind} is not installed",
            found=f"no module {error.name}",
            remedy='Install it: pip install "iodeep[import]".',
        ) from error
