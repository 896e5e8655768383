"""Plain ONNX: find the files that a card names; nothing is opened or run here."""

from __future__ import annotations

from pathlib import Path

from iodeep.card import ModelCard
from iodeep.errors import InputError


def payload_files(network: Path, card: ModelCard) -> dict[str, Path]:
    """The card's file names with the files that hold them.

    ``network``: a folder with all of them, or the file of a model that has only one network. Then the other files that
    the card names (external data, trainable form) are looked for beside it.
    """
    if not network.exists():
        raise InputError(f"{network} does not exist", expected="an ONNX file, or a folder with the files of the card")
    names = [*card.network.files, *card.network.external_data, *card.network.trainable]
    if network.is_dir():
        found = {name: network / name for name in names}
    else:
        if len(card.network.files) > 1:
            raise InputError(
                f"the card names {len(card.network.files)} networks but one file was given",
                remedy=f"Give the folder that holds {', '.join(card.network.files)}.",
            )
        found = {name: network.parent / name for name in names}
        found[card.network.files[0]] = network
    missing = [name for name, path in found.items() if not path.is_file()]
    if missing:
        raise InputError(
            "files that the card names are missing",
            expected=", ".join(missing),
            found=f"none of that name in {network if network.is_dir() else network.parent}",
            remedy="Put them there, or correct network.files, external_data or trainable in the card.",
        )
    return found
