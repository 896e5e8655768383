"""Which series may become work at all: cheap, and only what is certainly none is left out; selection decides the rest.

Model objects, our own results and other systems' results, reports and presentation states never become work, so that what
we store and a PACS routes back to us doesn't run in circles.
"""

from __future__ import annotations

from pydicom.uid import UID
from pynetdicom import AllStoragePresentationContexts

MODEL_PATIENTS = "AIM1."
"""How the Patient ID of every model object begins."""
IMAGE_CLASSES = frozenset(
    str(context.abstract_syntax)
    for context in AllStoragePresentationContexts
    if "ImageStorage" in UID(context.abstract_syntax or "").keyword
)
_RESULT_MODALITIES = frozenset(
    [
        "SEG",
        "SR",
        "PR",
        "KO",
        "DOC",
        "RTSTRUCT",
        "RTPLAN",
        "RTDOSE",
        "RTRECORD",
        "REG",
        "FID",
        "RWV",
        "PLAN",
        "AU",
        "ECG",
        "EPS",
        "HD",
        "RESP",
        "OT",
        "STAIN",
        "SMR",
        "M3D",
    ]
)
"""Modalities (PS3.3 C.7.3.1.1.1) of what is made from images or is none; OT is that of the model objects."""


def may_be_work(*, modality: str, patient_id: str, sop_class: str | None = None) -> bool:
    """Whether a series might be one that a network takes; ``sop_class`` None where a query doesn't tell."""
    if patient_id.startswith(MODEL_PATIENTS) or modality in _RESULT_MODALITIES:
        return False
    return sop_class is None or sop_class in IMAGE_CLASSES
