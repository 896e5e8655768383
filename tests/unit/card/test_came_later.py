"""A card that says nothing new is the document that it always was, and so the same device."""

from __future__ import annotations

from pathlib import Path

import yaml

from iodeep.card import card_document, card_of_document, read_card
from iodeep.card._base import CardPart

ROOT = Path(__file__).parents[3]
CARD = ROOT / "sample_data" / "brain" / "card.yaml"


def test_a_document_has_no_field_that_came_later_and_says_nothing() -> None:
    document = card_document(read_card(CARD))
    assert set(document["preprocessing"][4]) == {"step", "foreground_above"}
    assert set(document["segmentation"]) == {"tensor", "activation", "decode", "threshold", "segments"}


def test_what_it_says_is_kept() -> None:
    given = yaml.safe_load(CARD.read_text())
    given["preprocessing"][4]["mask"] = "nonzero"
    given["segmentation"]["restoration"] = {"interpolation": "linear"}
    document = card_document(card := card_of_document(given, "here"))
    assert document["preprocessing"][4]["mask"] == "nonzero"
    assert card_of_document(document, "there") == card


def test_only_fields_with_a_default_come_later() -> None:
    parts = [CardPart]
    for part in parts:
        parts += part.__subclasses__()
        assert all(not part.model_fields[name].is_required() for name in part.came_later)
