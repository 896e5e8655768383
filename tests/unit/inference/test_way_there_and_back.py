"""What preprocessing does to the grid is undone exactly, and its values are those that the card's words promise."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from scipy import ndimage

from iodeep.card import Interpolation
from iodeep.errors import InputError
from iodeep.inference.image import Image, Scan
from iodeep.inference.inputs import channels_of
from iodeep.inference.placing import labels_on_source, probabilities_on_source
from iodeep.inference.preprocessing import preprocessed
from iodeep.inference.resampling import resized
from iodeep.volume import Volume
from tests.networks import save
from tests.unit.inference.helpers import card, noise, volume

ORIENTATIONS = ["".join(letters) for sides in product("RL", "AP", "SI") for letters in permutations(sides)]
SHAPE = (5, 6, 7)


def prepared(source: Volume, *steps: dict[str, Any]) -> Image:
    wanted = card(steps=steps)
    return preprocessed(channels_of(wanted, {"image": Scan(source.voxels, source.affine)}), wanted.preprocessing)


def turned(source: Volume, order: tuple[int, ...], flips: tuple[bool, ...]) -> Volume:
    """The same anatomy, stored with other axes."""
    voxels = source.voxels.transpose(order)
    affine = source.affine[:, [*order, 3]].copy()
    for axis, flip in enumerate(flips):
        if flip:
            voxels = np.flip(voxels, axis)
            affine[:, 3] += affine[:, axis] * (voxels.shape[axis] - 1)
            affine[:, axis] *= -1
    return Volume(np.ascontiguousarray(voxels), affine)


@settings(deadline=None)
@given(st.sampled_from(ORIENTATIONS), st.permutations(range(3)), st.tuples(*[st.booleans()] * 3))
def test_orient_brings_every_storage_of_an_anatomy_to_the_same_array_and_back(
    axes: str, order: list[int], flips: tuple[bool, bool, bool]
) -> None:
    plain = volume(noise(SHAPE), (2.5, 1.0, 0.7))
    stored = turned(plain, tuple(order), flips)
    step = {"step": "orient", "axes": axes}
    image = prepared(stored, step)
    assert np.array_equal(image.voxels, prepared(plain, step).voxels)
    assert np.allclose(image.affine, prepared(plain, step).affine)
    labels = (image.voxels[0] * 200).astype(np.uint8)
    assert np.array_equal(labels_on_source(labels, image), (stored.voxels.astype(np.float32) * 200).astype(np.uint8))


@settings(deadline=None)
@given(st.sampled_from(ORIENTATIONS))
def test_after_orient_indices_grow_as_the_letters_say(axes: str) -> None:
    image = prepared(volume(noise(SHAPE)), {"step": "orient", "axes": axes})
    towards = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
    for index, letter in enumerate(axes):
        along, sign = towards[letter]
        assert image.affine[along, index] * sign > 0


@settings(deadline=None)
@given(
    st.sampled_from(ORIENTATIONS),
    st.tuples(*[st.integers(1, 4)] * 3),
    st.tuples(*[st.integers(0, 4)] * 3),
    st.integers(1, 8),
)
def test_labels_come_back_exactly_through_enlarging_cropping_and_padding(
    axes: str, factors: tuple[int, int, int], low: tuple[int, int, int], multiple: int
) -> None:
    voxels = np.zeros(SHAPE, np.int16)
    box = tuple(slice(min(first, size - 1), size) for first, size in zip(low, SHAPE, strict=True))
    voxels[box] = np.arange(1, voxels[box].size + 1).reshape(voxels[box].shape)
    source = volume(voxels)
    first = prepared(source, {"step": "orient", "axes": axes})
    shape = [n * f for n, f in zip(first.shape, factors, strict=True)]
    image = prepared(
        source,
        {"step": "orient", "axes": axes},
        {"step": "resize", "shape": shape, "interpolation": "nearest"},
        {"step": "crop_foreground", "above": 0, "margin": 1},
        {"step": "pad_to_multiple", "multiple": multiple, "value": -5},
    )
    assert all(size % multiple == 0 for size in image.shape)
    assert np.array_equal(labels_on_source(image.voxels[0].astype(np.uint16), image), voxels)


@given(st.tuples(*[st.integers(1, 40)] * 3), st.tuples(*[st.integers(1, 40)] * 3), st.sampled_from(ORIENTATIONS))
@settings(max_examples=50, deadline=None)
def test_a_label_lies_where_the_affines_say(shape: tuple[int, int, int], onto: tuple[int, int, int], axes: str) -> None:
    image = prepared(volume(noise(shape)), {"step": "orient", "axes": axes}, {"step": "resize", "shape": list(onto)})
    labels = np.random.default_rng(1).integers(0, 250, image.shape).astype(np.uint8)
    back = labels_on_source(labels, image)
    indices = np.indices(shape).reshape(3, -1)
    places = np.linalg.inv(image.affine) @ image.source_affine @ np.vstack([indices, np.ones(indices.shape[1])])
    for index, place, value in zip(indices.T, places.T, back.reshape(-1), strict=True):
        nearest = [{int(np.floor(p + 0.5 - 1e-6)), int(np.floor(p + 0.5 + 1e-6))} for p in place[:3]]
        assert value in {
            labels[at] for at in product(*nearest) if all(0 <= a < n for a, n in zip(at, image.shape, strict=True))
        }, index


@pytest.mark.parametrize("onto", [(9, 9, 9), (3, 20, 7), (5, 6, 1), (1, 1, 1)])
def test_resize_equals_the_runtime_s_own(tmp_path: Path, onto: tuple[int, int, int]) -> None:
    source = noise((7, 6, 5))
    nearest = _resized_by_onnx_runtime(tmp_path, source, onto, mode="nearest", nearest_mode="round_prefer_ceil")
    linear = _resized_by_onnx_runtime(tmp_path, source, onto, mode="linear")
    assert np.array_equal(resized(source, onto, "nearest"), nearest)
    assert np.allclose(resized(source, onto, "linear"), linear, atol=1e-6)


def _resized_by_onnx_runtime(
    folder: Path, source: npt.NDArray[np.float32], onto: tuple[int, int, int], **how: str
) -> npt.NDArray[np.float32]:
    """The Resize operator with half-pixel centres: what a network that resizes within its graph would do."""
    node = helper.make_node("Resize", ["x", "", "", "onto"], ["y"], coordinate_transformation_mode="half_pixel", **how)
    sizes = numpy_helper.from_array(np.array([1, 1, *onto], np.int64), "onto")
    declared = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, None, None, None]) for name in "xy"]
    path = save(folder / f"{how['mode']}.onnx", [node], [sizes], declared[0], [declared[1]])
    (answer,) = onnxruntime.InferenceSession(str(path)).run(None, {"x": source[None, None]})
    resized_there: npt.NDArray[np.float32] = answer[0, 0]
    return resized_there


@pytest.mark.parametrize("interpolation", list(Interpolation))
def test_resize_does_not_care_how_the_memory_is_ordered(interpolation: str) -> None:
    source = noise((7, 6, 5))
    turned_view = np.ascontiguousarray(source.transpose(2, 0, 1)[:, ::-1]).transpose(1, 2, 0)[::-1]
    assert np.array_equal(turned_view, source)
    first, second = resized(source, (9, 4, 8), interpolation), resized(turned_view, (9, 4, 8), interpolation)
    assert np.allclose(first, second, atol=1e-5)


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("shape", [(7, 30, 4), (18, 5, 9), (3, 3, 3), (9, 11, 30)])
def test_integers_are_resampled_as_the_floats_that_they_are(interpolation: str, shape: tuple[int, int, int]) -> None:
    integers = np.random.default_rng(3).integers(-32768, 32767, (9, 11, 13), dtype=np.int16)
    turned = np.flip(integers.transpose(2, 0, 1), 1)

    for source in (integers, turned):
        assert np.array_equal(
            resized(source, shape, interpolation), resized(source.astype(np.float32), shape, interpolation)
        )


def test_cubic_is_the_spline_of_scipy_corner_to_corner() -> None:
    ramp = np.broadcast_to(np.arange(8, dtype=np.float32), (4, 4, 8))
    found = resized(ramp, (4, 4, 16), "cubic")
    assert np.allclose(found[0, 0, 4:-4], (np.arange(16) / 2 - 0.25)[4:-4], atol=0.02)


def test_resample_spacing_takes_the_nearest_number_of_voxels() -> None:
    image = prepared(volume(noise((10, 20, 30)), (3.0, 0.8, 0.9)), {"step": "resample_spacing", "mm": [1.5, 1.5, 2.0]})
    assert image.shape == (20, 11, 14)
    assert np.allclose(image.spacing, [1.5, 16 / 11, 27 / 14])


def test_an_absurd_grid_is_refused_before_it_is_made() -> None:
    with pytest.raises(InputError, match="too large"):
        prepared(volume(noise((10, 20, 30)), (500.0, 500.0, 500.0)), {"step": "resample_spacing", "mm": [0.1] * 3})


def reference(voxels: npt.NDArray[np.float32], step: dict[str, Any]) -> Any:
    x = voxels.astype(np.float64)
    chosen = x[x > step["foreground_above"]] if step.get("foreground_above") is not None else x
    match step["step"]:
        case "window":
            low = step["center"] - step["width"] / 2
            return (x.clip(low, low + step["width"]) - low) / step["width"]
        case "clip":
            return x.clip(step["low"], step["high"])
        case "clip_percentiles":
            return x.clip(*np.percentile(chosen, [step["lower"], step["upper"]]))
        case "z_score":
            return (x - chosen.mean()) / chosen.std()
        case "scale_range":
            return (x - x.min()) / (x.max() - x.min()) * (step["high"] - step["low"]) + step["low"]
        case _:
            return x * step["scale"] + step["shift"]


@pytest.mark.parametrize(
    "step",
    [
        {"step": "window", "center": 0.5, "width": 0.4},
        {"step": "clip", "low": 0.2, "high": 0.7},
        {"step": "clip_percentiles", "lower": 3, "upper": 91},
        {"step": "clip_percentiles", "lower": 3, "upper": 91, "foreground_above": 0.3},
        {"step": "z_score"},
        {"step": "z_score", "foreground_above": 0.5},
        {"step": "scale_range", "low": -1.0, "high": 3.0},
        {"step": "scale_shift", "scale": 2.0, "shift": -1.5},
    ],
)
def test_intensity_steps_do_what_their_docstrings_say(step: dict[str, Any]) -> None:
    source = noise((4, 9, 8))
    before = source.copy()
    image = prepared(volume(source), step, {"step": "orient", "axes": "SPL"})
    assert np.allclose(image.voxels[0], reference(source, step), atol=2e-6)
    assert np.array_equal(source, before)


@pytest.mark.parametrize("step", ["z_score", "scale_range"])
def test_an_image_without_contrast_is_refused(step: str) -> None:
    with pytest.raises(InputError, match="same value everywhere"):
        prepared(volume(np.full(SHAPE, 7, np.int16)), {"step": step})


@pytest.mark.parametrize("step", [{"step": "z_score", "foreground_above": 9}, {"step": "crop_foreground", "above": 9}])
def test_an_image_without_foreground_is_refused(step: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="foreground"):
        prepared(volume(noise(SHAPE)), step)


def test_a_volume_with_nan_is_refused() -> None:
    voxels = noise(SHAPE)
    voxels[1, 2, 3] = np.nan
    with pytest.raises(InputError, match="not numbers"):
        prepared(volume(voxels))


def test_what_was_cropped_away_is_background() -> None:
    voxels = np.zeros((6, 6, 6), np.float32)
    voxels[2:4, 2:4, 2:4] = 1
    image = prepared(volume(voxels), {"step": "crop_foreground"})
    assert image.shape == (2, 2, 2)
    assert np.array_equal(labels_on_source(np.ones((2, 2, 2), np.uint8), image), voxels)
    assert np.array_equal(probabilities_on_source(np.ones((2, 2, 2), np.float32), image), voxels)


def test_probabilities_come_back_linearly() -> None:
    source = noise((6, 8, 10))
    image = prepared(volume(source), {"step": "orient", "axes": "RAS"}, {"step": "resize", "shape": [20, 16, 12]})
    smooth = ndimage.gaussian_filter(image.voxels[0], 3)
    wanted = np.linalg.inv(image.affine) @ image.source_affine
    expected = ndimage.affine_transform(
        smooth, wanted[:3, :3], wanted[:3, 3], output_shape=source.shape, order=1, mode="nearest"
    )
    assert np.allclose(probabilities_on_source(smooth, image), expected, atol=1e-5)


def channels(first: Volume, second: Volume) -> Image:
    scans = {"a": Scan(first.voxels, first.affine), "b": Scan(second.voxels, second.affine)}
    return channels_of(card(inputs=("a", "b")), scans)


def test_a_second_input_is_brought_onto_the_grid_of_the_first() -> None:
    first = volume(noise((6, 10, 10)), (2.0, 1.0, 1.0))
    k, r, c = (axis.astype(np.float32) for axis in np.indices((12, 5, 5)))
    affine = volume(k, (1.0, 2.0, 2.0)).affine
    affine[:3, 3] = 0.5, 0.5, -0.5
    ramp = Volume(affine[2, 2] + 3 * (k * 1.0 - 0.5) + 2 * (r * 2 + 0.5) + (c * 2 + 0.5), affine)
    image = channels(first, ramp)
    z, y, x = np.indices((6, 10, 10))
    inner = (slice(1, -1), slice(1, -1), slice(1, -1))
    assert np.allclose(image.voxels[1][inner], (3 * 2 * z + 2 * y + x)[inner], atol=1e-3)


def test_a_second_input_of_elsewhere_is_refused() -> None:
    first, second = volume(noise((6, 10, 10))), volume(noise((6, 10, 10)))
    second.affine[2, 3] = 8
    with pytest.raises(InputError, match=r"another part of the body.*at least 50%.*found 33%"):
        channels(first, second)


def test_series_must_be_those_that_the_card_names() -> None:
    with pytest.raises(InputError, match=r"expected a, b; found a"):
        channels_of(card(inputs=("a", "b")), {"a": Scan(noise(SHAPE), np.eye(4))})
