"""What must hold of a series' headers before its geometry is looked at: one patient, one kind of image, sizes that are true."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from pydicom.dataset import Dataset

from iodeep.errors import GeometryError, InputError
from iodeep.volume.frames import Frame
from iodeep.volume.image_file import ImageFile

_SAME = {
    "PatientID": "patients",
    "PatientName": "patients",
    "PatientBirthDate": "patients",
    "IssuerOfPatientID": "patients",
    "StudyInstanceUID": "studies",
    "SeriesInstanceUID": "series",
    "Modality": "modalities",
    "SOPClassUID": "SOP classes",
    "FrameOfReferenceUID": "frames of reference",
    "Rows": "numbers of rows",
    "Columns": "numbers of columns",
    "PhotometricInterpretation": "photometric interpretations",
}
"""Attributes that a stack of slices has in common, and what is mixed where they differ."""

_DERIVED_OBJECTS = {"SEG", "RTDOSE", "RTSTRUCT", "SR", "PR", "KO", "REG", "M3D"}
_LARGEST_FRAME = 1 << 26
_LARGEST_VOLUME = 1 << 33
_SUSPECT_RATIO = 1000
_SUSPECT_BYTES = 1 << 28


def check_headers(files: Sequence[ImageFile]) -> None:
    """Refuse what can be no stack of slices.

    Errors: :class:`GeometryError` for mixed series, localizers, colour and objects that are no images;
    :class:`InputError` where a file declares other sizes than it holds.
    """
    headers = [file.header for file in files]
    _refuse_objects(headers[0])
    _refuse_same_instance(files)
    for keyword, words in _SAME.items():
        _refuse_mixed(files, keyword, words)
    _refuse_localizer(files)
    _refuse_colour(files)
    _refuse_several_multiframes(files)
    for file in files:
        _check_pixel_module(file)
    _check_volume_size(files)


def check_rescale(frames: Sequence[Frame], header: Dataset) -> None:
    """Refuse values whose meaning is in doubt: rescaled and unrescaled slices mixed, CT without Hounsfield units."""
    without = [frame.name for frame in frames if frame.rescale is None]
    if without and len(without) < len(frames):
        raise GeometryError(
            f"{len(without)} of {len(frames)} slices have no Rescale Slope and Intercept", found=f"such as {without[0]}"
        )
    if header.Modality != "CT":
        return
    if without:
        raise GeometryError(
            "a CT series without Rescale Slope and Intercept: its Hounsfield units are not known",
            expected="Rescale Slope and Intercept (type 1, PS3.3 C.8.2.1)",
            remedy="Choose the original series.",
        )
    kinds = {frame.value("RescaleType") for frame in frames} - {"HU", "US", ""}
    if kinds:
        raise GeometryError(
            "a CT series whose values are not Hounsfield units",
            expected="Rescale Type HU",
            found=", ".join(sorted(kinds)),
        )


def _refuse_objects(header: Dataset) -> None:
    if str(header.Modality) in _DERIVED_OBJECTS or "SegmentSequence" in header:
        raise GeometryError(
            f"the series holds {header.SOPClassUID.name} objects, not images of a patient",
            remedy="Choose the image series that they were made from.",
        )


def _refuse_same_instance(files: Sequence[ImageFile]) -> None:
    seen: dict[str, ImageFile] = {}
    for file in files:
        other = seen.setdefault(str(file.header.SOPInstanceUID), file)
        if other is not file:
            raise GeometryError(
                "an image is there twice",
                expected="each SOP Instance UID once",
                found=f"{file.header.SOPInstanceUID} in {other.path.name} and {file.path.name}",
                remedy="Remove one of the two files.",
            )


def _refuse_mixed(files: Sequence[ImageFile], keyword: str, words: str) -> None:
    values = dict.fromkeys(str(file.header.get(keyword) or "") for file in files)
    if len(values) > 1:
        raise GeometryError(
            f"the files are of {len(values)} {words}",
            expected=f"one {keyword}",
            found=", ".join(value or "none" for value in list(values)[:4]),
            remedy="Give one series at a time.",
        )


def _refuse_localizer(files: Sequence[ImageFile]) -> None:
    scouts = [file for file in files if "LOCALIZER" in _values(file.header, "ImageType")]
    if scouts:
        raise GeometryError(
            "the series is a localizer" if len(scouts) == len(files) else "the series contains localizer images",
            found=f"Image Type {', '.join(_values(scouts[0].header, 'ImageType'))} in {len(scouts)} of {len(files)} files",
            remedy="Choose the diagnostic series.",
        )


def _refuse_colour(files: Sequence[ImageFile]) -> None:
    for file in files:
        samples, kind = file.header.get("SamplesPerPixel"), str(file.header.get("PhotometricInterpretation") or "")
        if samples != 1 or kind not in {"MONOCHROME1", "MONOCHROME2"}:
            raise GeometryError(
                f"{file.path.name} is a colour image or does not say what its samples are",
                expected="one sample a pixel, MONOCHROME1 or MONOCHROME2",
                found=f"{samples} samples, {kind or 'no Photometric Interpretation'}",
                remedy="Choose the original grey-scale series.",
            )


def _refuse_several_multiframes(files: Sequence[ImageFile]) -> None:
    several = [file for file in files if "PerFrameFunctionalGroupsSequence" in file.header]
    if several and len(files) > 1:
        part = "parts of a concatenation" if "ConcatenationUID" in several[0].header else "multi-frame images"
        raise GeometryError(
            f"the series is made of {len(files)} {part}",
            expected="one multi-frame image, or single-frame images",
            remedy="Give one of them at a time.",
        )


def _values(header: Dataset, keyword: str) -> tuple[str, ...]:
    value = header.get(keyword) or ()
    return (value,) if isinstance(value, str) else tuple(map(str, value))


def frame_count(header: Dataset) -> int:
    """Number of Frames (0028,0008), 1 where it is absent. Errors: :class:`InputError` where it is no number."""
    value = header.get("NumberOfFrames")
    if value in (None, "", 0):
        return 1
    if not isinstance(value, int):
        raise InputError("an image does not say how many frames it has", expected="a whole number", found=repr(value))
    return int(value)


def _check_pixel_module(file: ImageFile) -> None:
    """Sizes and bits that are possible (PS3.3 C.7.6.3), and held by the file."""
    header, name = file.header, file.path.name
    if file.pixels.keyword != "PixelData":
        raise GeometryError(f"{name} holds floating-point pixels: a parametric map, not an image")
    if header.get("ModalityLUTSequence"):
        raise GeometryError(f"{name} has a Modality LUT, whose values cannot be told without guessing")
    sizes = [_whole(header, keyword, name) for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored")]
    rows, columns, allocated, stored = sizes
    if allocated not in {8, 16, 32} or not 0 < stored <= allocated:
        raise InputError(
            f"{name} has pixels that cannot be read",
            expected="8, 16 or 32 bits allocated, no more stored",
            found=f"{allocated} and {stored}",
        )
    if header.get("PixelRepresentation") not in (0, 1):
        raise InputError(f"{name} does not say whether its pixels are signed", expected="Pixel Representation 0 or 1")
    if not 0 < rows * columns <= _LARGEST_FRAME:
        raise InputError(f"{name} declares {rows} x {columns} pixels", expected=f"1 to {_LARGEST_FRAME:,} in a slice")
    frames = frame_count(header)
    if frames < 1:
        raise InputError(f"{name} declares {frames} frames")
    _check_length(file, frames, ceil(rows * columns * frames * allocated / 8))


def _whole(header: Dataset, keyword: str, name: str) -> int:
    value = header.get(keyword)
    if not isinstance(value, int):
        raise InputError(f"{name} does not say {keyword}", expected="a whole number", found=str(value))
    return int(value)


def _check_length(file: ImageFile, frames: int, size: int) -> None:
    pixels, name = file.pixels, file.path.name
    if pixels.fragments is None and size > pixels.length:
        raise InputError(
            f"{name} declares more pixels than it holds",
            expected=f"{size:,} bytes for {frames} frames of {file.header.Rows} x {file.header.Columns}",
            found=f"{pixels.length:,}",
            remedy="Send or export the file again.",
        )
    if pixels.fragments is not None and pixels.fragments < frames:
        raise InputError(
            f"{name} declares more frames than it holds", expected=f"{frames} frames", found=f"{pixels.fragments}"
        )


def _check_volume_size(files: Sequence[ImageFile]) -> None:
    """Bound what will be allocated by what was received: no real series compresses a thousandfold."""
    voxels = sum(file.header.Rows * file.header.Columns * frame_count(file.header) for file in files)
    received = sum(file.pixels.length for file in files)
    if voxels * 2 > _LARGEST_VOLUME:
        raise InputError(f"the series declares {voxels:,} voxels", expected=f"at most {_LARGEST_VOLUME // 2:,}")
    if voxels * 2 > max(_SUSPECT_BYTES, received * _SUSPECT_RATIO):
        raise InputError(
            f"the series declares {voxels:,} voxels but holds only {received:,} bytes of compressed pixels",
            expected=f"a compression of less than {_SUSPECT_RATIO} to 1",
        )
