"""Which modules a card's run needs beyond those of every run: a contained process can import nothing any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iodeep.card import ModelCard


def needed_modules(card: ModelCard) -> frozenset[str]:
    """Modules that cost a third of a second and that most cards do without."""
    modules: set[str] = set()
    cubic = any(getattr(step, "interpolation", None) == "cubic" for step in card.preprocessing)
    restoration = card.segmentation.restoration if card.segmentation else None
    if cubic or len(card.inputs) > 1 or (restoration and restoration.interpolation == "cubic"):
        modules.add("scipy.ndimage")
    if card.postprocessing or any(getattr(step, "mask", None) for step in card.preprocessing):
        modules.add("cc3d")
    return frozenset(modules)
