"""The card's words for what nnU-Net does, held against nnunetv2's own functions."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import TensorProto, helper, numpy_helper

from iodeep.inference import run_in_process
from iodeep.inference.image import Image, SourceAxis
from iodeep.inference.intensity import nonzero_filled
from iodeep.inference.placing import Way
from iodeep.inference.preprocessing import preprocessed
from iodeep.inference.resampling import axis_alone
from iodeep.inference.windows import axis_windows
from tests.networks import save
from tests.unit.inference.helpers import NETWORK, card, noise, segment, volume

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # nnunetv2 and what it imports warn of themselves
SPACINGS = [
    ((2.0, 1.2, 0.9), (1.5, 1.0, 1.1)),  # nearly the same along all axes
    ((7.0, 0.9, 0.8), (6.0, 1.3, 1.2)),  # thick slices: each on its own, then along them by nearest
    ((1.0, 1.0, 1.1), (5.0, 1.2, 0.9)),  # thick slices are asked for
    ((5.0, 5.0, 1.0), (4.0, 4.0, 1.0)),  # two thick axes: none of them alone
]


@pytest.fixture(scope="module", autouse=True)
def no_program_is_run() -> Iterator[None]:
    """nnunetv2 asks for the machine's name, by running a program, unless it is told how many processes it may start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("nnUNet_n_proc_DA", os.environ.get("nnUNet_n_proc_DA", "1"))  # noqa: SIM112 - its own name
        yield


def image(voxels: npt.NDArray[np.float32], spacing: tuple[float, float, float]) -> Image:
    first, second, third = voxels.shape
    axes = SourceAxis.whole(0, first), SourceAxis.whole(1, second), SourceAxis.whole(2, third)
    return Image(voxels[None].copy(), axes, (first, second, third), np.diag([*spacing, 1.0]))


def affine(path: Path, scales: Sequence[float], shifts: Sequence[float]) -> None:
    """A network whose output's channels are the input times each scale, plus each shift."""
    shape = (1, len(scales), 1, 1, 1)
    nodes = [
        helper.make_node("Mul", ["input", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "shift"], ["output"]),
    ]
    tensors = [
        numpy_helper.from_array(np.array(values, np.float32).reshape(shape), name)
        for name, values in (("scale", scales), ("shift", shifts))
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, "a", "b", "c"])
        for name, channels in (("input", 1), ("output", len(scales)))
    ]
    save(path, nodes, tensors, ends[0], [ends[1]])


def steps(*given: dict[str, Any]) -> Any:
    return card(steps=given).preprocessing


@pytest.mark.parametrize(("have", "want"), SPACINGS)
@pytest.mark.parametrize("order", [1, 3])
def test_images_are_resampled_as_nnunet_resamples_them(have: Any, want: Any, order: int) -> None:
    from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_spacing

    voxels = noise((11, 23, 19))
    theirs = resample_data_or_seg_to_spacing(voxels[None], have, want, order=order, order_z=0, force_separate_z=None)
    interpolation = {1: "linear", 3: "cubic"}[order]
    step = {"step": "resample_spacing", "mm": want, "interpolation": interpolation, "anisotropic": 3.0, "bounded": True}
    ours = preprocessed(image(voxels, have), steps(step)).voxels

    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 2e-5


@pytest.mark.parametrize(("have", "want"), SPACINGS)
@pytest.mark.parametrize("order", [1, 3])
def test_values_come_back_as_nnunet_brings_them_back(have: Any, want: Any, order: int) -> None:
    from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape

    source = image(noise((11, 23, 19)), have)
    there = preprocessed(source, steps({"step": "resample_spacing", "mm": want, "anisotropic": 3.0}))
    values = noise(there.shape, seed=1)
    theirs = resample_data_or_seg_to_shape(
        values[None], (11, 23, 19), want, have, order=order, order_z=0, force_separate_z=None
    )[0]
    way = Way(there, {1: "linear", 3: "cubic"}[order], axis_alone(want, have, 3.0))

    assert np.abs(way.placed(way.of(values)) - theirs).max() < 2e-5


@pytest.mark.parametrize(("length", "size"), [(110, 64), (64, 64), (65, 64), (127, 28), (300, 96), (21, 16), (33, 7)])
def test_windows_stand_where_nnunet_puts_them(length: int, size: int) -> None:
    from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window

    ours = axis_windows(length, size, 0.5, blending="gaussian_on_voxel", even=True)
    assert list(ours.starts) == compute_steps_for_sliding_window((length,), (size,), 0.5)[0]


