"""Pictures show slices the way that radiologists hang them, and say what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from iodeep.prediction import Segmentation
from iodeep.results import overlay_png
from iodeep.results.display import display_of, slice_picture, slices_to_show, window_of
from iodeep.volume import Volume
from tests.synthetic import AXIAL, CORONAL, SAGITTAL, affine_of
from tests.unit.results.support import COLOURS, box_labels, make_card, segment

SHAPE = (6, 24, 20)


def volume(orientation: Any = AXIAL, spacing: Any = (3.0, 1.0, 1.0)) -> Volume:
    voxels = np.random.default_rng(0).integers(0, 1000, SHAPE).astype(np.int16)
    return Volume(voxels, affine_of(orientation, spacing=spacing))


def sheet(path: Path, **options: Any) -> npt.NDArray[np.uint8]:
    arguments: dict[str, Any] = {
        "volume": volume(),
        "segmentation": Segmentation(2, labels=box_labels(SHAPE)),
        "card": make_card(2),
        **options,
    }
    overlay_png(arguments["volume"], arguments["segmentation"], arguments["card"], path)
    return np.asarray(Image.open(path).convert("RGB"))


@pytest.mark.parametrize(
    ("orientation", "letters"),
    [
        (AXIAL, ("A", "L", "P", "R")),
        (CORONAL, ("H", "L", "F", "R")),
        (SAGITTAL, ("H", "P", "F", "A")),
        ((-1.0, 0.0, 0.0, 0.0, -1.0, 0.0), ("A", "L", "P", "R")),
        ((0.0, 1.0, 0.0, 1.0, 0.0, 0.0), ("A", "L", "P", "R")),
        ((0.0, 0.0, 1.0, -1.0, 0.0, 0.0), ("H", "L", "F", "R")),
        ((0.0, -1.0, 0.0, 0.0, 0.0, 1.0), ("H", "P", "F", "A")),
        ((0.8, 0.6, 0.0, -0.6, 0.8, 0.0), ("AL", "LP", "PR", "RA")),
    ],
)
def test_every_plane_is_hung_as_radiologists_expect(
    orientation: tuple[float, ...], letters: tuple[str, str, str, str]
) -> None:
    assert display_of(affine_of(orientation)).letters == letters


@pytest.mark.parametrize(
    "orientation", [AXIAL, CORONAL, SAGITTAL, (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (0.0, -1.0, 0.0, 1.0, 0.0, 0.0)]
)
def test_what_is_shown_at_an_edge_is_what_its_letter_says(orientation: tuple[float, ...]) -> None:
    affine = affine_of(orientation)
    display = display_of(affine)
    places = np.einsum("ij,jrc->irc", affine[:3, 1:3], np.mgrid[:24, :20].astype(float))
    shown = [display.turned(axis) for axis in places]
    top_right_bottom_left = ((0, 10), (12, -1), (-1, 10), (12, 0))
    for letter, (row, column) in zip(display.letters, top_right_bottom_left, strict=True):
        axis, sign = {"R": (0, -1), "L": (0, 1), "A": (1, -1), "P": (1, 1), "F": (2, -1), "H": (2, 1)}[letter]
        row, column = row % shown[0].shape[0], column % shown[0].shape[1]
        middle = shown[axis][shown[axis].shape[0] // 2, shown[axis].shape[1] // 2]
        assert sign * (shown[axis][row, column] - middle) > 0, letter


def test_a_millimetre_is_as_high_as_it_is_wide() -> None:
    tall = volume(spacing=(3.0, 2.0, 0.5))
    picture = slice_picture(tall.voxels[0], [], display_of(tall.affine), (0, 1000), 40)
    assert picture.size == (40, round(40 * (24 * 2.0) / (20 * 0.5)))


def test_each_segment_has_its_colour_on_the_slice_and_in_the_legend(tmp_path: Path) -> None:
    pixels = sheet(tmp_path / "sheet.png")
    for rgb in COLOURS[:2]:
        rows = np.flatnonzero((pixels == rgb).all(axis=2).any(axis=1))
        assert rows.min() < pixels.shape[0] - 60 < rows.max(), rgb
    assert not (pixels == COLOURS[2]).all(axis=2).any()


def test_overlapping_segments_are_both_outlined(tmp_path: Path) -> None:
    masks = np.zeros((2, *SHAPE), np.bool_)
    masks[0, :, 4:16, 4:14], masks[1, :, 8:20, 8:18] = True, True
    pixels = sheet(tmp_path / "sheet.png", segmentation=Segmentation(2, masks=masks))
    for rgb in COLOURS[:2]:
        assert (pixels == rgb).all(axis=2).sum() > 300


def test_a_research_model_says_so_on_the_picture(tmp_path: Path) -> None:
    research = sheet(tmp_path / "a.png", card=make_card(2, qualification="RESEARCH"))
    product = sheet(tmp_path / "b.png", card=make_card(2, qualification="PRODUCT"))
    differing = np.argwhere((research != product).any(axis=2))
    assert len(differing)
    assert differing[:, 0].max() < 64


@pytest.mark.parametrize("segments", [1, 40])
def test_any_number_of_segments_has_a_legend_that_fits(tmp_path: Path, segments: int) -> None:
    card = make_card([segment(number, label=f"Structure number {number}") for number in range(1, segments + 1)])
    labels = np.zeros(SHAPE, np.uint8)
    labels[2].flat[: segments * 3] = np.repeat(np.arange(1, segments + 1), 3)
    pixels = sheet(tmp_path / "sheet.png", segmentation=Segmentation(segments, labels=labels), card=card)
    assert pixels.shape[0] < 1200
    assert pixels.shape[1] < 1600


def test_a_series_in_which_nothing_was_found_is_shown_too(tmp_path: Path) -> None:
    nothing = Segmentation(2, labels=np.zeros(SHAPE, np.uint8))
    assert sheet(tmp_path / "sheet.png", segmentation=nothing).any()
    assert sheet(tmp_path / "none.png", segmentation=None).any()


def test_slices_shown_are_those_around_the_segments() -> None:
    labels = np.zeros((100, 4, 4), np.uint8)
    labels[40:60] = 1
    shown = slices_to_show(100, Segmentation(1, labels=labels), 10)
    assert (shown[0], shown[-1], len(shown)) == (39, 60, 10)
    assert slices_to_show(3, None, 10) == [0, 1, 2]


def test_a_card_that_names_a_window_is_shown_in_it() -> None:
    card = make_card(2, preprocessing=[{"step": "window", "center": 40, "width": 400}])
    assert window_of(volume(), card) == (-160, 240)


def test_a_volume_of_one_value_is_shown() -> None:
    flat = Volume(np.zeros(SHAPE, np.int16), affine_of())
    assert window_of(flat, make_card(2)) == (0, 1)
