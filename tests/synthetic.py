"""Small, valid, synthetic DICOM series for every room's tests: you say the voxels and where they lie, and get files.

``write_series`` writes single-frame CT or MR images that dciodvfy finds no fault with, ``write_multiframe`` one Enhanced
CT or MR image with the functional groups that geometry and values need. CT rescales by slope 1, intercept -1024. Both take voxels
[slice, row, column] of stored values, ``orientation`` as Image Orientation (Patient) (row cosines, then column cosines),
``origin`` as Image Position (Patient) of voxel [0, 0, 0] and ``spacing`` as mm between slices, rows and columns, the order
of :attr:`iodeep.volume.Volume.spacing`. Slices ascend along row x column direction, so :func:`affine_of` of the same
arguments is the truth to compare with. ``overrides`` sets or, with None, removes attributes in every file; ``per_slice``
does so for slice k alone. UIDs derive from ``name``: the same name gives the same series, another name another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import config
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from iodeep.terms import IMPLEMENTATION_CLASS_UID, deterministic_uid

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2.1"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4.1"

Voxels = npt.NDArray[np.integer[Any]]
Overrides = Mapping[str, object]


def affine_of(
    orientation: Sequence[float] = AXIAL,
    origin: Sequence[float] = (0.0, 0.0, 0.0),
    spacing: Sequence[float] = (2.0, 1.0, 1.0),
) -> npt.NDArray[np.float64]:
    """The affine (slice, row, column) -> LPS mm that the written series has."""
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    affine = np.eye(4)
    affine[:3, 0] = np.cross(along_row, along_column) * spacing[0]
    affine[:3, 1] = along_column * spacing[1]
    affine[:3, 2] = along_row * spacing[2]
    affine[:3, 3] = origin
    return affine


def write_series(
    folder: Path,
    voxels: Voxels,
    *,
    orientation: Sequence[float] = AXIAL,
    origin: Sequence[float] = (0.0, 0.0, 0.0),
    spacing: Sequence[float] = (2.0, 1.0, 1.0),
    modality: str = "CT",
    name: str = "series",
    study: str = "study",
    patient: str = "SYNTHETIC1",
    bits_stored: int | None = None,
    overrides: Overrides | None = None,
    per_slice: Callable[[int], Overrides] | None = None,
    file_order: Sequence[int] | None = None,
) -> list[Path]:
    """Write one CT or MR image a slice; ``file_order[i]`` is the slice in the i-th file. Paths come in slice order."""
    folder.mkdir(parents=True, exist_ok=True)
    affine = affine_of(orientation, origin, spacing)
    order = list(file_order) if file_order is not None else list(range(len(voxels)))
    paths = []
    for k, plane in enumerate(voxels):
        ds = _image(plane[np.newaxis], modality, name, study, patient, bits_stored, suffix=f"{k}")
        ds.SOPClassUID = CT_IMAGE if modality == "CT" else MR_IMAGE
        ds.InstanceNumber = k + 1
        ds.ImagePositionPatient = decimal_strings((affine @ [k, 0, 0, 1])[:3])
        ds.ImageOrientationPatient = decimal_strings(orientation)
        ds.PixelSpacing = decimal_strings(spacing[1:])
        ds.SliceThickness = decimal_strings(spacing[:1])[0]
        _classic_modality(ds, modality, spacing)
        _override(ds, overrides or {})
        _override(ds, per_slice(k) if per_slice else {})
        paths.append(_save(ds, folder / f"{order.index(k):04d}.dcm"))
    return paths


def write_multiframe(
    folder: Path,
    voxels: Voxels,
    *,
    orientation: Sequence[float] = AXIAL,
    origin: Sequence[float] = (0.0, 0.0, 0.0),
    spacing: Sequence[float] = (2.0, 1.0, 1.0),
    modality: str = "MR",
    name: str = "multiframe",
    study: str = "study",
    patient: str = "SYNTHETIC1",
    bits_stored: int | None = None,
    overrides: Overrides | None = None,
    per_frame: Callable[[int, Dataset], None] | None = None,
    frame_order: Sequence[int] | None = None,
) -> Path:
    """Write one Enhanced CT or MR image; ``frame_order[i]`` is the slice in the i-th frame.

    ``per_frame`` may change the functional groups item of slice k.
    """
    folder.mkdir(parents=True, exist_ok=True)
    affine = affine_of(orientation, origin, spacing)
    order = list(frame_order) if frame_order is not None else list(range(len(voxels)))
    ds = _image(voxels[order], modality, name, study, patient, bits_stored, suffix="all")
    ds.SOPClassUID = ENHANCED_CT_IMAGE if modality == "CT" else ENHANCED_MR_IMAGE
    ds.InstanceNumber = 1
    ds.NumberOfFrames = len(voxels)
    ds.DimensionOrganizationSequence = [_of(DimensionOrganizationUID=deterministic_uid("dimensions", name))]
    ds.DimensionIndexSequence = [
        _of(
            DimensionOrganizationUID=deterministic_uid("dimensions", name),
            DimensionIndexPointer=0x00209057,
            FunctionalGroupPointer=0x00209111,
        )
    ]
    ds.SharedFunctionalGroupsSequence = [_shared_groups(modality, orientation, spacing)]
    ds.PerFrameFunctionalGroupsSequence = [_frame_groups(k, affine) for k in order]
    for k, groups in zip(order, ds.PerFrameFunctionalGroupsSequence, strict=True):
        if per_frame:
            per_frame(k, groups)
    _enhanced_modality(ds, modality)
    _override(ds, overrides or {})
    return _save(ds, folder / f"{name}.dcm")


def decimal_strings(values: Sequence[float] | npt.NDArray[np.float64]) -> list[str]:
    """Each value in at most 16 characters (PS3.5 6.2, VR DS)."""
    return [format_number_as_ds(float(value)) for value in values]


def _image(
    frames: Voxels, modality: str, name: str, study: str, patient: str, bits_stored: int | None, suffix: str
) -> Dataset:
    """What every image has: patient, study, series, equipment, frame of reference and pixels (PS3.3 A.3, A.4)."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL" if modality == "CT" else "OTHER"]
    ds.SOPInstanceUID = deterministic_uid("instance", study, name, suffix)
    for keyword in ("Study", "Series", "Acquisition", "Content"):
        setattr(ds, f"{keyword}Date", "20240102")
        setattr(ds, f"{keyword}Time", "030405")
    ds.AccessionNumber = "A1"
    ds.Modality = modality
    ds.Manufacturer = "Synthetic"
    ds.ManufacturerModelName = "Synthetic"
    ds.DeviceSerialNumber = "1"
    ds.SoftwareVersions = "1"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "Synthetic"
    ds.SeriesDescription = name
    ds.PatientName = "Synthetic^Patient"
    ds.PatientID = patient
    ds.PatientBirthDate = ""
    ds.PatientSex = "O"
    ds.PatientPosition = "HFS"
    ds.BodyPartExamined = "HEAD"
    ds.StudyInstanceUID = deterministic_uid("study", study)
    ds.SeriesInstanceUID = deterministic_uid("series", study, name)
    ds.StudyID = "1"
    ds.SeriesNumber = 1
    ds.AcquisitionNumber = 1
    ds.FrameOfReferenceUID = deterministic_uid("frame of reference", study)
    ds.PositionReferenceIndicator = ""
    _pixels(ds, frames, bits_stored)
    return ds


