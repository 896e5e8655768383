"""No object leaves the packer that says who a patient is, unless somebody answers for it and the object says so.

The self-test carries voxels and an affine alone, no attribute of the series that it was made from. But voxels may show a
face or burned-in text, so the series has to be de-identified (PS3.15 Annex E); a phantom needs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydicom import Dataset

from iodeep.card import ModelCard
from iodeep.errors import InputError
from iodeep.packing import privacy_findings

WHO = ("PatientName", "PatientID", "OtherPatientIDs", "PatientBirthDate", "AccessionNumber")
"""What says who the patient is: none of these values may stand anywhere in the object."""
_EMPTY_IF_REMOVED = (
    "PatientName",
    "PatientBirthDate",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "AccessionNumber",
    "InstitutionName",
    "ReferringPhysicianName",
)
"""Of PS3.15 Table E.1-1, asked for where Patient Identity Removed (0012,0062) says nothing."""
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")


class PrivacyError(InputError):
    """An object would carry what may say who a patient is."""


def check_privacy(
    card: ModelCard, files: Mapping[str, Path], images: Sequence[Dataset], answer: str | None
) -> str | None:
    """What to record in the object: None where nothing was found. Raises PrivacyError where something was and nobody answers.

    ``images``: headers of the self-test's series. ``answer``: why it may be packed all the same.
    """
    known = {value for image in images for value in _values_of(image)}
    found = [str(each) for each in privacy_findings(card, files, known)] + _of_images(images)
    if not found:
        return None
    if answer is None:
        raise PrivacyError(
            f"the object would carry what may say who a patient is: {'; '.join(found[:5])}",
            found=f"{len(found)} places",
            remedy="Remove it and pack again. If none of it is a patient's, say so with --despite-privacy 'REASON': "
            "the reason is recorded in the object.",
        )
    return f"{answer} (found: {'; '.join(found)})"[:2000]


def _values_of(image: Dataset) -> list[str]:
    """Its patient's and its own identifiers, and the words of the name."""
    values = [str(image.get(keyword) or "") for keyword in (*WHO, *_UIDS)]
    return values + re.split(r"[\^=\s]+", str(image.get("PatientName") or ""))


def _of_images(images: Sequence[Dataset]) -> list[str]:
    """What speaks against the self-test's series, each sentence once."""
    return sorted({sentence for image in images for sentence in _of_image(image)})


def _of_image(image: Dataset) -> list[str]:
    said = []
    if image.get("BurnedInAnnotation") == "YES":
        said.append("the self-test's images hold burned-in text (0028,0301)")
    if image.get("RecognizableVisualFeatures") == "YES":
        said.append("the self-test's images show a recognisable face (0028,0302)")
    if image.get("PatientIdentityRemoved") != "YES":
        left = [keyword for keyword in _EMPTY_IF_REMOVED if str(image.get(keyword) or "").strip("^ ")]
        if left or image.get("PatientIdentityRemoved") == "NO":
            named = ", ".join(left) or "Patient Identity Removed (0012,0062) is NO"
            said.append(f"the self-test's series is not de-identified ({named})")
    return said
