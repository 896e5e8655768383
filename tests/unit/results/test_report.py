"""What the measurement report says, and that it agrees with the segmentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from iodeep.errors import InferenceError
from iodeep.prediction import Classification, ClassProbability, Prediction, Segmentation
from iodeep.results import Results, build_results
from iodeep.terms import Code
from tests.unit.results.support import IDENTITY, NOW, box_labels, make_card, make_series, results_of

BLEED = Code("50960005", "SCT", "Hemorrhage")
EPIDURAL = Code("1386000", "SCT", "Intracranial hemorrhage")
NONE = Code("260413007", "SCT", "None")
HEAD = {
    "tensor": "classes",
    "name": "Bleeding",
    "finding": {"value": "50960005", "scheme": "SCT", "meaning": "Hemorrhage"},
    "classes": [
        {"channel": 0, "code": {"value": "260413007", "scheme": "SCT", "meaning": "None"}},
        {"channel": 1, "code": {"value": "1386000", "scheme": "SCT", "meaning": "Intracranial hemorrhage"}},
    ],
}
ANSWER = Classification(
    "Bleeding", BLEED, (ClassProbability(NONE, 0.125, False), ClassProbability(EPIDURAL, 0.875, True))
)


def items(node: Dataset, meaning: str) -> list[Dataset]:
    """All content items of that concept name, in the order of the document."""
    found = []
    for item in node.get("ContentSequence", []):
        if item.ConceptNameCodeSequence[0].CodeMeaning == meaning:
            found.append(item)
        found.extend(items(item, meaning))
    return found


def volume_results(tmp_path: Path, **options: Any) -> Results:
    series = make_series(tmp_path)
    return results_of(series, Segmentation(2, labels=box_labels(series.geometry.shape)), **options)


def class_results(tmp_path: Path, **changes: Any) -> Results:
    card = make_card(segmentation=None, classifications=[HEAD], **changes)
    return build_results(make_series(tmp_path), Prediction(None, (ANSWER,)), card, IDENTITY, now=NOW)


def test_volumes_are_voxels_times_their_size_in_millilitres(tmp_path: Path) -> None:
    results = volume_results(tmp_path)
    labels = box_labels((6, 24, 20))
    expected = [np.count_nonzero(labels == number) * 3.0 * 0.9 * 0.8 / 1000 for number in (1, 2)]
    measured = [item.MeasuredValueSequence[0] for item in items(results.report, "Volume")]
    assert [float(item.NumericValue) for item in measured] == pytest.approx(expected, abs=1e-4)
    assert {item.MeasurementUnitsCodeSequence[0].CodeValue for item in measured} == {"ml"}
    assert list(results.volumes_ml.values()) == pytest.approx(expected)


def test_each_group_refers_to_its_segment_and_the_source_series(tmp_path: Path) -> None:
    results = volume_results(tmp_path)
    assert results.segmentation is not None
    groups = items(results.report, "Measurement Group")
    assert len(groups) == 2
    for described, group in zip(results.segmentation.SegmentSequence, groups, strict=True):
        reference = items(group, "Referenced Segment")[0].ReferencedSOPSequence[0]
        assert reference.ReferencedSOPInstanceUID == results.segmentation.SOPInstanceUID
        assert reference.ReferencedSegmentNumber == described.SegmentNumber
        assert described.TrackingUID == items(group, "Tracking Unique Identifier")[0].UID
        assert items(group, "Tracking Identifier")[0].TextValue == described.TrackingID
    series = items(results.report, "Source Series for Segmentation")
    assert {item.UID for item in series} == {results.segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID}


def test_segmentation_and_report_name_the_model_with_equal_values(tmp_path: Path) -> None:
    results = volume_results(tmp_path, run_parameters={"overlap": "0.5"}, decided="it is the only one")
    assert results.segmentation is not None
    algorithm = results.segmentation.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    said = [item.TextValue for item in items(results.report, "Algorithm Parameters")[:4]]
    assert said == [
        algorithm.AlgorithmParameters,
        "engine=test engine",
        "overlap=0.5",
        "chosen because=it is the only one",
    ]
    assert items(results.report, "Algorithm Name")[0].TextValue == algorithm.AlgorithmName
    assert items(results.report, "Algorithm Version")[0].TextValue == algorithm.AlgorithmVersion
    family = items(results.report, "Algorithm Family")[0].ConceptCodeSequence[0]
    assert family.CodeValue == algorithm.AlgorithmFamilyCodeSequence[0].CodeValue
    devices = [
        item.DeviceUID
        for dataset in results.datasets
        for item in dataset.ContributingEquipmentSequence
        if "DeviceUID" in item
    ]
    assert {*devices, items(results.report, "Device Observer UID")[0].UID} == {IDENTITY.device_uid}
    assert len(devices) == 2


def test_the_report_is_a_preliminary_one_that_nobody_verified(tmp_path: Path) -> None:
    report = volume_results(tmp_path).report
    assert (report.PreliminaryFlag, report.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")
    assert report.CompletionFlag == "COMPLETE"
    assert items(report, "Procedure reported")[0].ConceptCodeSequence[0].CodeMeaning == "CT unspecified body region"
    assert items(report, "Language of Content Item and Descendants")


def test_a_class_has_its_probability_and_whether_it_is_present(tmp_path: Path) -> None:
    results = class_results(tmp_path)
    assert results.segmentation is None
    assert results.datasets == (results.report,)
    probabilities = [item.MeasuredValueSequence[0].NumericValue for item in items(results.report, "Probability")]
    assert probabilities == [0.125, 0.875]
    assert items(results.report, "None")[0].ConceptCodeSequence[0].CodeMeaning == "Absent"
    assert items(results.report, EPIDURAL.meaning)[0].ConceptCodeSequence[0].CodeMeaning == "Present"
    findings = [item.ConceptCodeSequence[0].CodeMeaning for item in items(results.report, "Finding")]
    assert findings == ["Hemorrhage", "Hemorrhage"]
    assert results.sentences[1] == "Bleeding: Intracranial hemorrhage present (probability 0.88)"


def test_a_report_without_segmentation_names_every_source_image(tmp_path: Path) -> None:
    evidence = class_results(tmp_path).report.CurrentRequestedProcedureEvidenceSequence[0]
    assert len(evidence.ReferencedSeriesSequence[0].ReferencedSOPSequence) == 6


def test_the_side_of_the_target_is_said_with_the_finding_site(tmp_path: Path) -> None:
    report = class_results(tmp_path, target={"regions": ["KNEE"], "laterality": "L"}).report
    site = items(report, "Finding Site")[0]
    assert items(site, "Laterality")[0].ConceptCodeSequence[0].CodeMeaning == "Left"


def test_what_the_network_was_given_beside_the_first_series_is_named_too(tmp_path: Path) -> None:
    series, further = make_series(tmp_path / "a"), make_series(tmp_path / "b", name="second")
    results = results_of(series, Segmentation(2, labels=box_labels((6, 24, 20))), further_series=(further,))
    assert results.segmentation is not None
    of_segmentation = {item.SeriesInstanceUID for item in results.segmentation.ReferencedSeriesSequence}
    of_report = {
        item.SeriesInstanceUID
        for item in results.report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    }
    assert of_segmentation == {series.series_instance_uid, further.series_instance_uid}
    assert of_report == {*of_segmentation, results.uids.segmentation_series}


def test_a_prediction_that_says_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match="neither a segmentation nor a classification"):
        build_results(make_series(tmp_path), Prediction(None), make_card(), IDENTITY, now=NOW)


def test_other_segments_than_the_card_describes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match="other segments than the card describes"):
        results_of(make_series(tmp_path), Segmentation(2, labels=box_labels((6, 24, 20))), make_card(3))
