"""A prediction as DICOM Segmentation (PS3.3 A.51, C.8.20), written by highdicom on the source's own slices.

Only frames that hold something of their segment are written. A segmentation in which no segment was found has one frame of
zeros for each segment, on the middle slice: the IOD needs a frame, and the descriptions say what was looked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import highdicom as hd
import numpy as np
import numpy.typing as npt
from highdicom.color import CIELabColor
from highdicom.seg import SegmentDescription
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from iodeep.card import Segment
from iodeep.errors import InferenceError
from iodeep.prediction import Segmentation
from iodeep.results.kinds import SegKind
from iodeep.results.provenance import Provenance, concept, shortened
from iodeep.results.source import Sources
from iodeep.results.uids import ResultUids

SERIES_NUMBER_STEP = 1000
_LARGEST_SERIES_NUMBER = 2_000_000
SMALLEST_PROBABILITY = 0.5 / 255
"""What is less is stored as 0 in the 8 bits of a FRACTIONAL segmentation."""


@dataclass(frozen=True)
class _Frames:
    """Pixels in highdicom's order (frame, row, column[, segment]); ``marked`` where they only stand for zeros."""

    pixels: npt.NDArray[np.generic]
    marked: bool


def build_segmentation(
    sources: Sources,
    further: tuple[Dataset, ...],
    predicted: Segmentation,
    kind: SegKind,
    provenance: Provenance,
    uids: ResultUids,
) -> Dataset:
    """The SEG of ``predicted`` in the encoding ``kind``; ``further`` images of the same study are named as sources too."""
    frames = _frames(sources, predicted, kind)
    try:
        dataset = _write(sources, further, frames, kind, provenance, uids)
    except ValueError as error:
        raise InferenceError(
            f"the segmentation cannot be encoded as {kind.value}: {' '.join(str(error).split())}",
            remedy="Ask for BINARY." if kind is not SegKind.BINARY else None,
        ) from error
    if frames.marked:
        dataset.PixelData = bytes(len(dataset.PixelData))
    _pad_with_zero(dataset)
    _fix_dimension_organization(dataset, uids)
    provenance.settle(dataset)
    return dataset


def read_tables() -> None:
    """Let highdicom read its tables of IODs now, a quarter of a second, instead of at the first image that it is given."""
    image = Dataset()
    image.SOPClassUID = CTImageStorage
    image.FrameOfReferenceUID = "2.25.0"
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.ImagePositionPatient = [0, 0, 0]
    hd.utils.get_plane_positions_of_series([image])


def series_number(source: Dataset, place: int) -> int:
    """A Series Number that sorts after the source's: 5 gives 5001 for the segmentation and 5002 for the report."""
    number = source.get("SeriesNumber")
    return (abs(int(number)) % _LARGEST_SERIES_NUMBER if number else 0) * SERIES_NUMBER_STEP + place


def _write(
    sources: Sources,
    further: tuple[Dataset, ...],
    frames: _Frames,
    kind: SegKind,
    provenance: Provenance,
    uids: ResultUids,
) -> Dataset:
    output = provenance.card.segmentation
    assert output is not None
    study = sources.images[0].StudyInstanceUID
    return hd.seg.Segmentation(
        source_images=list(sources.images),
        further_source_images=[image for image in further if study == image.StudyInstanceUID],
        pixel_array=frames.pixels,
        segmentation_type=kind.value,
        segment_descriptions=[_description(segment, provenance, uids) for segment in output.segments],
        series_instance_uid=uids.segmentation_series,
        series_number=series_number(sources.images[0], 1),
        sop_instance_uid=uids.segmentation,
        instance_number=1,
        content_label="AI_SEG",
        content_description=provenance.title,
        content_creator_name=f"AIMODEL^{provenance.identity.name}",
        **provenance.instance_attributes(),
    )


