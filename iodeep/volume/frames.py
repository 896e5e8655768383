"""Headers -> frames: one record a slice, from single-frame images and functional groups alike; nothing is filled in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from pydicom.dataset import Dataset

from iodeep.errors import GeometryError
from iodeep.volume.geometry import SliceSource
from iodeep.volume.image_file import ImageFile


@dataclass(frozen=True)
class Frame:
    """What the headers say of one slice; lengths in mm, vectors in patient coordinates (LPS).

    ``file`` and ``index`` (from 0) say where its pixels are; ``groups`` are the data sets that describe it, nearest first.
    """

    file: int
    index: int
    source: SliceSource
    name: str
    groups: tuple[Dataset, ...]
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    pixel_spacing: tuple[float, ...]
    thickness: float | None
    spacing_between: float | None
    rescale: tuple[float, float] | None

    def value(self, keyword: str) -> str:
        """What the nearest group says, as text; empty where none does."""
        for group in self.groups:
            if (found := group.get(keyword)) is not None:
                return str(found)
        return ""


def frames_of(files: Sequence[ImageFile]) -> list[Frame]:
    """Every frame of the files, in file order.

    Errors: :class:`GeometryError` where a frame has no position, orientation or pixel spacing, or a garbled one.
    """
    return [frame for number, file in enumerate(files) for frame in _frames(number, file)]


def _frames(number: int, file: ImageFile) -> Iterator[Frame]:
    header = file.header
    if "PerFrameFunctionalGroupsSequence" in header:
        return _functional_group_frames(number, file)
    if header.get("NumberOfFrames") not in (None, "", 1):
        raise GeometryError(
            f"{file.path.name} holds {header.NumberOfFrames} frames without positions in the patient",
            expected="single-frame images or enhanced multi-frame images with Plane Position and Orientation",
            found=f"{_class_name(header)} without functional groups",
            remedy="Choose a series of single-frame or enhanced images.",
        )
    return iter((_frame(number, 0, file, None, (header,)),))


def _functional_group_frames(number: int, file: ImageFile) -> Iterator[Frame]:
    """Frames of an enhanced image: each macro from the frame's own item, else from the shared one (PS3.3 C.7.6.16)."""
    header = file.header
    per_frame = header.PerFrameFunctionalGroupsSequence
    count = int(header.get("NumberOfFrames") or 0)
    if count != len(per_frame):
        raise GeometryError(
            f"{file.path.name} says two numbers of frames",
            expected=f"{count} as Number of Frames says",
            found=f"{len(per_frame)} items of Per-Frame Functional Groups",
        )
    shared = tuple(_macros(item) for item in header.get("SharedFunctionalGroupsSequence") or ())
    shared_groups = tuple(group for groups in shared for group in groups)
    for index, item in enumerate(per_frame):
        yield _frame(number, index, file, index + 1, (*_macros(item), *shared_groups, header))


def _macros(item: Dataset) -> tuple[Dataset, ...]:
    """The first item of each functional group macro."""
    return tuple(element.value[0] for element in item if element.VR == "SQ" and element.value)


def _frame(number: int, index: int, file: ImageFile, frame_number: int | None, groups: tuple[Dataset, ...]) -> Frame:
    name = file.path.name if frame_number is None else f"frame {frame_number} of {file.path.name}"
    header = file.header
    thickness = _numbers(groups, "SliceThickness", 1, name)
    between = _numbers(groups, "SpacingBetweenSlices", 1, name)
    return Frame(
        file=number,
        index=index,
        source=SliceSource(str(header.SOPClassUID), str(header.SOPInstanceUID), frame_number),
        name=name,
        groups=groups,
        position=_needed(groups, "ImagePositionPatient", 3, name, header),
        orientation=_needed(groups, "ImageOrientationPatient", 6, name, header),
        pixel_spacing=_needed(groups, "PixelSpacing", 2, name, header),
        thickness=thickness[0] if thickness else None,
        spacing_between=between[0] if between else None,
        rescale=_rescale(groups, name),
    )


def _rescale(groups: Sequence[Dataset], name: str) -> tuple[float, float] | None:
    """Rescale Slope and Intercept (PS3.3 C.11.1.1); both or neither."""
    slope = _numbers(groups, "RescaleSlope", 1, name)
    intercept = _numbers(groups, "RescaleIntercept", 1, name)
    if (slope is None) is not (intercept is None):
        raise GeometryError(f"{name} has only one of Rescale Slope and Rescale Intercept")
    if slope is None or intercept is None:
        return None
    if slope[0] == 0:
        raise GeometryError(f"{name} has a Rescale Slope of 0: all values would be the same")
    return slope[0], intercept[0]


def _needed(groups: Sequence[Dataset], keyword: str, count: int, name: str, header: Dataset) -> tuple[float, ...]:
    numbers = _numbers(groups, keyword, count, name)
    if numbers is None:
        raise GeometryError(
            f"{name} has no {_IN_WORDS[keyword]}, so its place in the patient is not known",
            expected=f"{keyword} (PS3.3 C.7.6.2)",
            found=f"none in {_class_name(header)}",
            remedy="Choose an original cross-sectional series; projections, ultrasound and secondary captures have none.",
        )
    return numbers


_IN_WORDS = {
    "ImagePositionPatient": "Image Position (Patient)",
    "ImageOrientationPatient": "Image Orientation (Patient)",
    "PixelSpacing": "Pixel Spacing",
}


def _numbers(groups: Sequence[Dataset], keyword: str, count: int, name: str) -> tuple[float, ...] | None:
    """The value as finite numbers; None where it is absent or empty."""
    for group in groups:
        if keyword in group and (found := _value(group, keyword, name)) not in (None, ""):
            return _checked(found, keyword, count, name)
    return None


def _value(group: Dataset, keyword: str, name: str) -> Any:
    try:
        return group[keyword].value
    except (TypeError, ValueError, OverflowError) as error:
        raise GeometryError(f"{keyword} of {name} is garbled", found=str(error)) from error


def _checked(value: Any, keyword: str, count: int, name: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(item) for item in ([value] if count == 1 else value))
    except (TypeError, ValueError, OverflowError) as error:
        raise GeometryError(f"{keyword} of {name} is not made of numbers", found=str(value)) from error
    if len(numbers) != count or not all(isfinite(number) for number in numbers):
        raise GeometryError(f"{keyword} of {name} is garbled", expected=f"{count} finite numbers", found=str(value))
    return numbers


def _class_name(header: Dataset) -> str:
    return str(header.SOPClassUID.name)
