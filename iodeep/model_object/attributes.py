"""The DICOM attributes of a model's instances, all made from the manifest, so that they can be made again and compared.

Raw Data IOD (PS3.3 A.37) as a Standard Extended SOP Class; clause numbers below are PS3.3's.
"""

from __future__ import annotations

from datetime import UTC, datetime

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from iodeep import __version__
from iodeep.card import Laterality, ModelCard
from iodeep.model_object import private_block as block
from iodeep.model_object.manifest import Manifest, PartEntry, Role
from iodeep.terms import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, RAW_DATA_STORAGE, Code
from iodeep.terms.uids import CREATOR_VERSION_UID, SCHEMA_UID

CONTENT_LABEL = "AIMODEL_V1"
TRAINED_MODEL = Code("AIMODEL", "99IODEEP", "Trained AI model")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")

DESCRIPTOR_KIND, NETWORK_KIND, TRAINABLE_KIND, SIGNATURE_KIND = 0, 1, 2, 3
SERIES_KINDS = {Role.NETWORK: NETWORK_KIND, Role.EXTERNAL_DATA: NETWORK_KIND, Role.TRAINABLE: TRAINABLE_KIND}

REQUIRED_TO_AGREE = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID", "Modality", "DeviceUID")
"""What a search finds a model by; an archive that changed or dropped one of these is found out."""
AGREE_IF_PRESENT = (
    "PatientName",
    "IssuerOfPatientID",
    "StudyDate",
    "ManufacturerDeviceClassUID",
    "EquipmentModality",
    "BodyPartExamined",
    "SeriesNumber",
    "StudyID",
    "SeriesDescription",
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
    "ContentQualification",
    "CreatorVersionUID",
)


def descriptor_attributes(manifest: Manifest) -> Dataset:
    """The descriptor instance without its private elements."""
    dataset = _common(manifest, DESCRIPTOR_KIND)
    dataset.SOPInstanceUID = manifest.sop_instance_uid
    dataset.SeriesInstanceUID = manifest.series.descriptor
    dataset.InstanceNumber = 1
    return dataset


def compared_attributes(manifest: Manifest) -> Dataset:
    """Those of the descriptor's attributes that are compared when it is read."""
    dataset = Dataset()
    _put_patient_and_study(dataset, manifest)
    _put_series(dataset, manifest.card, DESCRIPTOR_KIND)
    _put_equipment(dataset, manifest)
    _put_raw_data(dataset, manifest)
    dataset.ContentQualification = manifest.card.qualification
    dataset.SOPInstanceUID = manifest.sop_instance_uid
    dataset.SeriesInstanceUID = manifest.series.descriptor
    return dataset


def part_attributes(manifest: Manifest, part: PartEntry, role: Role) -> Dataset:
    """One part's instance without its private elements."""
    dataset = _common(manifest, SERIES_KINDS[role])
    dataset.SOPInstanceUID = part.sop_instance_uid
    dataset.SeriesInstanceUID = part.series_instance_uid
    dataset.InstanceNumber = part.instance_number
    return dataset


def release_document_attributes(manifest: Manifest, kind: int, made_at: datetime) -> Dataset:
    """An instance about a release, such as a signature: in its study, without UIDs, numbers and private elements."""
    dataset = _common(manifest, kind)
    _put_content_moment(dataset, made_at)
    return dataset


def site_document_attributes(word: str, kind: int, made_at: datetime) -> Dataset:
    """An instance about no release: of a pseudo-patient that is no model's, without UIDs, numbers and private elements."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = RAW_DATA_STORAGE
    dataset.PatientName = f"AIMSITE^{word}"
    dataset.PatientID = f"AIMSITE.{word}"
    for keyword in ("PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime", "AccessionNumber"):
        setattr(dataset, keyword, "")
    dataset.ReferringPhysicianName = dataset.Laterality = ""
    dataset.Modality = "OT"
    dataset.SeriesNumber = kind * 1_000_000
    dataset.Manufacturer = dataset.ManufacturerModelName = "IODeep"
    dataset.SoftwareVersions = __version__
    dataset.AcquisitionContextSequence = Sequence()
    dataset.CreatorVersionUID = CREATOR_VERSION_UID
    dataset.ContentLabel = "AIMSITE_V1"
    dataset.TimezoneOffsetFromUTC = "+0000"
    _put_content_moment(dataset, made_at)
    dataset.PrivateDataElementCharacteristicsSequence = Sequence([_private_characteristics(block.HEADER_GROUP)])
    return dataset


def file_meta(sop_instance_uid: str) -> FileMetaDataset:
    """File Meta Information (PS3.10 7.1): always Explicit VR Little Endian."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(RAW_DATA_STORAGE)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return meta


def put_private_header(dataset: Dataset, manifest_sha256: str) -> None:
    """What descriptor and parts have in common in the private block."""
    block.reserve_block(dataset, block.HEADER_GROUP)
    block.put(dataset, block.SCHEMA, SCHEMA_UID)
    block.put(dataset, block.MANIFEST_SHA256, manifest_sha256)


def series_number(card: ModelCard, kind: int) -> int:
    """Kind of series and release in one number that C-FIND can match: kind x 1,000,000 + MMmmpp."""
    return kind * 1_000_000 + card.version.number


def _common(manifest: Manifest, kind: int) -> Dataset:
    dataset = Dataset()
    _put_patient_and_study(dataset, manifest)
    _put_series(dataset, manifest.card, kind)
    _put_equipment(dataset, manifest)
    _put_raw_data(dataset, manifest)
    _put_sop_common(dataset, manifest)
    _put_algorithm(dataset, manifest.card)
    return dataset


