"""What a series says about itself, before anyone draws a conclusion from it.

Facts are read once, from headers or from a C-FIND answer; whatever is absent or unreadable is empty, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import pydicom
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from iodeep.anatomy import AnatomicEvidence
from iodeep.card import SlicePlane
from iodeep.terms import Code


@dataclass(frozen=True)
class SeriesFacts:
    """One series' attributes that selection reads; ``""``, ``()`` or None where the series doesn't say.

    Times in ms, lengths in mm, b-values in s/mm2, angles in degrees.
    """

    modality: str = ""
    series_instance_uid: str = ""
    study_instance_uid: str = ""
    sop_class_uid: str = ""
    evidence: AnatomicEvidence = field(default_factory=AnatomicEvidence)
    """Every attribute that may say what part of the body is shown, series and study descriptions included."""
    image_type: tuple[str, ...] = ()
    """Image Type (0008,0008) of the first instance."""
    image_types: frozenset[tuple[str, ...]] = frozenset()
    """Every Image Type in the series: a localizer may hide among others."""
    scanning_sequence: tuple[str, ...] = ()
    sequence_variant: tuple[str, ...] = ()
    sequence_name: str = ""
    echo_times: tuple[float, ...] = ()
    repetition_time: float | None = None
    inversion_time: float | None = None
    flip_angle: float | None = None
    echo_train_length: float | None = None
    b_values: tuple[float, ...] = ()
    temporal_positions: int | None = None
    angiography: bool = False
    """Angio Flag (0018,0025)."""
    contrast_agent: str = ""
    convolution_kernel: str = ""
    burned_in_annotation: str = ""
    patient_sex: str = ""
    station_name: str = ""
    station_aet: str = ""
    department: str = ""
    manufacturer: str = ""
    instance_count: int | None = None
    slice_count: int | None = None
    slice_spacing_mm: float | None = None
    pixel_spacing_mm: float | None = None
    coverage_mm: float | None = None
    """Extent along the slice normal."""
    plane: SlicePlane | None = None
    geometry_problem: str = ""
    """Why the series cannot be turned into a volume, where it was tried and refused."""

    @property
    def label(self) -> str:
        """How the series is called in sentences for people."""
        words = self.evidence.series_description or self.evidence.protocol_name or self.series_instance_uid
        return f"{self.modality or 'unknown modality'} series {words!r}" if words else f"{self.modality} series"


def facts_of_headers(headers: Sequence[pydicom.Dataset]) -> SeriesFacts:
    """The facts of one series' headers (no pixels needed); single-frame or multi-frame (PS3.3 C.7.6.16).

    Geometry is left open: the volume's reader adds it with :func:`dataclasses.replace`.
    """
    if not headers:
        return SeriesFacts()
    first = headers[0]
    image_types = [_values(header, "ImageType") for header in headers]
    return SeriesFacts(
        modality=_text(first, "Modality").upper(),
        series_instance_uid=_text(first, "SeriesInstanceUID"),
        study_instance_uid=_text(first, "StudyInstanceUID"),
        sop_class_uid=_text(first, "SOPClassUID"),
        evidence=_evidence_of_header(first),
        image_type=image_types[0],
        image_types=frozenset(kind for kind in image_types if kind),
        scanning_sequence=_values(first, "ScanningSequence") or _enhanced(first, _SCANNING),
        sequence_variant=_values(first, "SequenceVariant") or _enhanced(first, _VARIANT),
        angiography=_text(first, "AngioFlag").upper() == "Y",
        sequence_name=_text(first, "SequenceName") or _text(first, "PulseSequenceName"),
        echo_times=_distinct(headers, "EchoTime") or _distinct(headers, "EffectiveEchoTime"),
        repetition_time=_number(first, "RepetitionTime"),
        inversion_time=_number(first, "InversionTime") or _number(first, "InversionTimes"),
        flip_angle=_number(first, "FlipAngle"),
        echo_train_length=_number(first, "EchoTrainLength"),
        b_values=_distinct(headers, "DiffusionBValue"),
        temporal_positions=_count(first, "NumberOfTemporalPositions"),
        contrast_agent=_text(first, "ContrastBolusAgent") or _sequence_meaning(first, "ContrastBolusAgentSequence"),
        convolution_kernel=_text(first, "ConvolutionKernel"),
        burned_in_annotation=_text(first, "BurnedInAnnotation").upper(),
        patient_sex=_text(first, "PatientSex").upper(),
        station_name=_text(first, "StationName"),
        station_aet=_text(first, "ScheduledStationAETitle"),
        department=_text(first, "InstitutionalDepartmentName") or _text(first, "RequestingService"),
        manufacturer=_text(first, "Manufacturer"),
        instance_count=len(headers),
    )


_SCANNING = {
    ("EchoPulseSequence", "SPIN"): "SE",
    ("EchoPulseSequence", "GRADIENT"): "GR",
    ("EchoPlanarPulseSequence", "YES"): "EP",
    ("InversionRecovery", "YES"): "IR",
}
_VARIANT = {
    ("SteadyStatePulseSequence", "FREE_PRECESSION"): "SS",
    ("SteadyStatePulseSequence", "TRANSVERSE"): "SS",
    ("SteadyStatePulseSequence", "TIME_REVERSED"): "SS",
    ("Spoiling", "RF"): "SP",
    ("Spoiling", "GRADIENT"): "SP",
    ("Spoiling", "RF_AND_GRADIENT"): "SP",
}
"""What enhanced MR says (PS3.3 C.8.13.4) in the words of Scanning Sequence and Sequence Variant (C.8.3.1)."""


def _enhanced(header: pydicom.Dataset, words: Mapping[tuple[str, str], str]) -> tuple[str, ...]:
    """The words for what enhanced MR says; both echoes (BOTH) are a spin and a gradient echo."""
    both = ("SE", "GR") if words is _SCANNING and "BOTH" in _values(header, "EchoPulseSequence") else ()
    found = (word for (keyword, value), word in words.items() if value in _values(header, keyword))
    return tuple(dict.fromkeys((*both, *found)))


def facts_of_attributes(attributes: Mapping[str, str]) -> SeriesFacts:
    """The facts of a C-FIND answer or of a table's row: DICOM keyword -> text, values joined with a backslash."""

    def text(keyword: str) -> str:
        return (attributes.get(keyword) or "").strip()

    image_type = _split(text("ImageType"))
    return SeriesFacts(
        modality=text("Modality").upper(),
        series_instance_uid=text("SeriesInstanceUID"),
        study_instance_uid=text("StudyInstanceUID"),
        sop_class_uid=text("SOPClassUID"),
        evidence=AnatomicEvidence(
            modality=text("Modality").upper(),
            body_part_examined=text("BodyPartExamined"),
            laterality=text("Laterality") or text("ImageLaterality"),
            protocol_name=text("ProtocolName"),
            study_description=text("StudyDescription"),
            series_description=text("SeriesDescription"),
            procedure_descriptions=tuple(
                filter(None, (text("RequestedProcedureDescription"), text("PerformedProcedureStepDescription")))
            ),
        ),
        image_type=image_type,
        image_types=frozenset({image_type} if image_type else ()),
        contrast_agent=text("ContrastBolusAgent"),
        convolution_kernel=text("ConvolutionKernel"),
        patient_sex=text("PatientSex").upper(),
        station_name=text("StationName"),
        department=text("InstitutionalDepartmentName"),
        manufacturer=text("Manufacturer"),
        instance_count=_integer(text("NumberOfSeriesRelatedInstances")),
    )


