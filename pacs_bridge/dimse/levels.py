"""Which level of the Study Root information model a keyword belongs to (PS3.4 C.6.2).

A query names keys of its own level and the unique keys above it (PS3.4 C.4.1.2.1): keys of other levels are put into
queries of their own, because archives refuse or ignore them.
"""

from __future__ import annotations

from iodeep.ports import Level

ABOVE = {Level.STUDY: None, Level.SERIES: Level.STUDY, Level.IMAGE: Level.SERIES}

_STUDY = frozenset(
    [
        "StudyInstanceUID",
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "StudyID",
        "StudyDescription",
        "ReferringPhysicianName",
        "PatientName",
        "PatientID",
        "IssuerOfPatientID",
        "PatientBirthDate",
        "PatientBirthTime",
        "PatientSex",
        "PatientAge",
        "PatientSize",
        "PatientWeight",
        "OtherPatientIDs",
        "PatientComments",
        "EthnicGroup",
        "Occupation",
        "AdditionalPatientHistory",
        "ModalitiesInStudy",
        "SOPClassesInStudy",
        "AnatomicRegionsInStudyCodeSequence",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
        "NumberOfPatientRelatedStudies",
        "NumberOfPatientRelatedSeries",
        "NumberOfPatientRelatedInstances",
        "PhysiciansOfRecord",
        "NameOfPhysiciansReadingStudy",
        "AdmittingDiagnosesDescription",
        "InstitutionalDepartmentName",
        "InstitutionName",
        "RequestingPhysician",
        "RequestedProcedureDescription",
    ]
)
_SERIES = frozenset(
    [
        "SeriesInstanceUID",
        "Modality",
        "SeriesNumber",
        "SeriesDescription",
        "SeriesDate",
        "SeriesTime",
        "BodyPartExamined",
        "Laterality",
        "ProtocolName",
        "PerformingPhysicianName",
        "OperatorsName",
        "StationName",
        "Manufacturer",
        "ManufacturerModelName",
        "DeviceSerialNumber",
        "SoftwareVersions",
        "DeviceUID",
        "ManufacturerDeviceClassUID",
        "PatientPosition",
        "SmallestPixelValueInSeries",
        "LargestPixelValueInSeries",
        "FrameOfReferenceUID",
        "PositionReferenceIndicator",
        "NumberOfSeriesRelatedInstances",
        "PerformedProcedureStepStartDate",
        "PerformedProcedureStepStartTime",
        "PerformedProcedureStepID",
        "PerformedProcedureStepDescription",
        "EquipmentModality",
        "SequenceName",
        "ContrastBolusAgent",
        "ImagesInAcquisition",
        "NumberOfTemporalPositions",
        "CardiacNumberOfImages",
    ]
)


def level_of(keyword: str, asked: Level) -> Level:
    """The keyword's level, never below the one asked: what no table names is left to that level's archive."""
    if keyword in _STUDY:
        return Level.STUDY
    if keyword in _SERIES:
        return Level.SERIES if asked is not Level.STUDY else Level.STUDY
    return asked