def _put_patient_and_study(dataset: Dataset, manifest: Manifest) -> None:
    """Patient (C.7.1.1): a pseudo-patient that is the model; General Study (C.7.2.1): its release."""
    card = manifest.card
    dataset.PatientName = f"AIMODEL^{card.name}"
    dataset.PatientID = manifest.patient_id
    dataset.IssuerOfPatientID = card.developer.name
    dataset.PatientBirthDate = ""
    dataset.PatientSex = ""
    dataset.StudyInstanceUID = manifest.study_instance_uid
    dataset.StudyID = f"V{card.version}"
    dataset.StudyDate = f"{card.released:%Y%m%d}"
    dataset.StudyTime = ""
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    if card.target.conditions:
        dataset.ReasonForPerformedProcedureCodeSequence = _codes(*(term.code for term in card.target.conditions))


def _put_series(dataset: Dataset, card: ModelCard, kind: int) -> None:
    """General Series (C.7.3.1). Modality is OT: with the target's, viewers would try to show the object."""
    dataset.Modality = "OT"
    dataset.SeriesNumber = series_number(card, kind)
    dataset.SeriesDescription = f"{card.name} {card.version}"
    regions = card.target.anatomy
    if len(regions) == 1:
        dataset.BodyPartExamined = regions[0].defined_term
    dataset.AnatomicRegionSequence = _codes(*(region.code for region in regions))
    if card.target.laterality is Laterality.BOTH:
        dataset.ImageLaterality = "B"
    elif card.target.laterality:
        dataset.Laterality = card.target.laterality.value
    elif len(regions) == 1 and regions[0].paired:
        dataset.Laterality = ""
    if card.modality != "MULTI":
        dataset.EquipmentModality = card.modality


def _put_equipment(dataset: Dataset, manifest: Manifest) -> None:
    """General Equipment (C.7.5.1): the model is the device, and the packer contributed (C.12.1.1.5)."""
    card = manifest.card
    dataset.Manufacturer = card.developer.name
    dataset.ManufacturerModelName = card.name
    dataset.SoftwareVersions = str(card.version)
    dataset.DeviceUID = manifest.device.device_uid
    dataset.ManufacturerDeviceClassUID = manifest.device.device_class_uid
    packer = Dataset()
    packer.Manufacturer = manifest.packer.name
    packer.ManufacturerModelName = manifest.packer.name
    packer.SoftwareVersions = manifest.packer.version
    packer.ContributionDateTime = f"{manifest.packed_at.astimezone(UTC):%Y%m%d%H%M%S}+0000"
    packer.PurposeOfReferenceCodeSequence = _codes(PROCESSING_EQUIPMENT)
    dataset.ContributingEquipmentSequence = Sequence([packer])


def _put_raw_data(dataset: Dataset, manifest: Manifest) -> None:
    """Raw Data (C.19.1) and Acquisition Context (C.7.6.14)."""
    packed_at = manifest.packed_at.astimezone(UTC)
    dataset.AcquisitionContextSequence = Sequence()
    dataset.ContentDate = f"{packed_at:%Y%m%d}"
    dataset.ContentTime = f"{packed_at:%H%M%S}"
    dataset.TimezoneOffsetFromUTC = "+0000"
    dataset.CreatorVersionUID = manifest.packer.creator_version_uid
    dataset.ContentLabel = CONTENT_LABEL
    dataset.ContentDescription = manifest.card.summary
    dataset.ConceptNameCodeSequence = _codes(TRAINED_MODEL)


def _put_content_moment(dataset: Dataset, made_at: datetime) -> None:
    dataset.ContentDate = f"{made_at.astimezone(UTC):%Y%m%d}"
    dataset.ContentTime = f"{made_at.astimezone(UTC):%H%M%S}"


def _put_sop_common(dataset: Dataset, manifest: Manifest) -> None:
    """SOP Common (C.12.1)."""
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = RAW_DATA_STORAGE
    dataset.ContentQualification = manifest.card.qualification
    dataset.PrivateDataElementCharacteristicsSequence = Sequence(
        map(_private_characteristics, (block.HEADER_GROUP, block.PAYLOAD_GROUP))
    )


def _put_algorithm(dataset: Dataset, card: ModelCard) -> None:
    """Algorithm Identification Macro (10.16), outside the IOD's modules."""
    dataset.AlgorithmFamilyCodeSequence = _codes(ARTIFICIAL_INTELLIGENCE)
    dataset.AlgorithmName = card.name
    dataset.AlgorithmVersion = str(card.version)
    dataset.AlgorithmSource = card.developer.name


def _private_characteristics(group: int) -> Dataset:
    """C.12.1.1.7: what our block holds. Weights may remember their training data, so no claim is made that they don't."""
    elements = [element for element in block.ELEMENTS if element.group == group]
    safe = [element.number for element in elements if not element.identifying]
    item = Dataset()
    item.PrivateGroupReference = group
    item.PrivateCreatorReference = block.CREATOR
    item.BlockIdentifyingInformationStatus = "MIXED" if safe else "UNSAFE"
    if safe:
        item.NonidentifyingPrivateElements = safe
    item.PrivateDataElementDefinitionSequence = Sequence(map(_private_definition, elements))
    return item


def _private_definition(element: block.Element) -> Dataset:
    item = Dataset()
    item.PrivateDataElement = element.number
    item.PrivateDataElementValueMultiplicity = 1
    item.PrivateDataElementValueRepresentation = element.vr
    item.PrivateDataElementName = element.name
    item.PrivateDataElementKeyword = element.keyword
    return item


def _codes(*codes: Code) -> Sequence:
    """Basic code sequences (8.8)."""
    return Sequence(map(_code, codes))


def _code(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme
    item.CodeMeaning = code.meaning
    return item