def _evidence_of_header(header: pydicom.Dataset) -> AnatomicEvidence:
    procedures = [*_codes(header, "ProcedureCodeSequence"), *_codes(header, "RequestedProcedureCodeSequence")]
    requests = _items(header, "RequestAttributesSequence")
    for request in requests:
        procedures += _codes(request, "RequestedProcedureCodeSequence")
        procedures += _codes(request, "ScheduledProtocolCodeSequence")
    descriptions = [
        _text(header, "RequestedProcedureDescription"),
        _text(header, "PerformedProcedureStepDescription"),
        *(_text(request, "RequestedProcedureDescription") for request in requests),
        *(_text(request, "ScheduledProcedureStepDescription") for request in requests),
    ]
    return AnatomicEvidence(
        modality=_text(header, "Modality").upper(),
        anatomic_regions=tuple(_anatomic_codes(header)),
        body_part_examined=_text(header, "BodyPartExamined"),
        laterality=_text(header, "Laterality") or _text(header, "ImageLaterality"),
        procedure_codes=tuple(dict.fromkeys(procedures)),
        procedure_descriptions=tuple(dict.fromkeys(filter(None, descriptions))),
        protocol_name=_text(header, "ProtocolName"),
        study_description=_text(header, "StudyDescription"),
        series_description=_text(header, "SeriesDescription"),
        sop_class_uid=_text(header, "SOPClassUID"),
    )


