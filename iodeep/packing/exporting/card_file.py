"""The card as the YAML that people write: what is written is read again and has to be the same card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from iodeep.card import ModelCard, read_card
from iodeep.errors import IntegrityError
from iodeep.model_object.local_files import storage_errors

CARD_NAME = "card.yaml"


def card_yaml(card: ModelCard, origin: tuple[str, ...] = ()) -> str:
    """The card with every field that somebody set; ``origin``: lines of comment before it."""
    document: dict[str, Any] = {"schema_version": card.schema_version}
    document |= card.model_dump(mode="json", exclude_defaults=True)
    document["version"] = str(card.version)
    comment = "".join(f"# {line}\n" for line in origin)
    return comment + str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120))


def write_card(card: ModelCard, folder: Path, origin: tuple[str, ...] = ()) -> Path:
    """``card.yaml`` in ``folder``, read back. Raises IntegrityError where it would be another card."""
    path = folder / CARD_NAME
    with storage_errors(path):
        path.write_text(card_yaml(card, origin), encoding="utf-8")
    if read_card(path) != card:
        raise IntegrityError(
            f"the card of {card.name} {card.version} is not on the disk as it was written", remedy="The disk is faulty."
        )
    return path
