"""A picture of a result for people: slices with outlined segments, orientation letters, volumes and the model's name.

It names no patient, and says on the picture itself when a model is for research.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from iodeep.card import ModelCard, Segment
from iodeep.prediction import Segmentation
from iodeep.results.display import Display, Rgb, display_of, slice_picture, slices_to_show, window_of
from iodeep.results.voxel_counts import voxel_counts
from iodeep.results.writing import write_files
from iodeep.volume import Volume

MOST_SLICES = 20
MOST_IN_LEGEND = 24
_TILE = 260
_TALLEST_TILE = 420
_GAP = 6
_MARGIN = 18
_BACKGROUND: Rgb = (14, 16, 20)
_BRIGHT: Rgb = (240, 242, 245)
_DIM: Rgb = (150, 156, 166)
_WARNING: Rgb = (255, 196, 84)
_CAPTIONS = {"RESEARCH": "For research. Not for diagnosis."}


def overlay_png(
    volume: Volume,
    segmentation: Segmentation | None,
    card: ModelCard,
    path: Path,
    *,
    volumes_ml: Mapping[int, float] | None = None,
) -> Path:
    """Write a contact sheet of ``volume`` (axes slice, row, column) with its segments to ``path``.

    Errors: :class:`iodeep.errors.LocalStorageError`.
    """
    sheet = overlay(volume, segmentation, card, volumes_ml=volumes_ml)

    def write(file: BinaryIO) -> None:
        sheet.save(file, format="PNG")

    return write_files({path: write})[0]


def overlay(
    volume: Volume,
    segmentation: Segmentation | None,
    card: ModelCard,
    *,
    volumes_ml: Mapping[int, float] | None = None,
) -> Image.Image:
    """The contact sheet as a picture."""
    tiles = _tiles(volume, segmentation, card)
    columns = _columns(len(tiles))
    width, height = tiles[0].size
    rows = -(-len(tiles) // columns)
    entries = _legend(card, segmentation, volume, volumes_ml)
    sheet_width = max(2 * _MARGIN + columns * (width + _GAP) - _GAP, 560)
    header = 64
    legend_columns = max(1, (sheet_width - 2 * _MARGIN) // 260)
    legend_rows = -(-len(entries) // legend_columns)
    grid_height = rows * (height + _GAP)
    sheet = Image.new("RGB", (sheet_width, header + grid_height + 26 * legend_rows + _MARGIN + 8), _BACKGROUND)
    _draw_header(sheet, card)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        sheet.paste(tile, (_MARGIN + column * (width + _GAP), header + row * (height + _GAP)))
    _draw_legend(sheet, entries, header + grid_height + 8, legend_columns)
    return sheet


def _columns(tiles: int) -> int:
    return tiles if tiles <= 4 else min(5, -(-tiles // 2)) if tiles <= 10 else 5


def _tiles(volume: Volume, segmentation: Segmentation | None, card: ModelCard) -> list[Image.Image]:
    display, window = display_of(volume.affine), window_of(volume, card)
    segments = card.segmentation.segments if card.segmentation and segmentation else ()
    shape = display.turned(volume.voxels[0]).shape
    width = min(_TILE, max(40, round(_TALLEST_TILE * shape[1] / (shape[0] * display.aspect))))
    tiles = []
    for k in slices_to_show(len(volume.voxels), segmentation, MOST_SLICES):
        masks = [(_mask(segmentation, segment, k), _rgb(segment)) for segment in segments if segmentation is not None]
        tile = slice_picture(volume.voxels[k], masks, display, window, width)
        _draw_letters(tile, display, f"{k + 1}/{len(volume.voxels)}")
        tiles.append(tile)
    return tiles


def _mask(segmentation: Segmentation, segment: Segment, k: int) -> npt.NDArray[np.bool_]:
    if segmentation.masks is not None:
        return np.asarray(segmentation.masks[segment.number - 1, k])
    assert segmentation.labels is not None
    return np.asarray(segmentation.labels[k] == segment.number)


def _rgb(segment: Segment) -> Rgb:
    red, green, blue = segment.rgb
    return red, green, blue


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, so that the picture needs none of the system's."""
    return ImageFont.load_default(size)


def _draw_letters(tile: Image.Image, display: Display, place: str) -> None:
    draw, (width, height) = ImageDraw.Draw(tile), tile.size
    top, right, bottom, left = display.letters
    for text, at, anchor in (
        (top, (width / 2, 4), "mt"),
        (right, (width - 5, height / 2), "rm"),
        (bottom, (width / 2, height - 5), "mb"),
        (left, (5, height / 2), "lm"),
    ):
        draw.text(at, text, _BRIGHT, _font(13), anchor=anchor, stroke_width=2, stroke_fill=(0, 0, 0))
    draw.text((6, 5), place, _DIM, _font(12), anchor="lt", stroke_width=2, stroke_fill=(0, 0, 0))


def _draw_header(sheet: Image.Image, card: ModelCard) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, 14), f"{card.name} {card.version}", _BRIGHT, _font(22), anchor="lt")
    draw.text((_MARGIN, 42), card.summary, _DIM, _font(13), anchor="lt")
    caption = _CAPTIONS.get(card.qualification)
    if caption:
        draw.text((sheet.width - _MARGIN, 18), caption, _WARNING, _font(15), anchor="rt")


def _legend(
    card: ModelCard, segmentation: Segmentation | None, volume: Volume, volumes_ml: Mapping[int, float] | None
) -> list[tuple[Rgb | None, str]]:
    """Colour and text of each entry, the largest segments first where there are many."""
    if segmentation is None or card.segmentation is None:
        return [(None, "No segmentation")]
    known = volumes_ml or {number: count * volume.voxel_ml for number, count in voxel_counts(segmentation).items()}
    segments = list(card.segmentation.segments)
    shown = segments
    if len(segments) > MOST_IN_LEGEND:
        shown = sorted(segments, key=lambda segment: -known[segment.number])[: MOST_IN_LEGEND - 1]
    entries: list[tuple[Rgb | None, str]] = [
        (_rgb(segment), f"{segment.label}  {_ml(known[segment.number])}") for segment in shown
    ]
    if len(shown) < len(segments):
        entries.append((None, f"and {len(segments) - len(shown)} smaller"))
    return entries


def _ml(millilitres: float) -> str:
    if millilitres == 0:
        return "not found"
    return f"{millilitres:.0f} ml" if millilitres >= 100 else f"{millilitres:.3g} ml"


def _draw_legend(sheet: Image.Image, entries: list[tuple[Rgb | None, str]], top: int, columns: int) -> None:
    draw = ImageDraw.Draw(sheet)
    for index, (colour, text) in enumerate(entries):
        row, column = divmod(index, columns)
        x, y = _MARGIN + column * 260, top + row * 26
        if colour is not None:
            draw.rounded_rectangle((x, y + 3, x + 14, y + 17), 3, fill=colour)
        draw.text((x + 22 if colour is not None else x, y + 10), text, _BRIGHT, _font(15), anchor="lm")