def _anatomic_codes(header: pydicom.Dataset) -> Iterator[Code]:
    yield from _codes(header, "AnatomicRegionSequence")
    for group in _functional_groups(header):
        for frame_anatomy in _items(group, "FrameAnatomySequence"):
            yield from _codes(frame_anatomy, "AnatomicRegionSequence")


def _codes(dataset: pydicom.Dataset, keyword: str) -> list[Code]:
    """The coded items of a sequence (PS3.3 8.8); an item without a value still counts by its meaning."""
    return [
        Code(_text(item, "CodeValue") or _text(item, "LongCodeValue"), _text(item, "CodingSchemeDesignator"), meaning)
        for item in _items(dataset, keyword)
        if (meaning := _text(item, "CodeMeaning")) or _text(item, "CodeValue")
    ]


def _sequence_meaning(dataset: pydicom.Dataset, keyword: str) -> str:
    return next((code.meaning for code in _codes(dataset, keyword)), "")


def _functional_groups(header: pydicom.Dataset) -> Iterator[pydicom.Dataset]:
    yield from _items(header, "SharedFunctionalGroupsSequence")
    yield from _items(header, "PerFrameFunctionalGroupsSequence")


def _everywhere(header: pydicom.Dataset, keyword: str) -> Iterator[Any]:
    """The values of an attribute at the top and in every functional group macro."""
    if (value := _value(header, keyword)) is not None:
        yield value
    for group in _functional_groups(header):
        for tag in group.keys():  # noqa: SIM118 - a data set's iterator converts each element, and raises
            yield from (value for item in _items(group, tag) if (value := _value(item, keyword)) is not None)


def _got(dataset: pydicom.Dataset, what: str | BaseTag) -> Any:
    """The value of an attribute; None where it is absent, or so garbled that nobody can say what it was."""
    try:
        element = dataset.get(what)
    except Exception:  # boundary: pydicom raises whatever a damaged value makes it raise
        return None
    return element.value if isinstance(element, pydicom.DataElement) else element


def _value(dataset: pydicom.Dataset, keyword: str) -> Any:
    """The same of an attribute that is text or numbers; one that comes as a sequence says nothing."""
    value = _got(dataset, keyword)
    return None if isinstance(value, pydicom.Sequence) else value


def _items(dataset: pydicom.Dataset, what: str | BaseTag) -> Sequence[pydicom.Dataset]:
    """The items of a sequence; none where it is absent, garbled or something else."""
    value = _got(dataset, what)
    return value if isinstance(value, pydicom.Sequence) else ()


def _text(dataset: pydicom.Dataset, keyword: str) -> str:
    value = _value(dataset, keyword)
    if value is None:
        return ""
    return " ".join(str(part) for part in value).strip() if isinstance(value, MultiValue) else str(value).strip()


def _values(header: pydicom.Dataset, keyword: str) -> tuple[str, ...]:
    value = next(_everywhere(header, keyword), None)
    if value is None:
        return ()
    return tuple(str(part).strip().upper() for part in (value if isinstance(value, MultiValue) else [value]))


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip().upper() for part in text.split("\\")) if text else ()


def _number(header: pydicom.Dataset, keyword: str) -> float | None:
    return next(_floats(_everywhere(header, keyword)), None)


def _distinct(headers: Sequence[pydicom.Dataset], keyword: str) -> tuple[float, ...]:
    return tuple(sorted({number for header in headers for number in _floats(_everywhere(header, keyword))}))


def _floats(values: Iterable[Any]) -> Iterator[float]:
    for value in values:
        with suppress(TypeError, ValueError):
            if isfinite(number := float(value)):
                yield number


def _count(header: pydicom.Dataset, keyword: str) -> int | None:
    number = _number(header, keyword)
    return None if number is None else int(number)


def _integer(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None
