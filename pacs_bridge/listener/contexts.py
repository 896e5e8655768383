"""What the listener takes: Verification, and every storage SOP class in every transfer syntax that pynetdicom lists."""

from __future__ import annotations

from pydicom.uid import RawDataStorage
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts
from pynetdicom.presentation import PresentationContext

from pacs_bridge.dimse.negotiation import answered, result_for

VERIFICATION = "1.2.840.10008.1.1"
MODEL_OBJECTS = str(RawDataStorage)
"""Taken up in the negotiation, so that a sender who routes a model object here is told why it is refused."""
STORAGE = frozenset(
    {
        *(str(context.abstract_syntax) for context in AllStoragePresentationContexts),
        "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation, newer than this pynetdicom
    }
)
_SYNTAXES = frozenset(map(str, ALL_TRANSFER_SYNTAXES))
_ABSTRACT_SYNTAX_NOT_SUPPORTED = 3


def choose(asked: PresentationContext) -> PresentationContext:
    """The answer to a proposed presentation context (PS3.8 9.3.3.2)."""
    if str(asked.abstract_syntax) not in STORAGE and asked.abstract_syntax != VERIFICATION:
        return result_for(asked, _ABSTRACT_SYNTAX_NOT_SUPPORTED)
    return answered(asked, _SYNTAXES)
