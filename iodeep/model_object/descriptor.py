"""The descriptor: what one reads before anything else, and the only thing one needs to choose a model.

Nothing outside the manifest is trusted: the DICOM attributes by which the model was found have to agree with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iodeep.card import ModelCard
from iodeep.model_object.identity import ModelIdentity
from iodeep.model_object.manifest import Manifest, PartEntry
from iodeep.model_object.self_test import SelfTest


@dataclass(frozen=True)
class ModelDescriptor:
    """A packed release, as its descriptor instance says."""

    manifest: Manifest
    identity: ModelIdentity
    self_test_bytes: bytes | None = None
    """The encoded self-test, its digest checked."""

    @property
    def card(self) -> ModelCard:
        """The card that was packed."""
        return self.manifest.card

    @property
    def self_test(self) -> SelfTest | None:
        """The decoded self-test, None where the model carries none; ObjectError where it is malformed."""
        if self.self_test_bytes is None:
            return None
        return SelfTest.decode(self.self_test_bytes, f"{self.card.name} {self.card.version}")

    @property
    def study_instance_uid(self) -> str:
        """The study that is this release."""
        return self.manifest.study_instance_uid

    @property
    def series_instance_uid(self) -> str:
        """The series that holds the descriptor alone."""
        return self.manifest.series.descriptor

    @property
    def patient_id(self) -> str:
        """The tokens by which C-FIND narrows a search."""
        return self.manifest.patient_id

    @property
    def parts(self) -> tuple[PartEntry, ...]:
        """Every part, file by file, in order."""
        return self.manifest.parts

    @property
    def total_bytes(self) -> int:
        """Bytes of all payload files."""
        return self.manifest.total_bytes


def read_descriptor(path: Path) -> ModelDescriptor:
    """The descriptor in a DICOM file, its manifest's and self-test's digests and its attributes checked.

    Raises :class:`iodeep.errors.ObjectError` where the file is not a descriptor or names something else than its
    manifest does, :class:`iodeep.errors.IntegrityError` where a digest does not hold.
    """
    raise NotImplementedError
