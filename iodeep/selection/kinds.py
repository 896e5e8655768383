"""What a series is: a localizer, acquired or derived images, screen captures, a report page.

Image Type and SOP class speak first, words second (PS3.3 C.7.6.1.1.2). Doubt makes a series less eligible, never more.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from iodeep.selection.facts import SeriesFacts
from iodeep.selection.words import labels_in


class Nature(StrEnum):
    """What sort of images a series holds."""

    ACQUIRED = "acquired images"
    LOCALIZER = "a localizer"
    DERIVED = "derived images"
    CAPTURE = "screen captures"
    REPORT = "a report page"
    NO_IMAGES = "no images"


@dataclass(frozen=True)
class SeriesNature:
    """What a series holds, and the words that say so."""

    nature: Nature
    because: str


_NO_IMAGES = frozenset(
    {"SR", "PR", "KO", "SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "RTRECORD", "REG", "DOC", "PLAN", "FID"}
)
_PROCESSED = frozenset({"CR", "DX", "MG", "IO", "PX", "XA", "RF", "NM", "PT"})
"""Modalities whose images for presentation are called derived because they were processed on the way."""
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_DERIVED_LABELS = {
    "PROJECTION": "a projection",
    "REFORMAT": "a reformatted series",
    "SUBTRACTION": "a subtraction",
    "MAP": "a computed map",
    "ADC": "an ADC map",
}
_MADE_VALUES = {
    "PROJECTION IMAGE": "a projection",
    "MIP": "a projection",
    "MAX_IP": "a projection",
    "MIN_IP": "a projection",
    "VOLUME RENDERED": "a rendering",
    "ADC": "an ADC map",
    "SUBTRACTION": "a subtraction",
    "SUBTRACT": "a subtraction",
    "SUB": "a subtraction",
}
"""Image Type values that say that images were computed, whatever value 1 says. MPR is not among them: scanners write
ORIGINAL\\PRIMARY\\MPR for what was acquired on an oblique plane."""


def nature_of(facts: SeriesFacts) -> SeriesNature:
    """What the series holds; localizers are found even where only some of its images are."""
    if facts.modality in _NO_IMAGES:
        return SeriesNature(Nature.NO_IMAGES, f"Modality is {facts.modality}")
    return _by_image_type(facts) or _by_words(facts) or SeriesNature(Nature.ACQUIRED, _acquired(facts))


def _by_image_type(facts: SeriesFacts) -> SeriesNature | None:
    values = frozenset(value for image_type in facts.image_types for value in image_type)
    shown = "\\".join(facts.image_type)
    if "LOCALIZER" in values:
        return SeriesNature(Nature.LOCALIZER, "Image Type says LOCALIZER")
    if facts.sop_class_uid.startswith(_SECONDARY_CAPTURE) or "SCREEN SAVE" in values:
        return SeriesNature(
            Nature.CAPTURE, "its SOP class is Secondary Capture" if not shown else f"Image Type {shown}"
        )
    made = next((name for value, name in _MADE_VALUES.items() if value in values), None)
    if made:
        return SeriesNature(Nature.DERIVED, f"Image Type {shown} says {made}")
    if any(_is_derived(image_type, facts.modality) for image_type in facts.image_types):
        return SeriesNature(Nature.DERIVED, f"Image Type {shown} says DERIVED")
    return None


def _is_derived(image_type: tuple[str, ...], modality: str) -> bool:
    """Value 1 DERIVED; where images are derived because they were made ready for reading, value 2 tells (PS3.3 C.8.11.3)."""
    if image_type[:1] != ("DERIVED",):
        return False
    return modality not in _PROCESSED or image_type[1:2] != ("PRIMARY",)


def _by_words(facts: SeriesFacts) -> SeriesNature | None:
    text = facts.evidence.series_description
    labels = labels_in(text, facts.modality)
    if "LOCALIZER" in labels:
        return SeriesNature(Nature.LOCALIZER, f"Series Description {text!r}")
    if "REPORT" in labels:
        return SeriesNature(Nature.REPORT, f"Series Description {text!r}")
    if "CAPTURE" in labels:
        return SeriesNature(Nature.CAPTURE, f"Series Description {text!r}")
    made = [name for label, name in _DERIVED_LABELS.items() if label in labels]
    if made and not (made == ["a reformatted series"] and facts.image_type[:1] == ("ORIGINAL",)):
        return SeriesNature(Nature.DERIVED, f"Series Description {text!r} says {made[0]}")
    return None


def _acquired(facts: SeriesFacts) -> str:
    values = "\\".join(facts.image_type)
    return f"Image Type {values}" if values else "nothing says otherwise"
