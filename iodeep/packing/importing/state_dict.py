"""A state dict: weights as tensors alone, of an architecture on the list."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iodeep.errors import InputError
from iodeep.packing.importing.architectures import Architecture, read_architecture
from iodeep.packing.importing.card_led import exported, imported, suggested
from iodeep.packing.importing.imported import ImportedNetwork
from iodeep.packing.importing.importer import CardLed
from iodeep.packing.importing.onnx_export import first_output, save_trainable
from iodeep.packing.importing.sources import STATE_SUFFIXES, SourceKind
from iodeep.packing.importing.weights import fill, load_state

_TRAINABLE = ("network.safetensors", "network.json")


class StateDict:
    """The importer of weights with their ``architecture.json``."""

    def read(self, source: Path, out: Path) -> ImportedNetwork:  # noqa: ARG002 - nothing is written for a draft
        """The weights fit their architecture, which says how many dimensions there are."""
        architecture, _ = _built(source)
        dimensions = {2: "2D", 3: "3D"}.get(architecture.arguments.get("spatial_dims", 3), "3D")
        names = suggested(_TRAINABLE, dimensions=dimensions)
        return imported(SourceKind.STATE_DICT, {}, names, asked=True)

    def export(self, source: Path, card: Mapping[str, Any], out: Path) -> ImportedNetwork:
        """To ONNX, with the trainable form beside."""
        architecture, network = _built(source)
        files = exported(network, card, out) | save_trainable(network, architecture.document(), out)
        return imported(SourceKind.STATE_DICT, files, suggested(_TRAINABLE), asked=False)

    def network(self, source: Path) -> Any:
        """Built and filled."""
        return first_output(_built(source)[1])


def _built(source: Path) -> tuple[Architecture, Any]:
    if source.is_file():
        raise InputError(
            f"{source.name} is a file of weights alone",
            expected="a folder with it and architecture.json",
            remedy='Write architecture.json beside it: {"architecture": "monai.networks.nets.UNet", "arguments": {...}}.',
        )
    found = sorted(each for each in source.iterdir() if each.suffix in STATE_SUFFIXES)
    if len(found) != 1:
        raise InputError(f"{source.name} holds {len(found)} files of weights", expected="one, beside architecture.json")
    architecture = read_architecture(source / "architecture.json")
    network = architecture.built()
    fill(network, load_state(found[0]), found[0].name)
    return architecture, network


def importer() -> CardLed:
    """The importer of state dicts."""
    return StateDict()
