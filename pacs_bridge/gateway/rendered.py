"""Frames as pictures for people (PS3.18 8.3.5): modality LUT, then window or VOI LUT, then crop and scale, 8 bits out.

The functions are those of PS3.3 C.11.2.1.2 and C.11.2.1.3. An image without a window is shown from its least to its
greatest value, padding left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.pixels.utils import pixel_array

from iodeep.errors import InputError
from pacs_bridge.gateway.errors import NotAcceptableError, NotThereError
from pacs_bridge.part10 import UNREADABLE

FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG"}
THUMBNAIL = (128, 128)
_MOST_PIXELS = 8192
_QUALITY = 90
_DECIMAL = r"-?\d{1,9}(?:\.\d{1,9})?"
_WINDOW = re.compile(rf"({_DECIMAL}),({_DECIMAL}),(linear|linear-exact|sigmoid)")
_VIEWPORT = re.compile(
    rf"(\d{{1,5}}),(\d{{1,5}})(?:,({_DECIMAL})?)?(?:,({_DECIMAL})?)?(?:,({_DECIMAL})?)?(?:,({_DECIMAL})?)?"
)
_UNDRAWABLE = (*UNREADABLE, RuntimeError)

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Window:
    """Center and width in output values of the modality LUT, and how values between are spread."""

    center: float
    width: float
    function: str = "linear"


@dataclass(frozen=True)
class Viewport:
    """Size of the picture, and which part of the frame it shows: left, top, width, height; negative ones flip."""

    size: tuple[int, int]
    region: tuple[float, float, float | None, float | None] = (0.0, 0.0, None, None)


@dataclass(frozen=True)
class Rendering:
    """How a frame is to be drawn."""

    media_type: str = "image/jpeg"
    window: Window | None = None
    viewport: Viewport | None = None
    quality: int = _QUALITY


def rendering_of(parameters: Mapping[str, str], media_type: str, *, thumbnail: bool = False) -> Rendering:
    """The query parameters; what is ill-formed is an error that says how it is written."""
    viewport = _viewport(parameters["viewport"], thumbnail=thumbnail) if "viewport" in parameters else None
    if thumbnail:
        return Rendering(media_type, viewport=viewport or Viewport(THUMBNAIL))
    if parameters.get("iccprofile", "no") != "no":
        raise InputError("no ICC profile can be given", expected="iccprofile=no", found=parameters["iccprofile"])
    window = _window(parameters["window"]) if "window" in parameters else None
    return Rendering(media_type, window, viewport, _quality(parameters.get("quality", str(_QUALITY))))


def render(file: BinaryIO, number: int, how: Rendering) -> bytes:
    """Frame ``number``, counted from 1, as a picture."""
    try:
        file.seek(0)
        header = dcmread(file, stop_before_pixels=True)
        count = int(header.get("NumberOfFrames") or 1)
        if not 1 <= number <= count:
            raise NotThereError(f"there is no frame {number}", expected=f"1 to {count}")
        file.seek(0)
        values = pixel_array(file, index=number - 1)
    except _UNDRAWABLE as error:
        raise NotAcceptableError("the instance cannot be shown as a picture", found=str(error)) from error
    picture = Image.fromarray(_eight_bits(values, _of_frame(header, number), how.window))
    return _encoded(_fitted(picture, how.viewport), how)


def frame_count(file: BinaryIO) -> int:
    """How many frames an instance says it has."""
    file.seek(0)
    header = dcmread(file, stop_before_pixels=True, specific_tags=["NumberOfFrames"])
    return int(header.get("NumberOfFrames") or 1)


def _eight_bits(values: Values, header: Dataset, window: Window | None) -> Values:
    photometric = str(header.get("PhotometricInterpretation", "MONOCHROME2"))
    if photometric == "PALETTE COLOR":
        values = apply_color_lut(values, header)
    if values.ndim == 3:
        bits = int(header.BitsStored)
        shift = 0 if values.dtype == np.uint8 else max(0, bits - 8)
        return np.asarray(values >> shift).astype(np.uint8)
    shown = _graded(apply_modality_lut(values, header), values, header, window)
    grey = np.clip(np.rint(shown * 255), 0, 255).astype(np.uint8)
    return np.asarray(255 - grey) if photometric == "MONOCHROME1" else grey


def _graded(values: Values, raw: Values, header: Dataset, window: Window | None) -> Values:
    """From 0 to 1."""
    if window is not None:
        return _windowed(values, window)
    if header.get("VOILUTSequence"):
        table = header.VOILUTSequence[0].LUTDescriptor
        return np.asarray(apply_voi_lut(values.astype(np.int32), header, prefer_lut=True) / (2 ** int(table[2]) - 1))
    center, width = _first(header.get("WindowCenter")), _first(header.get("WindowWidth"))
    if center is not None and width is not None and width > 0:  # a width of 0 stands for none in some files
        function = str(header.get("VOILUTFunction") or "LINEAR").lower().replace("_", "-")
        return _windowed(values, Window(center, width, function))
    padding = header.get("PixelPaddingValue")
    counted = values[raw != padding] if padding is not None and np.any(raw != padding) else values
    low, high = float(counted.min()), float(counted.max())
    return np.asarray((values.astype(np.float64) - low) / ((high - low) or 1.0))


def _windowed(values: Values, window: Window) -> Values:
    x, c, w = values.astype(np.float64), window.center, window.width
    if window.function == "sigmoid":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (x - c) / w, -700, 700))))
    if window.function == "linear-exact":
        return np.asarray((x - c) / w + 0.5)
    if w <= 1:
        return np.where(x <= c - 0.5, 0.0, 1.0)
    return np.asarray((x - (c - 0.5)) / (w - 1) + 0.5)


def _of_frame(header: Dataset, number: int) -> Dataset:
    """The header with what the functional groups say of the frame (PS3.3 C.7.6.16.2.9, C.7.6.16.2.10)."""
    shared = header.get("SharedFunctionalGroupsSequence") or [Dataset()]
    own = header.get("PerFrameFunctionalGroupsSequence") or []
    for groups in (shared[0], own[number - 1] if number <= len(own) else Dataset()):
        for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            for item in groups.get(name) or []:
                header.update(item)
    return header


def _first(value: object) -> float | None:
    """The first of several values."""
    found = next(iter(value), None) if isinstance(value, MultiValue | list) else value
    return None if found is None or found == "" else float(str(found))


def _fitted(picture: Image.Image, viewport: Viewport | None) -> Image.Image:
    """Cropped, then as large as fits into the viewport with its proportions (PS3.18 8.3.5.1.3)."""
    if viewport is None:
        return picture
    left, top, width, height = viewport.region
    width, height = width or picture.width - left, height or picture.height - top
    right, bottom = min(left + abs(width), picture.width), min(top + abs(height), picture.height)
    if left >= picture.width or top >= picture.height or right <= left or bottom <= top:
        raise InputError("the viewport lies outside of the image", found=f"{picture.width} x {picture.height} pixels")
    scale = min(viewport.size[0] / (right - left), viewport.size[1] / (bottom - top))
    size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
    picture = picture.resize(size, Image.Resampling.BILINEAR, box=(left, top, right, bottom), reducing_gap=3.0)
    if width < 0:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM) if height < 0 else picture


def _encoded(picture: Image.Image, how: Rendering) -> bytes:
    out = BytesIO()
    options = {"quality": how.quality} if how.media_type == "image/jpeg" else {}
    picture.save(out, FORMATS[how.media_type], **options)
    return out.getvalue()


def _window(text: str) -> Window:
    found = _WINDOW.fullmatch(text)
    if found is None or float(found[2]) <= 0:
        raise InputError("the window is ill-formed", expected="window=CENTER,WIDTH,linear", found=text)
    return Window(float(found[1]), float(found[2]), found[3])


def _viewport(text: str, *, thumbnail: bool) -> Viewport:
    found = _VIEWPORT.fullmatch(text)
    size = (int(found[1]), int(found[2])) if found else (0, 0)
    if (
        found is None
        or (thumbnail and "," in text.partition(",")[2])
        or not all(0 < each <= _MOST_PIXELS for each in size)
    ):
        most = f"at most {_MOST_PIXELS} each"
        raise InputError("the viewport is ill-formed", expected=f"viewport=WIDTH,HEIGHT, {most}", found=text)
    left, top, width, height = (float(part) if part else None for part in found.groups()[2:])
    return Viewport(size, (abs(left or 0.0), abs(top or 0.0), width, height))


def _quality(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise InputError("the quality is ill-formed", expected="quality=1 to 100", found=text)
    return int(text)