def _description(segment: Segment, provenance: Provenance, uids: ResultUids) -> SegmentDescription:
    """Segment Sequence item (PS3.3 C.8.20.4)."""
    described = SegmentDescription(
        segment_number=segment.number,
        segment_label=segment.label,
        segmented_property_category=concept(segment.category.code),
        segmented_property_type=concept(segment.type.code),
        algorithm_type="AUTOMATIC",
        algorithm_identification=provenance.algorithm_sequence(),
        tracking_uid=segment_tracking_uid(segment, uids),
        tracking_id=segment_tracking_id(segment, provenance),
        anatomic_regions=[concept(region.code) for region in segment.regions] or None,
        display_color=CIELabColor.from_rgb(*segment.rgb),
    )
    if segment.type_modifiers:
        described.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [
            concept(modifier.code) for modifier in segment.type_modifiers
        ]
    return described


def segment_tracking_uid(segment: Segment, uids: ResultUids) -> str:
    """The same in SEG and SR."""
    return uids.tracking(f"segment {segment.number}")


def segment_tracking_id(segment: Segment, provenance: Provenance) -> str:
    """The same in SEG and SR."""
    return shortened(f"{provenance.identity.name} {provenance.identity.version}: {segment.label}", 64)


def _frames(sources: Sources, predicted: Segmentation, kind: SegKind) -> _Frames:
    pixels = _fractions(predicted) if kind is SegKind.FRACTIONAL else _labels_or_masks(predicted)
    if not pixels.any():
        return _Frames(_stand_in(sources, pixels, predicted.segment_count), marked=True)
    return _Frames(pixels if sources.in_slice_order else pixels[sources.slice_of_frame], marked=False)


def _labels_or_masks(predicted: Segmentation) -> npt.NDArray[np.generic]:
    if predicted.labels is not None:
        return predicted.labels
    assert predicted.masks is not None
    return _as_labels(predicted.masks)


def _as_labels(masks: npt.NDArray[np.bool_]) -> npt.NDArray[np.generic]:
    """Masks as one label map where no two share a voxel, which highdicom writes twice as fast; else stacked last."""
    labels = np.zeros(masks.shape[1:], np.uint8 if len(masks) < 256 else np.uint16)
    for number, mask in enumerate(masks, start=1):
        if np.any(mask & (labels > 0)):
            return np.moveaxis(masks, 0, -1)
        labels[mask] = number
    return labels


def _fractions(predicted: Segmentation) -> npt.NDArray[np.float32]:
    if predicted.probabilities is None:
        raise InferenceError(
            "a FRACTIONAL segmentation needs probabilities, and the run kept none",
            remedy="Run again and ask for probabilities, or ask for BINARY.",
        )
    if not np.isfinite(predicted.probabilities).all():
        raise InferenceError("the network gave probabilities that are not numbers")
    fractions: npt.NDArray[np.float32] = np.moveaxis(predicted.probabilities, 0, -1)
    return np.where(fractions < SMALLEST_PROBABILITY, np.float32(0), fractions)


def _stand_in(sources: Sources, pixels: npt.NDArray[np.generic], segment_count: int) -> npt.NDArray[np.generic]:
    """One voxel of each segment on the middle slice, so that a frame of each is written; its pixels are zeroed later."""
    stand_in = np.zeros_like(pixels)
    middle = stand_in[int(np.argsort(sources.slice_of_frame)[len(pixels) // 2])]
    for index in range(segment_count):
        if middle.ndim == 2:
            middle.flat[index] = index + 1
        else:
            middle.reshape(-1, segment_count)[index, index] = 1
    return stand_in


def _pad_with_zero(dataset: Dataset) -> None:
    """Pixel Data of odd length ends with a zero byte (PS3.5 8.1.1); highdicom writes the digit."""
    bits = int(dataset.NumberOfFrames) * dataset.Rows * dataset.Columns * dataset.BitsAllocated
    length = -(-bits // 8)
    if len(dataset.PixelData) > length:
        dataset.PixelData = dataset.PixelData[:length] + bytes(len(dataset.PixelData) - length)


def _fix_dimension_organization(dataset: Dataset, uids: ResultUids) -> None:
    """Dimension Organization UID (0020,9164) follows from the result as its other UIDs do."""
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = uids.dimension_organization
