"""Postprocessing keeps its promises on the voxels that are written."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from iodeep.inference.postprocessing import tidied_labels, tidied_masks
from tests.unit.inference.helpers import card, segment

EVERYWHERE = np.ones((3, 3, 3))


def after(
    labels: npt.NDArray[Any], *post: dict[str, Any], segments: int = 2, voxel_ml: float = 1.0
) -> npt.NDArray[Any]:
    model = card(post=post, segmentation={"segments": [segment(n, n) for n in range(1, segments + 1)]})
    out = labels.copy()
    tidied_labels(out, segments, model.postprocessing, voxel_ml)
    return out


def random_labels(seed: int, share: float) -> npt.NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    shape = (7, 9, 8)
    return (random.integers(1, 3, shape) * (random.random(shape) < share)).astype(np.uint8)


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(0.02, 0.5))
def test_the_largest_component_of_each_segment_is_kept(seed: int, share: float) -> None:
    labels = random_labels(seed, share)
    found = after(labels, {"step": "largest_component"})
    for number in (1, 2):
        components, count = ndimage.label(labels == number, EVERYWHERE)
        sizes = np.bincount(components.ravel(), minlength=1)[1:]
        _, left = ndimage.label(found == number, EVERYWHERE)
        assert left == min(count, 1)
        assert (found == number).sum() == (sizes.max() if count else 0)
        assert not ((found == number) & (labels != number)).any()


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(0.02, 0.5), st.integers(1, 6))
def test_components_below_the_minimum_volume_go(seed: int, share: float, least: int) -> None:
    labels = random_labels(seed, share)
    found = after(labels, {"step": "minimum_volume", "ml": least * 0.25}, voxel_ml=0.25)
    expected = np.zeros_like(labels)
    for number in (1, 2):
        components, _ = ndimage.label(labels == number, EVERYWHERE)
        large = np.bincount(components.ravel()) >= least
        large[0] = False
        expected[large[components]] = number
    assert np.array_equal(found, expected)


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(0.3, 0.95))
def test_holes_are_filled_as_scipy_fills_them(seed: int, share: float) -> None:
    labels = np.minimum(random_labels(seed, share), 1)
    found = after(labels, {"step": "fill_holes"})
    assert np.array_equal(found, ndimage.binary_fill_holes(labels))


def test_filling_never_takes_a_voxel_from_another_segment() -> None:
    labels = np.ones((7, 7, 7), np.uint8)
    labels[2:5, 2:5, 2:5] = 0
    labels[3, 3, 3] = 2
    found = after(labels, {"step": "fill_holes"})
    assert found[3, 3, 3] == 2
    assert (found == 1).sum() == 7**3 - 1


def test_a_hole_in_a_single_slice_is_filled_and_a_bay_is_not() -> None:
    labels = np.ones((1, 7, 7), np.uint8)
    labels[0, 3, 3] = labels[0, 0, 3] = 0
    found = after(labels, {"step": "fill_holes"})
    assert found[0, 3, 3] == 1
    assert found[0, 0, 3] == 0


def test_only_the_segments_that_are_named_are_touched() -> None:
    labels = np.zeros((3, 3, 9), np.uint8)
    labels[1, 1, [0, 4, 5]] = 1
    labels[1, 1, [2, 7, 8]] = 2
    found = after(labels, {"step": "largest_component", "segments": [2]})
    assert found[1, 1].tolist() == [1, 0, 0, 0, 1, 1, 0, 2, 2]


def test_diagonal_neighbours_are_one_component() -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[[0, 1, 2], [0, 1, 2], [0, 1, 2]] = 1
    labels[3, 0, 0] = 1
    assert after(labels, {"step": "largest_component"}).sum() == 3


@pytest.mark.parametrize("step", ["largest_component", "fill_holes", "minimum_volume"])
def test_nothing_found_stays_nothing(step: str) -> None:
    post = {"step": step, **({"ml": 1} if step == "minimum_volume" else {})}
    assert not after(np.zeros((3, 4, 5), np.uint8), post).any()


def test_overlapping_masks_are_tidied_one_by_one() -> None:
    masks = np.zeros((2, 5, 5, 9), np.bool_)
    masks[0, :, :, :5] = True
    masks[0, 2, 2, 2] = masks[0, 2, 2, 8] = False
    masks[0, 0, 0, 7] = True
    masks[1, 2, 2, 2] = True
    model = card(
        post=({"step": "largest_component"}, {"step": "fill_holes"}, {"step": "minimum_volume", "ml": 2}),
        segmentation={"decode": "threshold", "segments": [segment(1, 0), segment(2, 1)]},
    )
    tidied_masks(masks, model.postprocessing, 1.0)
    assert masks[0].sum() == 125
    assert not masks[1].any()