@pytest.mark.parametrize("size", [(16, 48, 40), (28, 63, 21)])
def test_windows_weigh_what_nnunet_lets_them_weigh(size: tuple[int, int, int]) -> None:
    import torch
    from nnunetv2.inference.sliding_window_prediction import compute_gaussian

    from iodeep.inference.sliding import _weights

    theirs = compute_gaussian(size, 1 / 8, 10, dtype=torch.float32, device=torch.device("cpu")).numpy() / 10
    curves = [
        axis_windows(each, each, 0.5, blending="gaussian_on_voxel", even=True, shares=False).weights[0] for each in size
    ]
    assert np.abs(_weights((curves[0], curves[1], curves[2]), 0.0) - theirs).max() < 1e-6
    assert _weights((curves[0], curves[1], curves[2]), 0.25).min() == 0.25


def test_a_least_weight_makes_windows_blend_with_it(tmp_path: Path) -> None:
    """Against a sum over windows that is written out."""
    affine(tmp_path / NETWORK, [1], [0])
    voxels = noise((9, 8, 7))
    size, least = (4, 4, 4), 0.2
    patches = {
        "mode": "patches",
        "size": size,
        "placement": "even",
        "blending": "gaussian_on_voxel",
        "least_weight": least,
    }
    output = {"activate": "mean", "activation": "sigmoid", "decode": "threshold", "threshold": 0.6}
    model = card(network={"inference": patches}, segmentation={**output, "segments": [segment(1, 0)]})
    found = run_in_process(model, {NETWORK: tmp_path / NETWORK}, {"image": volume(voxels)}, probabilities=True)
    assert found.segmentation is not None
    assert found.segmentation.probabilities is not None
    assert np.abs(found.segmentation.probabilities[0] - 1 / (1 + np.exp(-voxels))).max() < 1e-5


@pytest.mark.parametrize("seed", range(4))
def test_the_mask_of_what_is_not_zero_has_its_cavities_filled(seed: int) -> None:
    from nnunetv2.preprocessing.cropping.cropping import create_nonzero_mask

    random = np.random.default_rng(seed)
    voxels = (random.random((2, 1 if seed == 3 else 9, 12, 11)) > 0.75).astype(np.float32)
    voxels[:, :, 3:9, 3] = voxels[:, :, 3:9, 8] = voxels[:, :, 3, 3:9] = voxels[:, :, 8, 3:9] = 1
    assert np.array_equal(nonzero_filled(voxels), create_nonzero_mask(voxels))


def test_images_are_cropped_and_normalised_as_nnunet_does() -> None:
    from nnunetv2.preprocessing.cropping.cropping import crop_to_nonzero
    from nnunetv2.preprocessing.normalization.default_normalization_schemes import ZScoreNormalization

    voxels = np.zeros((12, 14, 16), np.float32)
    voxels[2:9, 3:12, 4:13] = noise((7, 9, 9)) * 100 - 20
    voxels[4:6, 5:7, 6:8] = 0
    cropped, seg, _ = crop_to_nonzero(voxels[None].copy())
    theirs = ZScoreNormalization(use_mask_for_norm=True, intensityproperties={}).run(cropped[0], seg[0])
    ours = preprocessed(
        image(voxels, (1, 1, 1)), steps({"step": "crop_nonzero"}, {"step": "z_score", "mask": "nonzero_filled"})
    ).voxels[0]
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 1e-5


def test_segments_that_are_nested_go_to_the_last_that_claims_a_voxel(tmp_path: Path) -> None:
    """Of an output of three channels: each region is what its own label and those inside it were written to."""
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    scales, shifts = [1, -1, 1], [0, 1, -2]
    affine(tmp_path / NETWORK, scales, shifts)
    manager = LabelManager({"background": 0, "whole": [1, 2, 3], "core": [2, 3], "active": [3]}, [1, 2, 3])
    voxels = noise((6, 7, 8)) * 8 - 4
    segments = [
        {**segment(1, 0), "includes": [2, 3]},
        {**segment(2, 1), "includes": [3]},
        segment(3, 2),
    ]
    output = {
        "activation": "sigmoid",
        "activate": "restored",
        "decode": "nested",
        "restoration": {},
        "segments": segments,
    }
    found = run_in_process(card(segmentation=output), {NETWORK: tmp_path / NETWORK}, {"image": volume(voxels)})
    logits = np.stack([voxels * scale + shift for scale, shift in zip(scales, shifts, strict=True)])
    labels = manager.convert_logits_to_segmentation(logits)
    assert found.segmentation is not None
    for number, members in ((1, [1, 2, 3]), (2, [2, 3]), (3, [3])):
        theirs = np.isin(labels, members)
        assert theirs.any()
        assert np.array_equal(found.segmentation.mask(number), theirs)
