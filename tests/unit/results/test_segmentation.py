"""What a segmentation says beside its voxels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from highdicom.color import CIELabColor
from pydicom.dataset import Dataset

from iodeep.errors import InferenceError
from iodeep.prediction import Segmentation
from iodeep.results import SegKind, accepted_kind, segmentation_sop_class, sop_classes_to_propose, write_results
from iodeep.volume import open_series
from tests.synthetic import CORONAL, write_multiframe
from tests.unit.results.readers import dcmqi_centroids, segread_masks
from tests.unit.results.support import IDENTITY, LIVER, box_labels, make_card, make_series, results_of, segment

RIGHT = {"value": "24028007", "scheme": "SCT", "meaning": "Right"}
ABDOMEN = {"value": "818981001", "scheme": "SCT", "meaning": "Abdomen"}


def encoded(tmp_path: Path, segmentation: Segmentation | None = None, **options: Any) -> Dataset:
    series = make_series(tmp_path / "source", **options.pop("series", {}))
    made = segmentation or Segmentation(2, labels=box_labels(series.geometry.shape))
    dataset = results_of(series, made, **options).segmentation
    assert dataset is not None
    return dataset


def segments_of_frames(dataset: Dataset) -> list[int]:
    return [
        int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        for groups in dataset.PerFrameFunctionalGroupsSequence
    ]


def test_only_frames_that_hold_their_segment_are_written(tmp_path: Path) -> None:
    dataset = encoded(tmp_path)
    assert segments_of_frames(dataset) == [1, 1, 1, 2, 2, 2, 2]


def test_each_frame_names_the_image_that_it_was_made_from(tmp_path: Path) -> None:
    series = make_series(tmp_path)
    dataset = results_of(series, Segmentation(2, labels=box_labels(series.geometry.shape))).segmentation
    assert dataset is not None
    positions = {header.SOPInstanceUID: header.ImagePositionPatient for header in series.headers}
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        source = groups.DerivationImageSequence[0].SourceImageSequence[0]
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        assert position == positions[source.ReferencedSOPInstanceUID]
    referenced = dataset.ReferencedSeriesSequence[0]
    assert referenced.SeriesInstanceUID == series.series_instance_uid
    assert len(referenced.ReferencedInstanceSequence) == 6


def test_a_segment_says_what_it_is_in_codes_and_colour(tmp_path: Path) -> None:
    described = segment(1, label="Right lobe", type_modifiers=[RIGHT], regions=[ABDOMEN], rgb=(10, 200, 30))
    labels = (box_labels((6, 24, 20)) == 1).astype(np.uint8)
    dataset = encoded(tmp_path, Segmentation(1, labels=labels), card=make_card([described]))
    item = dataset.SegmentSequence[0]
    property_type = item.SegmentedPropertyTypeCodeSequence[0]
    assert (item.SegmentLabel, property_type.CodeValue) == ("Right lobe", LIVER["value"])
    assert property_type.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Right"
    assert item.AnatomicRegionSequence[0].CodeValue == ABDOMEN["value"]
    assert CIELabColor.from_dicom_value(item.RecommendedDisplayCIELabValue).to_rgb() == (10, 200, 30)
    assert item.SegmentAlgorithmType == "AUTOMATIC"
    assert item.TrackingID == "Organ finder 1.2.3: Right lobe"


def test_every_segment_names_the_model_object_and_pins_its_content(tmp_path: Path) -> None:
    for item in encoded(tmp_path).SegmentSequence:
        algorithm = item.SegmentationAlgorithmIdentificationSequence[0]
        assert algorithm.AlgorithmFamilyCodeSequence[0].CodeValue == "123110"
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("Organ finder", "1.2.3")
        assert algorithm.AlgorithmParameters == f"model=2.25.1001;sha256={'ab' * 32}"


def test_the_model_is_contributing_equipment_with_its_device_uid(tmp_path: Path) -> None:
    dataset = encoded(tmp_path, run_parameters={"overlap": "0.5"}, decided="the only model for the liver")
    equipment = [item for item in dataset.ContributingEquipmentSequence if "DeviceUID" in item]
    assert len(equipment) == 1
    assert equipment[0].PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    assert equipment[0].DeviceUID == IDENTITY.device_uid
    assert equipment[0].ManufacturerDeviceClassUID == IDENTITY.device_class_uid
    assert (equipment[0].Manufacturer, equipment[0].ManufacturerModelName) == ("Example Institute", "Organ finder")
    assert equipment[0].SoftwareVersions == "1.2.3"
    for detail in ("engine=test engine", "overlap=0.5", "the only model for the liver"):
        assert detail in equipment[0].ContributionDescription


@pytest.mark.parametrize("kind", SegKind)
def test_nothing_found_is_one_frame_of_zeros_for_each_segment(tmp_path: Path, kind: SegKind) -> None:
    series = make_series(tmp_path / "source")
    nothing = np.zeros(series.geometry.shape, np.uint8)
    fractions = np.zeros((2, *series.geometry.shape), np.float32)
    results = results_of(series, Segmentation(2, labels=nothing, probabilities=fractions), kind=kind)
    dataset = results.segmentation
    assert dataset is not None
    assert dataset.NumberOfFrames == (1 if kind is SegKind.LABELMAP else 2)
    assert set(dataset.PixelData) == {0}
    assert results.volumes_ml == {1: 0.0, 2: 0.0}
    assert results.sentences == ("Organ 1: not found (0 ml)", "Organ 2: not found (0 ml)")
    path = write_results(results, tmp_path / "out")[0]
    uids = [header.SOPInstanceUID for header in series.headers]
    assert not segread_masks(path, uids, 2).any()


def test_dcmqi_reads_a_segmentation_in_which_nothing_was_found(tmp_path: Path) -> None:
    series = make_series(tmp_path / "source")
    results = results_of(series, Segmentation(1, labels=np.zeros(series.geometry.shape, np.uint8)))
    assert dcmqi_centroids(write_results(results, tmp_path / "out")[0], tmp_path / "itk") == {}


def test_a_segment_that_was_not_found_is_described_beside_one_that_was(tmp_path: Path) -> None:
    labels = box_labels((6, 24, 20))
    labels[labels == 1] = 0
    dataset = encoded(tmp_path, Segmentation(2, labels=labels))
    assert [item.SegmentNumber for item in dataset.SegmentSequence] == [1, 2]
    assert set(segments_of_frames(dataset)) == {2}


def test_overlapping_segments_keep_the_voxels_that_they_share(tmp_path: Path) -> None:
    series = make_series(tmp_path / "source")
    masks = np.zeros((2, *series.geometry.shape), np.bool_)
    masks[0, 1:4, 3:12, 4:12] = True
    masks[1, 2:5, 8:20, 6:15] = True
    results = results_of(series, Segmentation(2, masks=masks))
    assert results.segmentation is not None
    assert results.segmentation.SegmentsOverlap == "YES"
    path = write_results(results, tmp_path / "out")[0]
    read = segread_masks(path, [header.SOPInstanceUID for header in series.headers], 2)
    np.testing.assert_array_equal(np.moveaxis(read, -1, 0), masks)
    with pytest.raises(InferenceError, match="cannot be encoded as LABELMAP") as refused:
        results_of(series, Segmentation(2, masks=masks), kind=SegKind.LABELMAP)
    assert refused.value.remedy == "Ask for BINARY."


def test_probabilities_are_kept_to_one_part_in_255(tmp_path: Path) -> None:
    series = make_series(tmp_path / "source")
    shape = series.geometry.shape
    fractions = np.random.default_rng(1).random((2, *shape), dtype=np.float32) ** 4
    fractions[:, 0] = 0.001
    segmentation = Segmentation(2, labels=box_labels(shape), probabilities=fractions)
    results = results_of(series, segmentation, kind=SegKind.FRACTIONAL)
    assert results.segmentation is not None
    assert results.segmentation.SegmentationFractionalType == "PROBABILITY"
    read = segread_masks(
        write_results(results, tmp_path / "out")[0], [header.SOPInstanceUID for header in series.headers], 2
    )
    difference = np.abs(np.moveaxis(read, -1, 0).astype(np.float64) - fractions)
    assert difference.max() <= 0.5 / 255 + 1e-6


def test_fractional_without_probabilities_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match="needs probabilities"):
        encoded(tmp_path, kind=SegKind.FRACTIONAL)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.5])
def test_probabilities_that_are_none_are_refused(tmp_path: Path, value: float) -> None:
    fractions = np.full((1, 6, 24, 20), 0.5, np.float32)
    fractions[0, 2, 3, 4] = value
    labels = np.ones((6, 24, 20), np.uint8)
    with pytest.raises(InferenceError):
        encoded(tmp_path, Segmentation(1, labels=labels, probabilities=fractions), kind=SegKind.FRACTIONAL)


def test_labels_that_the_card_does_not_describe_are_refused(tmp_path: Path) -> None:
    labels = box_labels((6, 24, 20))
    labels[0, 0, 0] = 7
    with pytest.raises(InferenceError, match="label 7"):
        encoded(tmp_path, Segmentation(2, labels=labels))


def test_a_segmentation_on_another_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InferenceError, match="not on the series' grid"):
        encoded(tmp_path, Segmentation(2, labels=box_labels((6, 20, 24))))


def test_spacing_comes_from_the_positions_whatever_the_header_claims(tmp_path: Path) -> None:
    claims = {"SpacingBetweenSlices": "-99", "SliceThickness": "1.5"}
    dataset = encoded(tmp_path, series={"overrides": claims})
    measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert (measures.SliceThickness, measures.SpacingBetweenSlices) == (1.5, 3.0)


@pytest.mark.filterwarnings("ignore:Invalid value for VR:UserWarning")  # pydicom, when the test writes them
def test_absent_and_impossible_patient_attributes_are_left_empty(tmp_path: Path) -> None:
    defects = {
        "PatientSex": "W",
        "PatientBirthDate": "unknown",
        "StudyTime": "25:61",
        "AccessionNumber": None,
        "StudyID": None,
        "ReferringPhysicianName": None,
        "SliceThickness": None,
    }
    dataset = encoded(tmp_path, series={"overrides": defects})
    for keyword in defects.keys() - {"SliceThickness"}:
        assert dataset[keyword].value in ("", None), keyword
    assert dataset.PatientID == "SYNTHETIC1"


@pytest.mark.parametrize(
    ("character_set", "name"),
    [("ISO_IR 100", "Müller^Zoë"), ("ISO_IR 192", "山田^太郎"), ("ISO_IR 144", "Люкceмбypг^Р")],
)
def test_a_patient_is_called_the_same_in_the_result(tmp_path: Path, character_set: str, name: str) -> None:
    series = make_series(tmp_path / "source", overrides={"SpecificCharacterSet": character_set, "PatientName": name})
    results = results_of(series, Segmentation(2, labels=box_labels(series.geometry.shape)))
    for path in write_results(results, tmp_path / "out"):
        assert str(pydicom.dcmread(path).PatientName) == name


def test_lossy_compression_of_the_source_is_carried_over(tmp_path: Path) -> None:
    lossy = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": "12.5",
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    dataset = encoded(tmp_path, series={"overrides": lossy})
    assert dataset.LossyImageCompression == "01"
    assert (dataset.LossyImageCompressionRatio, dataset.LossyImageCompressionMethod) == (12.5, "ISO_10918_1")


def test_the_source_headers_are_not_changed(tmp_path: Path) -> None:
    series = make_series(tmp_path, overrides={"PatientSex": "W", "SpacingBetweenSlices": "9"})
    before = [header.to_json() for header in series.headers]
    results_of(series, Segmentation(2, labels=box_labels(series.geometry.shape)))
    assert [header.to_json() for header in series.headers] == before


def test_frames_of_a_multi_frame_source_name_their_frame(tmp_path: Path) -> None:
    order = [3, 0, 4, 1, 2]
    voxels = np.arange(5 * 16 * 12).reshape(5, 16, 12).astype(np.int16)
    series = open_series([write_multiframe(tmp_path, voxels, frame_order=order, orientation=CORONAL)])
    labels = np.zeros((5, 16, 12), np.uint8)
    labels[0, 3:6, 2:9] = 1
    dataset = results_of(series, Segmentation(1, labels=labels)).segmentation
    assert dataset is not None
    (groups,) = dataset.PerFrameFunctionalGroupsSequence
    source = groups.DerivationImageSequence[0].SourceImageSequence[0]
    assert source.ReferencedFrameNumber == order.index(0) + 1


def test_pixel_data_of_odd_length_ends_with_a_zero_byte(tmp_path: Path) -> None:
    labels = np.zeros((1, 3, 7), np.uint8)
    labels[0, 1:3, 2:6] = 1
    dataset = encoded(tmp_path, Segmentation(1, labels=labels), series={"shape": (1, 3, 7)})
    assert len(dataset.PixelData) == 4
    bits = np.unpackbits(np.frombuffer(dataset.PixelData, np.uint8), bitorder="little")
    np.testing.assert_array_equal(bits[:21].reshape(3, 7), labels[0])
    assert not bits[21:].any()


@pytest.mark.parametrize("mark", ["RESEARCH", "PRODUCT"])
def test_a_series_of_a_research_model_says_so(tmp_path: Path, mark: str) -> None:
    dataset = encoded(tmp_path, card=make_card(2, qualification=mark))
    assert dataset.SeriesDescription.startswith("Research: ") is (mark == "RESEARCH")
    assert "Organ finder 1.2.3" in dataset.SeriesDescription


def test_a_label_map_is_for_archives_that_take_it_and_for_segments_that_do_not_overlap() -> None:
    takes_all = frozenset(sop_classes_to_propose(SegKind.LABELMAP))
    assert segmentation_sop_class(SegKind.LABELMAP) == "1.2.840.10008.5.1.4.1.1.66.7"
    assert accepted_kind(SegKind.LABELMAP, takes_all) is SegKind.LABELMAP
    assert accepted_kind(SegKind.LABELMAP, takes_all, overlapping=True) is SegKind.BINARY
    without = takes_all - {segmentation_sop_class(SegKind.LABELMAP)}
    assert accepted_kind(SegKind.LABELMAP, without) is SegKind.BINARY
    assert accepted_kind(SegKind.FRACTIONAL, without) is SegKind.FRACTIONAL
