"""Which model made a result, said with the same values in SEG and SR (IHE AIR; PS3.3 C.12.1.5, 10.16; PS3.16 TID 4019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from highdicom import AlgorithmIdentificationSequence, ContributingEquipment
from highdicom.sr import AlgorithmIdentification, CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID
from pydicom.valuerep import DA, DT, TM

from iodeep import __version__
from iodeep.card import ModelCard
from iodeep.model_object.identity import ModelIdentity
from iodeep.terms import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, Code

MANUFACTURER = "IODeep"
_SHORT_TEXT = 1024


def concept(term: Code) -> CodedConcept:
    """A term as a code sequence item (PS3.3 8.8)."""
    return CodedConcept(term.value, term.scheme, term.meaning)


def shortened(text: str, length: int) -> str:
    """``text`` in at most ``length`` characters, without the backslash that separates values (PS3.5 6.2)."""
    line = " ".join(text.replace("\\", "/").split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


@dataclass(frozen=True)
class Provenance:
    """Everything that a result says about how it came to be."""

    card: ModelCard
    identity: ModelIdentity
    now: datetime
    engine: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    decided: str | None = None

    @property
    def title(self) -> str:
        """The model's name and version, 64 characters at most, with a warning first where it is for research."""
        mark = "Research: " if self.card.qualification == "RESEARCH" else ""
        return shortened(f"{mark}{self.identity.name} {self.identity.version}", 64)

    @property
    def details(self) -> tuple[str, ...]:
        """What beside the model decided about the result: engine, parameters, why this model."""
        engine = [f"engine={self.engine}"] if self.engine else []
        decided = [f"chosen because={self.decided}"] if self.decided else []
        return (*engine, *(f"{name}={value}" for name, value in sorted(self.parameters.items())), *decided)

    def instance_attributes(self) -> dict[str, Any]:
        """Constructor arguments that SEG and SR share: equipment, dates, character set, qualification."""
        return {
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": MANUFACTURER,
            "software_versions": __version__,
            "device_serial_number": IMPLEMENTATION_CLASS_UID,
            "content_date": DA(self.now.date()),
            "content_time": TM(self.now.time()),
            "series_date": DA(self.now.date()),
            "series_time": TM(self.now.time()),
            "specific_character_set": "ISO_IR 192",
            "series_description": self.title,
            "contributing_equipment": [self.equipment()],
        }

    def equipment(self) -> ContributingEquipment:
        """Contributing Equipment with the Device UIDs of the model (PS3.3 C.12.1.1.5), which highdicom leaves out."""
        item = ContributingEquipment(
            manufacturer=shortened(self.identity.manufacturer, 64),
            purpose_of_reference=codes.DCM.ProcessingEquipment,
            manufacturer_model_name=shortened(self.identity.name, 64),
            software_versions=self.identity.version,
            contribution_datetime=DT(self.now),
            contribution_description=shortened(
                "; ".join((self.card.summary, self.identity.algorithm_parameters, *self.details)), _SHORT_TEXT
            ),
        )
        item.DeviceUID = self.identity.device_uid
        item.ManufacturerDeviceClassUID = self.identity.device_class_uid
        return item

    def algorithm_sequence(self) -> AlgorithmIdentificationSequence:
        """Segmentation Algorithm Identification (PS3.3 10.16); Algorithm Parameters name the object and pin it."""
        sequence = AlgorithmIdentificationSequence(
            name=shortened(self.identity.name, 64),
            family=codes.DCM.ArtificialIntelligence,
            version=self.identity.version,
            source=shortened(self.identity.manufacturer, 64),
        )
        sequence[0].AlgorithmParameters = self.identity.algorithm_parameters
        return sequence

    def algorithm_content(self) -> AlgorithmIdentification:
        """The same as content items (PS3.16 TID 4019), with the details after the model."""
        return AlgorithmIdentification(
            name=shortened(self.identity.name, 64),
            version=self.identity.version,
            parameters=[self.identity.algorithm_parameters, *self.details],
            family=codes.DCM.ArtificialIntelligence,
            manufacturer=shortened(self.identity.manufacturer, 64),
        )

    def settle(self, dataset: Dataset) -> None:
        """Put ``now`` wherever highdicom read the clock, so that the same input gives the same bytes; sign the file."""
        dataset.InstanceCreationDate = DA(self.now.date())
        dataset.InstanceCreationTime = TM(self.now.time())
        dataset.ContributingEquipmentSequence[-1].ContributionDateTime = DT(self.now)
        dataset.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
        dataset.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
