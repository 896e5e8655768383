"""Workitems and job records as the tests of the worklist need them."""

from __future__ import annotations

from typing import Any

from iodeep.service.worklist.documents import Document, code, document
from iodeep.settings import Settings

STUDY, SERIES = "1.2.3", "1.2.3.4"
OTHER = "1.2.3.5"


def step(*codes: tuple[str, str], series: tuple[str, ...] = (SERIES,), **more: Any) -> Document:
    """A step that PS3.4 table CC.2.5-3 finds nothing missing of."""
    items = [
        document(
            TypeOfInstances="DICOM",
            StudyInstanceUID=STUDY,
            SeriesInstanceUID=one,
            ReferencedSOPSequence=document(ReferencedSOPClassUID="1.2", ReferencedSOPInstanceUID="1.2.9"),
            DICOMRetrievalSequence=document(RetrieveAETitle="MAINPACS"),
        )
        for one in series
    ]
    given: dict[str, Any] = {
        "ScheduledProcedureStepPriority": "MEDIUM",
        "ProcedureStepLabel": "Segment",
        "WorklistLabel": "AI",
        "ScheduledProcessingParametersSequence": None,
        "ScheduledStationNameCodeSequence": None,
        "ScheduledStationClassCodeSequence": None,
        "ScheduledStationGeographicLocationCodeSequence": None,
        "ScheduledProcedureStepStartDateTime": "20200101120000",
        "ScheduledWorkitemCodeSequence": [code(value, scheme, "Work") for scheme, value in codes],
        "CommentsOnTheScheduledProcedureStep": None,
        "InputReadinessState": "READY",
        "InputInformationSequence": items,
        "PatientName": {"Alphabetic": "Doe^Jane"},
        "PatientID": "P1",
        "OtherPatientIDsSequence": None,
        "PatientBirthDate": None,
        "PatientSex": None,
        "AdmissionID": None,
        "IssuerOfAdmissionIDSequence": None,
        "AdmittingDiagnosesDescription": None,
        "AdmittingDiagnosesCodeSequence": None,
        "ReferencedRequestSequence": None,
        "ProcedureStepState": "SCHEDULED",
        "ProcedureStepProgressInformationSequence": None,
        "UnifiedProcedureStepPerformedProcedureSequence": None,
    }
    return document(**{**given, **more})


def performed() -> Document:
    """What COMPLETED requires, without output."""
    return document(
        UnifiedProcedureStepPerformedProcedureSequence=document(
            PerformedStationNameCodeSequence=code("X", "99X", "X"),
            PerformedProcedureStepStartDateTime="20260101",
            PerformedWorkitemCodeSequence=code("SEGMENT", "99IODEEP", "Segment"),
            PerformedProcedureStepEndDateTime="20260102",
            OutputInformationSequence=None,
        )
    )


def discontinued() -> Document:
    """What CANCELED requires."""
    return document(
        ProcedureStepProgressInformationSequence=document(
            ProcedureStepCancellationDateTime="20260102",
            ProcedureStepDiscontinuationReasonCodeSequence=code("110513", "DCM", "Discontinued"),
        )
    )


SITE = Settings.model_validate(
    {
        "default_pacs": "main",
        "pacs": {
            "main": {"name": "main", "host": "127.0.0.1", "port": 104, "aet": "MAINPACS"},
            "results": {"name": "results", "host": "127.0.0.1", "port": 105, "aet": "RESULTS"},
        },
        "serve": {"worklist": {"models": {"99SITE:BRAIN": "BRAINMASK"}}, "jobs": {"host": "here"}},
    }
)
