"""Windows blended on the fly give what a plain implementation gives that keeps everything."""

from __future__ import annotations

from itertools import chain, combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iodeep.card import ModelCard
from iodeep.inference import run_in_process
from iodeep.inference.windows import axis_windows, windows_of
from tests.networks import random_convolutions, tiny_labeller, tiny_segmenter
from tests.unit.inference.helpers import NETWORK, card, noise, segment, volume

SHAPE = (9, 14, 11)


def starts(length: int, size: int, overlap: float) -> list[int]:
    if size >= length:
        return [-((size - length) // 2)]
    stride = max(1, int(size * (1 - overlap)))
    return sorted({min(start, length - size) for start in range(0, length - size + stride, stride)})


def plain(network: Path, voxels: npt.NDArray[np.float32], size: tuple[int, ...], overlap: float, *, gaussian: bool,
          mirrors: tuple[int, ...] = ()) -> npt.NDArray[np.float64]:  # fmt: skip
    """Everything in float64, the weights summed beside the probabilities."""
    session = onnxruntime.InferenceSession(network)
    curves = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) if gaussian else np.ones(n) for n in size]
    weight = curves[0][:, None, None] * curves[1][:, None] * curves[2]
    pad = [(max(s - n, 0) // 2, max(s - n, 0) - max(s - n, 0) // 2) for n, s in zip(voxels.shape, size, strict=True)]
    padded = np.pad(voxels, pad)
    total, weights = np.zeros((2, *padded.shape)), np.zeros(padded.shape)
    for corner in product(*(starts(n, s, overlap) for n, s in zip(padded.shape, size, strict=True))):
        place = tuple(slice(start, start + s) for start, s in zip(corner, size, strict=True))
        outputs = []
        for axes in chain.from_iterable(combinations([a + 2 for a in mirrors], n) for n in range(len(mirrors) + 1)):
            tensor = np.ascontiguousarray(np.flip(padded[place][None, None], axes))
            outputs.append(np.flip(session.run(None, {"input": tensor})[0], axes)[0])
        total[(slice(None), *place)] += weight * np.mean(outputs, axis=0)
        weights[place] += weight
    inside = tuple(slice(low, low + n) for (low, _), n in zip(pad, voxels.shape, strict=True))
    return np.asarray((total / weights)[(slice(None), *inside)])


def probabilities(model: ModelCard, path: Path, voxels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    files = {name: path.parent / name for name in model.network.files}
    found = run_in_process(model, files, {"image": volume(voxels)}, threads=1, probabilities=True).segmentation
    assert found is not None
    assert found.probabilities is not None
    assert np.array_equal(found.mask(1), found.probabilities[0] > 0.5) or found.masks is not None
    kept: npt.NDArray[np.float32] = found.probabilities[0]
    return kept


def patches(size: tuple[int, ...], **more: Any) -> dict[str, Any]:
    return {"mode": "patches", "size": list(size), **more}


@pytest.mark.parametrize("blending", ["gaussian", "constant"])
@pytest.mark.parametrize(
    ("size", "overlap", "batch"),
    [((4, 6, 5), 0.5, 1), ((4, 6, 5), 0.25, 3), ((9, 5, 5), 0.0, 4), ((5, 14, 11), 0.7, 2), ((16, 4, 20), 0.5, 1),
     ((32, 32, 32), 0.5, 1), ((1, 1, 11), 0.5, 50)],
)  # fmt: skip
def test_blending_equals_a_plain_implementation(
    tmp_path: Path, blending: str, size: tuple[int, int, int], overlap: float, batch: int
) -> None:
    path = random_convolutions(tmp_path / NETWORK)
    voxels = noise(SHAPE)
    model = card(network={"inference": patches(size, overlap=overlap, blending=blending), "batch_size": batch})
    expected = plain(path, voxels, size, overlap, gaussian=blending == "gaussian")[1]
    assert np.allclose(probabilities(model, path, voxels), expected, atol=2e-6)


def test_mirrorings_are_averaged(tmp_path: Path) -> None:
    path, voxels = random_convolutions(tmp_path / NETWORK), noise(SHAPE)
    model = card(network={"inference": patches((4, 6, 5)), "mirror_axes": [0, 2]})
    expected = plain(path, voxels, (4, 6, 5), 0.5, gaussian=True, mirrors=(0, 2))[1]
    assert np.allclose(probabilities(model, path, voxels), expected, atol=2e-6)


def test_an_ensemble_is_the_mean_of_its_networks(tmp_path: Path) -> None:
    names = ["a.onnx", "b.onnx", "c.onnx"]
    voxels = noise(SHAPE)
    paths = [random_convolutions(tmp_path / name, seed=seed) for seed, name in enumerate(names)]
    expected = np.mean([plain(path, voxels, (4, 6, 5), 0.5, gaussian=True)[1] for path in paths], axis=0)
    model = card(network={"files": names, "inference": patches((4, 6, 5))})
    assert np.allclose(probabilities(model, paths[0], voxels), expected, atol=2e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("batch", [1, 4])
def test_slices_are_run_one_by_one_in_2d(tmp_path: Path, axis: int, batch: int) -> None:
    path, voxels = random_convolutions(tmp_path / NETWORK, dimensions=2), noise(SHAPE)
    session = onnxruntime.InferenceSession(path)
    slices = np.moveaxis(voxels, axis, 0)
    expected = np.stack([session.run(None, {"input": image[None, None]})[0][0, 1] for image in slices], axis)
    model = card(network={"dimensions": "2D", "slice_axis": axis, "batch_size": batch})
    assert np.allclose(probabilities(model, path, voxels), expected, atol=1e-6)


@pytest.mark.parametrize("mode", ["whole", "patches"])
def test_a_single_image_is_a_volume_of_one_slice(tmp_path: Path, mode: str) -> None:
    path, voxels = random_convolutions(tmp_path / NETWORK, dimensions=2), noise((1, 20, 30))
    inference = {"mode": "whole"} if mode == "whole" else patches((20, 30))
    model = card(network={"dimensions": "2D", "slice_axis": 0, "inference": inference})
    expected = onnxruntime.InferenceSession(path).run(None, {"input": voxels[None]})[0][:, 1]
    assert np.allclose(probabilities(model, path, voxels), expected, atol=1e-6)


def test_neighbours_are_channels_in_2_5d_and_the_last_slice_is_repeated(tmp_path: Path) -> None:
    path = random_convolutions(tmp_path / NETWORK, dimensions=2, inputs=5)
    voxels = noise(SHAPE)
    session = onnxruntime.InferenceSession(path)
    stacked = np.pad(voxels, ((2, 2), (0, 0), (0, 0)), mode="edge")
    expected = np.stack([session.run(None, {"input": stacked[None, k : k + 5]})[0][0, 1] for k in range(SHAPE[0])])
    model = card(network={"dimensions": "2.5D", "slice_axis": 0, "context_slices": 2})
    assert np.allclose(probabilities(model, path, voxels), expected, atol=1e-6)


def test_patches_in_2d_equal_patches_of_one_slice(tmp_path: Path) -> None:
    path, voxels = random_convolutions(tmp_path / NETWORK, dimensions=2), noise(SHAPE)
    model = card(network={"dimensions": "2D", "slice_axis": 1, "inference": patches((4, 5)), "batch_size": 3})
    found = probabilities(model, path, voxels)
    alone = card(network={"dimensions": "2D", "slice_axis": 0, "inference": patches((4, 5))})
    for number in range(SHAPE[1]):
        image = np.ascontiguousarray(voxels[:, number][None])
        assert np.allclose(found[:, number], probabilities(alone, path, image)[0], atol=1e-6)


def test_several_inputs_are_channels_in_the_cards_order(tmp_path: Path) -> None:
    path = random_convolutions(tmp_path / NETWORK, inputs=2)
    first, second = noise(SHAPE, 1), noise(SHAPE, 2)
    found = run_in_process(
        card(inputs=("b", "a")), {NETWORK: path}, {"a": volume(second), "b": volume(first)}, probabilities=True
    ).segmentation
    assert found is not None
    assert found.probabilities is not None
    expected = onnxruntime.InferenceSession(path).run(None, {"input": np.stack([first, second])[None]})[0][0, 1]
    assert np.allclose(found.probabilities[0], expected, atol=1e-6)


@pytest.mark.parametrize("inference", [{"mode": "whole"}, patches((4, 6, 5)), patches((3, 7, 11), overlap=0)])
@pytest.mark.parametrize("mirrors", [[], [1]])
def test_an_output_of_labels_is_kept_or_voted_on(tmp_path: Path, inference: dict[str, Any], mirrors: list[int]) -> None:
    path, voxels = tiny_labeller(tmp_path / NETWORK, thresholds=(0.3, 0.6, 0.9)), noise(SHAPE)
    output = {"decode": "labels", "segments": [segment(1, 2), segment(2, 1), segment(3, 3)]}
    model = card(segmentation=output, network={"inference": inference, "mirror_axes": mirrors})
    found = run_in_process(model, {NETWORK: path}, {"image": volume(voxels)}).segmentation
    assert found is not None
    count = (voxels > 0.3).astype(int) + (voxels > 0.6) + (voxels > 0.9)
    assert found.labels is not None
    assert np.array_equal(found.labels, np.array([0, 2, 1, 3])[count])


def test_thresholded_segments_may_overlap(tmp_path: Path) -> None:
    path, voxels = tiny_segmenter(tmp_path / NETWORK, steepness=2), noise(SHAPE)
    output = {"decode": "threshold", "threshold": 0.25, "segments": [segment(1, 1), segment(2, 0)]}
    model = card(segmentation=output, network={"inference": patches((4, 6, 5))})
    found = run_in_process(model, {NETWORK: path}, {"image": volume(voxels)}, probabilities=True).segmentation
    assert found is not None
    assert found.masks is not None
    assert found.probabilities is not None
    assert found.labels is None
    assert np.array_equal(found.masks, found.probabilities >= 0.25)
    assert (found.masks[0] & found.masks[1]).any()


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 70), st.floats(0, 0.95), st.booleans())
def test_shares_add_up_to_one_everywhere(length: int, size: int, overlap: float, gaussian: bool) -> None:
    axis = axis_windows(length, size, overlap, blending="gaussian" if gaussian else "constant")
    total = np.zeros(length)
    for start, share in zip(axis.starts, axis.weights, strict=True):
        first = max(start, 0)
        total[first : first + len(share)] += share
    assert np.allclose(total, 1, atol=1e-5)


def test_windows_advance_along_the_axis_that_keeps_least_unfinished() -> None:
    windows = windows_of(card(network={"inference": patches((16, 16, 16))}).network, (20, 90, 40))
    corners = [window.start for window in windows]
    assert windows.lead == 1
    assert len(corners) == windows.count
    assert [corner[1] for corner in corners] == sorted(corner[1] for corner in corners)
