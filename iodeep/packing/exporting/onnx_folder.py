"""Plain ONNX: the model's files under their names, and its card beside them. ``iodeep pack`` makes the same model of it again."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from iodeep.card import ModelCard
from iodeep.errors import InputError
from iodeep.model_object.local_files import storage_errors
from iodeep.packing.exporting.card_file import CARD_NAME, write_card


def write_onnx_folder(card: ModelCard, files: Mapping[str, Path], folder: Path, origin: tuple[str, ...] = ()) -> None:
    """Copy ``files`` (the names that the card has, and where they are) to ``folder``, with ``card.yaml``."""
    if CARD_NAME in files:
        raise InputError(
            f"a file of the model is called {CARD_NAME}, as the card beside it would be",
            remedy="Fetch the object as DICOM instead: iodeep export.",
        )
    with storage_errors(folder):
        for name, path in files.items():
            shutil.copyfile(path, folder / name)
    write_card(card, folder, origin)
