"""What a network gives is taken only where it is what the card says; otherwise one sentence says what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from scipy.special import expit, softmax

from iodeep.card import ModelCard
from iodeep.errors import CardError, InferenceError, IODeepError
from iodeep.inference import run_in_process
from iodeep.inference.decoding import winning_channel
from iodeep.inference.forward import activated
from iodeep.prediction import Prediction
from tests.networks import OPSET, random_convolutions, small_unet, tiny_classifier, tiny_labeller, tiny_segmenter
from tests.unit.inference.helpers import NETWORK, card, head, noise, segment, volume


def graph(path: Path, *nodes: Any, tensors: dict[str, Any] | None = None) -> Path:
    """A network of free shapes, as exporters leave them."""
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 1, None, None, None])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [None] * 5)
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in (tensors or {}).items()]
    model = helper.make_model(
        helper.make_graph(list(nodes), "g", [source], [output], weights), opset_imports=[helper.make_opsetid("", OPSET)]
    )
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())
    return path


def run(path: Path, model: ModelCard, **options: Any) -> Prediction:
    return run_in_process(model, {NETWORK: path}, {"image": volume(noise((4, 5, 6)))}, **options)


def failure(path: Path, model: ModelCard, **options: Any) -> str:
    with pytest.raises(IODeepError) as caught:
        run(path, model, **options)
    assert isinstance(caught.value, InferenceError | CardError)
    return str(caught.value)


def test_nan_is_refused_and_counted(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Sub", ["input", "half"], ["below"]),
        helper.make_node("Sqrt", ["below"], ["root"]),
        helper.make_node("Concat", ["root", "input"], ["output"], axis=1),
    ]
    path = graph(tmp_path / NETWORK, *nodes, tensors={"half": np.float32(0.5)})
    count = int((noise((4, 5, 6)) < 0.5).sum())
    assert f"NaN or infinity in {count} of 240 values of its output 'output'" in failure(path, card())


def test_infinity_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Div", ["input", "zero"], ["over"]),
        helper.make_node("Concat", ["over", "input"], ["output"], axis=1),
    ]
    path = graph(tmp_path / NETWORK, *nodes, tensors={"zero": np.float32(0)})
    assert "NaN or infinity in 120 of 240" in failure(path, card())


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (helper.make_node("MaxPool", ["input"], ["output"], kernel_shape=[2, 2, 2]), "(1, 1, 3, 4, 5)"),
        (helper.make_node("Flatten", ["input"], ["output"]), "(1, 120)"),
        (helper.make_node("Identity", ["input"], ["output"]), "(1, 1, 4, 5, 6)"),
    ],
)
def test_a_wrong_shape_names_expected_and_found(tmp_path: Path, node: Any, expected: str) -> None:
    message = failure(graph(tmp_path / NETWORK, node), card())
    assert f"found {expected}" in message
    assert "expected (1, at least 2 channels, 4, 5, 6)" in message


def test_a_network_that_cannot_take_the_image_says_so(tmp_path: Path) -> None:
    message = failure(small_unet(tmp_path / NETWORK, base=1), card())
    assert "the network net.onnx failed on an image of (1, 1, 4, 5, 6)" in message


def test_labels_that_the_card_does_not_have_are_an_error(tmp_path: Path) -> None:
    path = tiny_labeller(tmp_path / NETWORK, thresholds=(0.3, 0.6))
    output = {"decode": "labels", "segments": [segment(1, 2)]}
    for network in ({}, {"mirror_axes": [0]}):
        assert "label values that the card doesn't have" in failure(path, card(segmentation=output, network=network))


def test_argmax_maps_channels_to_segments_and_the_rest_to_background(tmp_path: Path) -> None:
    path = random_convolutions(tmp_path / NETWORK, classes=5)
    found = run(path, card(segmentation={"segments": [segment(1, 3), segment(2, 1)]})).segmentation
    assert found is not None
    winner = onnxruntime.InferenceSession(path).run(None, {"input": noise((4, 5, 6))[None, None]})[0][0].argmax(0)
    assert found.labels is not None
    assert np.array_equal(found.labels, np.array([0, 2, 0, 1, 0])[winner])


def test_one_thresholded_segment_gives_labels(tmp_path: Path) -> None:
    found = run(tiny_segmenter(tmp_path / NETWORK), card(segmentation={"decode": "threshold"})).segmentation
    assert found is not None
    assert found.labels is not None
    assert np.array_equal(found.labels, noise((4, 5, 6)) > 0.5)


def test_more_than_255_segments_need_two_bytes(tmp_path: Path) -> None:
    path = tiny_labeller(tmp_path / NETWORK)
    segments = [segment(number, number + 10) for number in range(1, 300)] + [segment(300, 1)]
    found = run(path, card(segmentation={"decode": "labels", "segments": segments})).segmentation
    assert found is not None
    assert found.labels is not None
    assert found.labels.dtype == np.uint16
    assert np.array_equal(found.labels == 300, noise((4, 5, 6)) > 0.5)


@pytest.mark.parametrize("activation", ["none", "softmax", "sigmoid"])
def test_activations_equal_scipy(activation: Any) -> None:
    values = (np.random.default_rng(0).normal(size=(2, 4, 3, 5)) * 50).astype(np.float32)
    expected = {"none": values, "softmax": softmax(values, axis=1), "sigmoid": expit(values)}[activation]
    assert np.allclose(activated(values.copy(), activation), expected, atol=1e-6)


def test_probabilities_must_be_probabilities(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Add", ["input", "ten"], ["more"]),
        helper.make_node("Concat", ["input", "more"], ["output"], axis=1),
    ]
    path = graph(tmp_path / NETWORK, *nodes, tensors={"ten": np.float32(10)})
    assert "holds no probabilities" in failure(path, card(), probabilities=True)
    assert run(path, card(segmentation={"activation": "softmax"}), probabilities=True).segmentation is not None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 7])
def test_the_fast_argmax_is_argmax(dtype: type[Any], channels: int) -> None:
    values = np.random.default_rng(channels).integers(0, 4, (channels, 30, 40)).astype(np.float32)
    assert np.array_equal(winning_channel(values, np.dtype(dtype)), values.argmax(0))


def test_a_softmax_head_names_the_largest_class(tmp_path: Path) -> None:
    found = run(tiny_classifier(tmp_path / NETWORK, scale=3), card(segmented=False, heads=(head("softmax"),)))
    assert found.segmentation is None
    (said,) = found.classifications
    expected = softmax([0.0, 3 * float(noise((4, 5, 6)).mean())]).tolist()
    assert [one.probability for one in said.classes] == pytest.approx(expected, abs=1e-6)
    assert [one.present for one in said.classes] == [False, True]
    assert [one.code.value for one in said.classes] == ["0", "1"]


def test_a_sigmoid_head_takes_each_class_by_its_threshold(tmp_path: Path) -> None:
    heads = (head("sigmoid", (None, 0.9)),)
    (said,) = run(tiny_classifier(tmp_path / NETWORK, scale=3), card(segmented=False, heads=heads)).classifications
    assert [one.probability for one in said.classes] == pytest.approx([0.5, 1 / (1 + np.exp(-1.5))], abs=0.03)
    assert [one.present for one in said.classes] == [True, False]


def test_a_head_without_probabilities_is_refused(tmp_path: Path) -> None:
    path = tiny_classifier(tmp_path / NETWORK, scale=30)
    assert "holds no probabilities" in failure(path, card(segmented=False, heads=(head("none"),)))


def test_a_head_must_see_the_whole_series_at_once(tmp_path: Path) -> None:
    path = tiny_classifier(tmp_path / NETWORK, dimensions=2)
    model = card(segmented=False, heads=(head("softmax"),), network={"dimensions": "2D", "slice_axis": 0})
    assert "4 windows" in failure(path, model)
