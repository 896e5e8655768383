"""Raw Data instances with a private payload, as a model object's parts are made."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

RAW_DATA_STORAGE = UID("1.2.840.10008.5.1.4.1.1.66")


@dataclass(frozen=True)
class Sample:
    """A study of one series in files."""

    study: str
    series: str
    patient: str
    instances: tuple[str, ...]
    paths: tuple[Path, ...]


def fresh_uid() -> UID:
    """A UID that nobody has used (PS3.5 B.2)."""
    return UID(f"2.25.{uuid.uuid4().int}")


def raw_data_series(
    folder: Path, parts: int = 3, payload_bytes: int = 5000, syntax: UID = ExplicitVRLittleEndian
) -> Sample:
    """``parts`` instances of a new patient, study and series, each with another payload."""
    folder.mkdir(parents=True, exist_ok=True)
    study, series, token = fresh_uid(), fresh_uid(), uuid.uuid4().hex[:8].upper()
    patient = f"AIM1.MR.BRAIN.{token}"
    instances, paths = [], []
    for number in range(1, parts + 1):
        dataset = _part(study, series, patient, number)
        _add_payload(dataset, _payload(f"{series}/{number}", payload_bytes))
        path = folder / f"part{number}.dcm"
        _write(dataset, path, syntax)
        instances.append(str(dataset.SOPInstanceUID))
        paths.append(path)
    return Sample(study, series, patient, tuple(instances), tuple(paths))


def _part(study: UID, series: UID, patient: str, number: int) -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = RAW_DATA_STORAGE
    dataset.SOPInstanceUID = fresh_uid()
    dataset.StudyInstanceUID = study
    dataset.SeriesInstanceUID = series
    dataset.PatientID = patient
    dataset.PatientName = "AIMODEL^Brain"
    dataset.PatientBirthDate = dataset.PatientSex = dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.StudyID = "V1.0.0"
    dataset.StudyDate = dataset.ContentDate = "20260301"
    dataset.StudyTime = dataset.ContentTime = "120000"
    dataset.Modality = "OT"
    dataset.Manufacturer = "IODeep"
    dataset.SeriesNumber = 1010000
    dataset.InstanceNumber = number
    return dataset


def _add_payload(dataset: Dataset, payload: bytes) -> None:
    block = dataset.private_block(0x7FE1, "IODEEP AIMODEL 1", create=True)
    block.add_new(0x30, "OB", payload)


def _payload(seed: str, length: int) -> bytes:
    """Bytes that don't compress, the same for the same seed, of even length."""
    return hashlib.shake_256(seed.encode()).digest(length + length % 2)


def _write(dataset: Dataset, path: Path, syntax: UID) -> None:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = RAW_DATA_STORAGE
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dcmwrite(path, dataset, enforce_file_format=True)
