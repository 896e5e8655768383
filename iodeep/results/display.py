"""Slices as a radiologist expects to see them: right on the left, upright, square millimetres, letters at the edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from iodeep.card import ModelCard, Window
from iodeep.prediction import Segmentation
from iodeep.volume import Volume

_LETTERS = (("R", "L"), ("A", "P"), ("F", "H"))
"""Where an axis of the patient (LPS) comes from and goes to."""
_SECOND_LETTER_FROM = 0.35
_WINDOW_PERCENTILES = (1.0, 99.7)
_FILL = 0.28
Rgb = tuple[int, int, int]
Plane = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Display:
    """How a stored slice is turned for display: ``transpose`` first, then the flips."""

    transpose: bool
    flip_rows: bool
    flip_columns: bool
    letters: tuple[str, str, str, str]
    """At the top, right, bottom and left edge."""
    aspect: float
    """Height of a displayed pixel divided by its width."""

    def turned(self, plane: Plane) -> Plane:
        """The slice with axes (down, right) of the display."""
        turned = plane.T if self.transpose else plane
        turned = turned[::-1] if self.flip_rows else turned
        return turned[:, ::-1] if self.flip_columns else turned


def display_of(affine: npt.NDArray[np.float64]) -> Display:
    """The head or the front up, the patient's right or front on the left, whichever the slice's plane shows."""
    down, right = affine[:3, 1], affine[:3, 2]
    axes = [int(np.argmax(np.abs(direction))) for direction in (down, right)]
    vertical = 2 if 2 in axes else 1
    transpose = axes[1] == vertical and axes[0] != vertical
    if transpose:
        down, right = right, down
    flip_rows = _component(down, vertical) * (-1 if vertical == 2 else 1) < 0
    flip_columns = right[int(np.argmax(np.abs(right)))] < 0
    shown_down = -down if flip_rows else down
    shown_right = -right if flip_columns else right
    letters = (_letters(-shown_down), _letters(shown_right), _letters(shown_down), _letters(-shown_right))
    aspect = float(np.linalg.norm(down) / np.linalg.norm(right))
    return Display(transpose, bool(flip_rows), bool(flip_columns), letters, aspect)


def _component(direction: npt.NDArray[np.float64], axis: int) -> float:
    return float(direction[axis])


def _letters(direction: npt.NDArray[np.float64]) -> str:
    """One letter, two where the direction is clearly between two axes (PS3.3 C.7.6.1.1.1)."""
    unit = direction / np.linalg.norm(direction)
    order = np.argsort(-np.abs(unit))
    return "".join(
        _LETTERS[axis][int(unit[axis] > 0)]
        for place, axis in enumerate(order[:2])
        if place == 0 or abs(unit[axis]) > _SECOND_LETTER_FROM
    )


def window_of(volume: Volume, card: ModelCard) -> tuple[float, float]:
    """Black and white: the card's CT window where it names one, else percentiles of the data."""
    for step in card.preprocessing:
        if isinstance(step, Window):
            return step.center - step.width / 2, step.center + step.width / 2
    voxels = volume.voxels
    step_size = max(1, round((voxels.size / 500_000) ** (1 / 3)))
    sample = voxels[::step_size, ::step_size, ::step_size].astype(np.float64)
    low, high = np.percentile(sample, _WINDOW_PERCENTILES)
    return float(low), float(high) if high > low else float(low) + 1.0


def slices_to_show(slice_count: int, segmentation: Segmentation | None, most: int) -> list[int]:
    """At most ``most`` slices, evenly over those that hold a segment and one on either side; over all where none does."""
    filled = [k for k in range(slice_count) if segmentation is not None and _holds_something(segmentation, k)]
    first = max(0, filled[0] - 1) if filled else 0
    last = min(slice_count - 1, filled[-1] + 1) if filled else slice_count - 1
    count = min(most, last - first + 1)
    return sorted({round(place) for place in np.linspace(first, last, count)})


def _holds_something(segmentation: Segmentation, k: int) -> bool:
    planes = segmentation.labels[k] if segmentation.labels is not None else segmentation.mask(1)[k]
    if segmentation.masks is not None:
        planes = segmentation.masks[:, k]
    return bool(np.any(planes))


def slice_picture(
    plane: Plane,
    masks: list[tuple[npt.NDArray[np.bool_], Rgb]],
    display: Display,
    window: tuple[float, float],
    width: int,
) -> Image.Image:
    """One slice, ``width`` pixels wide, with each mask filled faintly and outlined."""
    low, high = window
    grey = np.clip((display.turned(plane).astype(np.float32) - low) / (high - low), 0, 1) * 255
    height = max(1, round(width * grey.shape[0] * display.aspect / grey.shape[1]))
    shown = Image.fromarray(grey.astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.repeat(np.asarray(shown, dtype=np.float32)[..., np.newaxis], 3, axis=2)
    for mask, rgb in masks:
        if mask.any():
            _paint(pixels, _enlarged(display.turned(mask), width, height), rgb)
    return Image.fromarray(pixels.astype(np.uint8))


def _enlarged(mask: Plane, width: int, height: int) -> npt.NDArray[np.bool_]:
    picture = Image.fromarray(mask.astype(np.uint8) * 255).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture) >= 128


def _paint(pixels: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_], rgb: Rgb) -> None:
    colour = np.array(rgb, dtype=np.float32)
    pixels[mask] = pixels[mask] * (1 - _FILL) + colour * _FILL
    pixels[_outline(mask)] = colour


def _outline(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The mask's pixels that have a neighbour outside, or lie at the picture's edge."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside
