"""nnU-Net v2 results folders: plans, folds and labels become networks and card parts; what nnU-Net does, the card says.

The plans decide: a name in them that is not on a list here is refused by that name, never looked up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iodeep.packing.importing.imported import ImportedNetwork
from iodeep.packing.importing.nnunet.export import imported
from iodeep.packing.importing.nnunet.model import read_model
from iodeep.packing.importing.nnunet.reference import predicted
from iodeep.packing.importing.reference import ReferenceImage, ReferencePrediction


class NnunetImporter:
    """See :class:`iodeep.packing.importing.importer.Importer`."""

    def read(self, source: Path, out: Path) -> ImportedNetwork:
        """The folds as ONNX and safetensors, and what plans, labels and validation say of the card."""
        return imported(read_model(source), out)

    def predict(
        self,
        source: Path,
        images: Sequence[ReferenceImage],
        card: Mapping[str, Any],
        out: Path,  # noqa: ARG002 - nothing is written on the way
    ) -> ReferencePrediction:
        """What nnUNetPredictor says of the images, turned to where the card says that the training images lay."""
        return predicted(read_model(source), images, card)


def importer() -> NnunetImporter:
    """The importer of nnU-Net v2."""
    return NnunetImporter()
