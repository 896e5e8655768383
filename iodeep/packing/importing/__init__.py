"""Importers read networks of other frameworks; whatever is read here is read within containment, never in the packer itself.

An importer is data in, data out: files of a source become ONNX files, a trainable form and what the source says of a card.
The process that runs one holds the source and the installed libraries to read, one folder to write, and nothing else
(:mod:`iodeep.service.importing` starts it). The parent believes nothing that comes back before it has checked it.
"""

from __future__ import annotations

from iodeep.packing.importing.comparison import LEAST_DICE, Agreement, compared
from iodeep.packing.importing.imported import ImportedNetwork, Question
from iodeep.packing.importing.importer import CARD_LED, CardLed, Importer, card_led, importer_of
from iodeep.packing.importing.reference import ReferenceImage, ReferencePrediction
from iodeep.packing.importing.sources import SourceKind, recognise

__all__ = [
    "CARD_LED",
    "LEAST_DICE",
    "Agreement",
    "CardLed",
    "ImportedNetwork",
    "Importer",
    "Question",
    "ReferenceImage",
    "ReferencePrediction",
    "SourceKind",
    "card_led",
    "compared",
    "importer_of",
    "recognise",
]
