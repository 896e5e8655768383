"""The source series as highdicom needs to see it: complete, one orientation, spacing from the checked geometry.

Real headers lack Type 2 attributes, differ in the last digit of Image Orientation (Patient), or carry a Spacing Between
Slices that is not the distance between slices. highdicom copies or refuses all that; what is written here is a copy of the
patient, study and image attributes with the geometry that :mod:`iodeep.volume` has checked. The source is not changed.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.valuerep import DA, TM, format_number_as_ds

from iodeep.errors import GeometryError
from iodeep.volume import ImageSeries

_TYPE_2 = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PositionReferenceIndicator",
)
_DATES_AND_TIMES = {"PatientBirthDate": DA, "StudyDate": DA, "StudyTime": TM}
_SEXES = ("M", "F", "O")
_OF_EACH_IMAGE = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "Modality",
    "Rows",
    "Columns",
    "ImagePositionPatient",
)
_FUNCTIONAL_GROUPS = 0x5200
_SMALLEST = 1e-10
"""What is less, in mm or as a cosine, is rounding; some readers stumble over its exponent."""


@dataclass(frozen=True)
class Sources:
    """Prepared images, and for each frame that highdicom expects the slice of the prediction that belongs to it."""

    images: tuple[Dataset, ...]
    slice_of_frame: npt.NDArray[np.intp]

    @property
    def in_slice_order(self) -> bool:
        """Whether frames need no reordering."""
        return bool(np.all(np.diff(self.slice_of_frame) == 1))


def prepare_sources(series: ImageSeries) -> Sources:
    """Copies of the series' headers for the writers of results.

    Errors: :class:`iodeep.errors.GeometryError` where the slices are not one for each source frame.
    """
    first = _complete(_copy(series.headers[0]))
    if "NumberOfFrames" in first and series.geometry.slices[0].frame_number is not None:
        return _multi_frame(first, series)
    geometry = _geometry(series, first)
    first.update(geometry)
    images = (first, *(_reduced(header, geometry) for header in series.headers[1:]))
    return Sources(images, np.arange(len(images)))


def _copy(header: Dataset) -> Dataset:
    copied = Dataset()
    for element in header:
        if not element.tag.is_private and element.tag.group != _FUNCTIONAL_GROUPS:
            copied.add(deepcopy(element))
    return copied


def _complete(image: Dataset) -> Dataset:
    """Type 2 attributes present; a date, time or sex that is no valid value is left empty, which Type 2 allows."""
    for keyword in _TYPE_2:
        if keyword not in image or image[keyword].value is None:
            setattr(image, keyword, "")
    for keyword, kind in _DATES_AND_TIMES.items():
        try:
            kind(image[keyword].value)
        except ValueError:
            setattr(image, keyword, "")
    if image.PatientSex not in _SEXES:
        image.PatientSex = ""
    return image


def _reduced(header: Dataset, geometry: Dataset) -> Dataset:
    """What is asked of each further image. Its elements are those of ``header`` and ``geometry``, to be read only."""
    image = Dataset()
    image.update(geometry)
    for keyword in _OF_EACH_IMAGE:
        if keyword in header:
            image.add(header[keyword])
    return image


def _decimals(values: npt.NDArray[np.float64] | tuple[float, ...]) -> list[str]:
    return [format_number_as_ds(float(value) if abs(value) >= _SMALLEST else 0.0) for value in values]


def _orientation(series: ImageSeries) -> list[str]:
    """Image Orientation (Patient): unit vectors along a row (growing column) and along a column (growing row)."""
    affine, spacing = series.geometry.affine, series.geometry.spacing
    return _decimals(np.concatenate([affine[:3, 2] / spacing[2], affine[:3, 1] / spacing[1]]))


def _pixel_measures(series: ImageSeries, image: Dataset) -> Dataset:
    """Pixel Measures (PS3.3 C.7.6.16.2.1): thickness as the source says it, spacing as the geometry has it."""
    between, row, column = series.geometry.spacing
    measures = Dataset()
    measures.PixelSpacing = _decimals((row, column))
    measures.SliceThickness = format_number_as_ds(_thickness(image) or between)
    if series.geometry.slice_count > 1:
        measures.SpacingBetweenSlices = format_number_as_ds(between)
    return measures


def _thickness(image: Dataset) -> float | None:
    value = image.get("SliceThickness")
    return float(value) if value not in (None, "") and float(value) > 0 else None


def _geometry(series: ImageSeries, image: Dataset) -> Dataset:
    """The attributes that say where the slices lie, beside their positions: the same for every image."""
    image.pop("SpacingBetweenSlices", None)
    geometry = _pixel_measures(series, image)
    geometry.ImageOrientationPatient = _orientation(series)
    return geometry


def _multi_frame(image: Dataset, series: ImageSeries) -> Sources:
    numbers = [source.frame_number for source in series.geometry.slices]
    if sorted(number or 0 for number in numbers) != list(range(1, int(image.NumberOfFrames) + 1)):
        raise GeometryError(
            "the slices of the volume are not the frames of the multi-frame image, one for one",
            expected=f"frames 1 to {image.NumberOfFrames}",
            found=f"{len(numbers)} slices",
        )
    slice_of_frame = np.argsort(np.array(numbers))
    header = series.headers[0]
    image.SharedFunctionalGroupsSequence = [_shared_groups(series, header)]
    image.PerFrameFunctionalGroupsSequence = [_frame_groups(series, int(k)) for k in slice_of_frame]
    return Sources((image,), slice_of_frame)


def _shared_groups(series: ImageSeries, header: Dataset) -> Dataset:
    orientation, groups = Dataset(), Dataset()
    orientation.ImageOrientationPatient = _orientation(series)
    groups.PlaneOrientationSequence = [orientation]
    groups.PixelMeasuresSequence = [_pixel_measures(series, _source_measures(header))]
    return groups


def _source_measures(header: Dataset) -> Dataset:
    """The source's own Pixel Measures, shared or of the first frame; empty where it has none."""
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for groups in header.get(name, [])[:1]:
            for measures in groups.get("PixelMeasuresSequence", []):
                return Dataset(measures)
    return Dataset()


def _frame_groups(series: ImageSeries, slice_index: int) -> Dataset:
    position, groups = Dataset(), Dataset()
    position.ImagePositionPatient = _decimals(series.geometry.position(slice_index))
    groups.PlanePositionSequence = [position]
    return groups
