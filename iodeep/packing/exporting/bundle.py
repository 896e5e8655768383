"""A model in the layout of a MONAI Bundle: configs, models, docs, and the card itself.

The networks are copied as they are: the first is ``models/model.onnx`` where no file of the model refers to its name.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from iodeep.card import ModelCard
from iodeep.model_object.local_files import storage_errors
from iodeep.packing.exporting.card_file import write_card
from iodeep.packing.exporting.inference import MODELS, Inference, inference_config, is_averaged
from iodeep.packing.exporting.metadata import metadata
from iodeep.packing.exporting.trainable import STATE, Trained, trained_of
from iodeep.packing.exporting.words import readme

ONLY_NETWORK = "model.onnx"
_NOT_COMPARED = (
    f"configs/inference.json runs the trainable form ({MODELS}/{STATE}). It came with the model and is covered by its digests, but was not "
    "compared here with the ONNX that was tested and that sites run."
)


@dataclass(frozen=True)
class BundleSource:
    """What a bundle is made of. ``channels``: of the first output, None where the network does not tell."""

    card: ModelCard
    files: Mapping[str, Path]
    """The names that the card has, and where they are."""
    channels: int | None = None
    origin: tuple[str, ...] = ()
    """Lines on which object the files are from."""

    def names(self) -> dict[str, str]:
        """File name in the card -> in ``models``."""
        names = {name: name for name in self.files}
        if len(self.card.network.files) == 1 and ONLY_NETWORK not in names:
            names[self.card.network.files[0]] = ONLY_NETWORK
        return names


def unsaid_in_bundle(source: BundleSource) -> tuple[str, ...]:
    """What MONAI would do otherwise than the card says, a sentence each. InputError for a name that MONAI cannot take."""
    return _inference(source).unsaid


def write_bundle(source: BundleSource, folder: Path) -> tuple[str, ...]:
    """Write the bundle to the empty ``folder``; gives what MONAI does otherwise. InputError for a name it cannot take."""
    inference, names = _inference(source), source.names()
    trained = _trained(source)[0]
    origin = (*source.origin, _NOT_COMPARED) if trained else source.origin
    with storage_errors(folder):
        for each in ("configs", MODELS, "docs"):
            (folder / each).mkdir()
        for name, path in source.files.items():
            shutil.copyfile(path, folder / MODELS / names[name])
        if trained:
            trained.write_state(folder / MODELS)
        _write_json(folder / "configs" / "inference.json", inference.document)
        _write_json(folder / "configs" / "metadata.json", metadata(source.card, source.channels))
        (folder / "docs" / "README.md").write_text(readme(source.card, origin, inference.unsaid), "utf-8")
        (folder / "docs" / "license.txt").write_text(_licence(source.card), "utf-8")
    write_card(source.card, folder, source.origin)
    return inference.unsaid


def _inference(source: BundleSource) -> Inference:
    names = source.names()
    trained, problem = _trained(source)
    networks = [names[name] for name in source.card.network.files]
    inference = inference_config(source.card, networks, source.channels, trained)
    return replace(inference, unsaid=(*inference.unsaid, *filter(None, [problem])))


def _trained(source: BundleSource) -> tuple[Trained | None, str]:
    """The trainable form that ``inference.json`` takes; None and why not."""
    if STATE in source.files or (is_averaged(source.card) and source.card.network.trainable):
        return None, "The trainable form lies in models as it is."
    return trained_of(source.card, source.files)


def _licence(card: ModelCard) -> str:
    """The text where the card has it, and the name of the licence in any case."""
    return "\n".join(filter(None, [card.licence.spdx, card.licence.source, card.licence.text, ""])) + "\n"


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
