"""All cages by name."""

from __future__ import annotations

from tests.hostile.zoo import cards, networks, objects, series, serving, signatures
from tests.hostile.zoo.specimen import Cage

CAGES: dict[str, Cage] = {
    "networks": networks.CAGE,
    "objects": objects.CAGE,
    "cards": cards.CAGE,
    "series": series.CAGE,
    "signatures": signatures.CAGE,
    "serving": serving.CAGE,
}
