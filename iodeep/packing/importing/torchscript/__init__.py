"""TorchScript: run in containment to be traced once more, for an export to ONNX that holds no program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iodeep.errors import InputError
from iodeep.packing.importing.card_led import exported, imported, suggested
from iodeep.packing.importing.imported import ImportedNetwork
from iodeep.packing.importing.importer import CardLed
from iodeep.packing.importing.sources import SourceKind
from iodeep.packing.importing.torchscript.loading import load_script


class TorchScript:
    """The importer of one TorchScript file."""

    def read(self, source: Path, out: Path) -> ImportedNetwork:  # noqa: ARG002 - nothing is written for a draft
        """It loads, and says nothing else."""
        self.network(source)
        return imported(SourceKind.TORCHSCRIPT, {}, suggested(), asked=True)

    def export(self, source: Path, card: Mapping[str, Any], out: Path) -> ImportedNetwork:
        """To ONNX."""
        files = exported(self.network(source), card, out)
        return imported(SourceKind.TORCHSCRIPT, files, suggested(), asked=False)

    def network(self, source: Path) -> Any:
        """Loaded."""
        return load_script(_script(source))


def _script(source: Path) -> Path:
    if source.is_file():
        return source
    found = sorted(each for each in source.iterdir() if each.suffix in (".ts", ".pt"))
    if len(found) != 1:
        raise InputError(f"{source.name} holds {len(found)} TorchScript files", expected="one")
    return found[0]


def importer() -> CardLed:
    """The importer of TorchScript."""
    return TorchScript()
