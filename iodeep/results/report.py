"""Measurements and classifications as TID 1500 in Comprehensive 3D SR (PS3.16 TID 1500, PS3.3 A.35.13)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from iodeep.card import Laterality, ModelCard, Segment
from iodeep.prediction import Classification, ClassProbability
from iodeep.results.decision_content import decision_content, identify_scheme
from iodeep.results.provenance import Provenance, concept, shortened
from iodeep.results.segmentation import segment_tracking_id, segment_tracking_uid, series_number
from iodeep.results.uids import ResultUids
from iodeep.terms import Code

MILLILITRE = Code("ml", "UCUM", "milliliter")
PROBABILITY = Code("122157", "DCM", "Probability")
_PROCEDURES = {
    "CT": codes.LN.CTUnspecifiedBodyRegion,
    "MR": codes.LN.MRIUnspecifiedBodyRegion,
    "PT": codes.LN.PETUnspecifiedBodyRegion,
    "NM": codes.LN.NMUnspecifiedBodyRegion,
    "CR": codes.LN.XRUnspecifiedBodyRegion,
    "DX": codes.LN.XRUnspecifiedBodyRegion,
}
_Group = sr.VolumetricROIMeasurementsAndQualitativeEvaluations | sr.MeasurementsAndQualitativeEvaluations
_SIDES = {
    Laterality.LEFT: codes.SCT.Left,
    Laterality.RIGHT: codes.SCT.Right,
    Laterality.BOTH: codes.SCT.RightAndLeft,
}


def build_report(
    sources: Sequence[Dataset],
    segmentation: Dataset | None,
    volumes_ml: Mapping[int, float],
    classifications: Sequence[Classification],
    provenance: Provenance,
    uids: ResultUids,
    decision: Mapping[str, Any] | None = None,
) -> Dataset:
    """The SR of one run: a volume for each segment, each class of each head, the model that said so, and why it was chosen.

    ``sources``: prepared headers of every series that the network was given; the first gives patient and study.
    ``decision``: the record of the choice, see :mod:`iodeep.results.decision_content`.
    """
    groups: list[_Group] = [
        *_segment_groups(sources[0], segmentation, volumes_ml, provenance, uids),
        *_class_groups(sources, classifications, provenance, uids),
    ]
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_observer(provenance)),
        procedure_reported=_PROCEDURES.get(sources[0].Modality, codes.SCT.ImagingProcedure),
        imaging_measurements=groups,
    )
    if decision is not None:
        content[0].ContentSequence.append(decision_content(decision))
    dataset = sr.Comprehensive3DSR(
        evidence=[*sources, *([] if segmentation is None else [segmentation])],
        content=content,
        series_instance_uid=uids.report_series,
        series_number=series_number(sources[0], 2),
        sop_instance_uid=uids.report,
        instance_number=1,
        is_complete=True,
        **provenance.instance_attributes(),
    )
    if decision is not None:
        identify_scheme(dataset)
    provenance.settle(dataset)
    return dataset


def _observer(provenance: Provenance) -> sr.ObserverContext:
    """The model is the observer (TID 1004): Device Observer UID is its Device UID."""
    identity = provenance.identity
    return sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=identity.device_uid,
            name=identity.name,
            manufacturer_name=identity.manufacturer,
            model_name=f"{identity.name} {identity.version}",
        ),
    )


def _segment_groups(
    source: Dataset,
    segmentation: Dataset | None,
    volumes_ml: Mapping[int, float],
    provenance: Provenance,
    uids: ResultUids,
) -> list[sr.VolumetricROIMeasurementsAndQualitativeEvaluations]:
    output = provenance.card.segmentation
    if segmentation is None or output is None:
        return []
    return [
        sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=_tracking(
                segment_tracking_uid(segment, uids), segment_tracking_id(segment, provenance)
            ),
            referenced_segment=_reference(source, segmentation, segment),
            finding_type=concept(segment.type.code),
            finding_category=concept(segment.category.code),
            finding_sites=[sr.FindingSite(concept(region.code)) for region in segment.regions] or None,
            algorithm_id=provenance.algorithm_content(),
            measurements=[_volume(volumes_ml[segment.number])],
        )
        for segment in output.segments
    ]


def _reference(source: Dataset, segmentation: Dataset, segment: Segment) -> sr.ReferencedSegment:
    return sr.ReferencedSegment(
        sop_class_uid=segmentation.SOPClassUID,
        sop_instance_uid=segmentation.SOPInstanceUID,
        segment_number=segment.number,
        source_series=sr.SourceSeriesForSegmentation(source.SeriesInstanceUID),
    )


def _volume(millilitres: float) -> sr.Measurement:
    return sr.Measurement(
        name=codes.SCT.Volume,
        value=round(millilitres, 4),
        unit=concept(MILLILITRE),
        method=codes.DCM.SumOfSegmentedVoxelMethodForVolume,
    )


def _class_groups(
    sources: Sequence[Dataset],
    classifications: Sequence[Classification],
    provenance: Provenance,
    uids: ResultUids,
) -> list[sr.MeasurementsAndQualitativeEvaluations]:
    """One group a class (TID 1501): the head's finding, whether the class is present, and its probability."""
    if not classifications:
        return []
    images = [sr.SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID) for image in sources]
    return [
        sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=_tracking(
                uids.tracking(f"class {head.name} {answer.code}"),
                shortened(f"{provenance.identity.name} {provenance.identity.version}: {head.name}", 64),
            ),
            finding_type=concept(head.finding),
            finding_sites=_sites(provenance.card) or None,
            algorithm_id=provenance.algorithm_content(),
            measurements=[_probability(answer)],
            qualitative_evaluations=[_presence(answer)],
            source_images=images,
        )
        for head in classifications
        for answer in head.classes
    ]


def _probability(answer: ClassProbability) -> sr.Measurement:
    return sr.Measurement(name=concept(PROBABILITY), value=round(answer.probability, 6), unit=codes.UCUM.NoUnits)


def _presence(answer: ClassProbability) -> sr.QualitativeEvaluation:
    return sr.QualitativeEvaluation(
        name=concept(answer.code), value=codes.SCT.Present if answer.present else codes.SCT.Absent
    )


def _sites(card: ModelCard) -> list[sr.FindingSite]:
    side = None if card.target.laterality is None else _SIDES[card.target.laterality]
    return [sr.FindingSite(concept(region.code), laterality=side) for region in card.target.anatomy]


def _tracking(uid: str, identifier: str) -> sr.TrackingIdentifier:
    return sr.TrackingIdentifier(uid=uid, identifier=identifier)