def _pixels(ds: Dataset, frames: Voxels, bits_stored: int | None) -> None:
    stored = bits_stored or frames.dtype.itemsize * 8
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = frames.shape[1:]
    ds.BitsAllocated = frames.dtype.itemsize * 8
    ds.BitsStored = stored
    ds.HighBit = stored - 1
    ds.PixelRepresentation = int(frames.dtype.kind == "i")
    little = np.ascontiguousarray(frames.astype(frames.dtype.newbyteorder("<")))
    ds.PixelData = little.tobytes() + bytes(little.nbytes % 2)
    ds["PixelData"].VR = "OW" if ds.BitsAllocated > 8 else "OB"


def _classic_modality(ds: Dataset, modality: str, spacing: Sequence[float]) -> None:
    if modality == "CT":
        ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "-1024", "1", "HU"
        ds.KVP = "120"
        return
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "SE", "NONE", "", "2D"
    ds.RepetitionTime, ds.EchoTime, ds.EchoTrainLength = "2000", "20", "1"
    ds.SpacingBetweenSlices = decimal_strings(spacing[:1])[0]


def _shared_groups(modality: str, orientation: Sequence[float], spacing: Sequence[float]) -> Dataset:
    groups = _of(
        PixelMeasuresSequence=[
            _of(PixelSpacing=decimal_strings(spacing[1:]), SliceThickness=decimal_strings(spacing[:1])[0])
        ],
        PlaneOrientationSequence=[_of(ImageOrientationPatient=decimal_strings(orientation))],
    )
    if modality == "CT":
        groups.PixelValueTransformationSequence = [_of(RescaleIntercept="-1024", RescaleSlope="1", RescaleType="HU")]
    return groups


def _frame_groups(k: int, affine: npt.NDArray[np.float64]) -> Dataset:
    return _of(
        PlanePositionSequence=[_of(ImagePositionPatient=decimal_strings((affine @ [k, 0, 0, 1])[:3]))],
        FrameContentSequence=[_of(DimensionIndexValues=[k + 1], StackID="1", InStackPositionNumber=k + 1)],
    )


def _enhanced_modality(ds: Dataset, modality: str) -> None:
    """What readers look at; the acquisition functional groups that a full Enhanced IOD has are left out."""
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.PixelPresentation = "MONOCHROME"
    ds.VolumetricProperties = "VOLUME"
    ds.VolumeBasedCalculationTechnique = "NONE"
    ds.AcquisitionContextSequence = []
    ds.AcquisitionDateTime = "20240102030405"
    ds.ContentQualification = "RESEARCH"
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    ds.PresentationLUTShape = "IDENTITY"
    if modality == "MR":
        ds.ComplexImageComponent, ds.AcquisitionContrast = "MAGNITUDE", "T1"


def _of(**values: object) -> Dataset:
    ds = Dataset()
    _override(ds, values)
    return ds


def _override(ds: Dataset, values: Overrides) -> None:
    """Set attributes; None removes. Wrong values are written as they are, because tests want them."""
    with config.disable_value_validation():
        for keyword, value in values.items():
            if value is None:
                ds.pop(keyword, None)
            else:
                setattr(ds, keyword, value)


def _save(ds: Dataset, path: Path) -> Path:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    ds.save_as(path, enforce_file_format=True)
    return path
