"""Small ONNX networks whose answer is known, written with onnx's helper; no training framework is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
Nodes = list[Any]
Tensors = list[Any]


def tiny_segmenter(
    path: Path,
    *,
    threshold: float = 0.5,
    steepness: float = 1000.0,
    inputs: int = 1,
    dimensions: int = 3,
    input_tensor: str = "input",
    output_tensor: str = "output",
) -> Path:
    """Two channels of probability: channel 1 wins where the mean of the inputs is above ``threshold``.

    Whatever the preprocessing leaves above ``threshold`` is the truth.
    """
    rank = dimensions + 2
    spread = np.array([-steepness, steepness], np.float32).reshape((1, 2) + (1,) * dimensions)
    nodes = [
        helper.make_node("ReduceMean", [input_tensor], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["mean", "threshold"], ["above"]),
        helper.make_node("Mul", ["above", "spread"], ["logits"]),
        helper.make_node("Softmax", ["logits"], [output_tensor], axis=1),
    ]
    tensors = [_tensor("threshold", np.float32(threshold)), _tensor("spread", spread)]
    return save(path, nodes, tensors, _float(input_tensor, rank, inputs), [_float(output_tensor, rank, 2)])


def tiny_labeller(path: Path, *, thresholds: Sequence[float] = (0.5,), dimensions: int = 3) -> Path:
    """Label values: how many of ``thresholds`` the input is above, as int64 in one channel."""
    rank = dimensions + 2
    nodes: Nodes = []
    for number in range(len(thresholds)):
        nodes.append(helper.make_node("Greater", ["input", f"threshold{number}"], [f"above{number}"]))
        nodes.append(helper.make_node("Cast", [f"above{number}"], [f"one{number}"], to=TensorProto.FLOAT))
    nodes.append(helper.make_node("Sum", [f"one{number}" for number in range(len(thresholds))], ["count"]))
    nodes.append(helper.make_node("Cast", ["count"], ["output"], to=TensorProto.INT64))
    tensors = [_tensor(f"threshold{number}", np.float32(value)) for number, value in enumerate(thresholds)]
    output = helper.make_tensor_value_info("output", TensorProto.INT64, _shape(rank, 1))
    return save(path, nodes, tensors, _float("input", rank, 1), [output])


def tiny_classifier(path: Path, *, classes: int = 2, dimensions: int = 3, scale: float = 1.0) -> Path:
    """One vector: logits ``scale * mean * (0, 1, 2 ...)`` of the volume's mean."""
    rank = dimensions + 2
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=list(range(1, rank)), keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["column"]),
        helper.make_node("Mul", ["column", "weights"], ["scores"]),
    ]
    weights = (scale * np.arange(classes, dtype=np.float32))[None]
    tensors = [_tensor("weights", weights), _tensor("one", np.array([1], np.int64))]
    output = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, classes])
    return save(path, nodes, tensors, _float("input", rank, 1), [output])


def random_convolutions(
    path: Path,
    *,
    channels: int = 8,
    layers: int = 2,
    classes: int = 2,
    dimensions: int = 3,
    inputs: int = 1,
    seed: int = 0,
) -> Path:
    """Convolutions of 3 voxels an axis with random weights, softmax at the end: each voxel depends on its neighbours."""
    random = np.random.default_rng(seed)
    nodes: Nodes = []
    tensors: Tensors = []
    current, width = "input", inputs
    for layer in range(layers):
        last = layer == layers - 1
        out = classes if last else channels
        kernel = random.normal(0, (width * 3**dimensions) ** -0.5, (out, width, *(3,) * dimensions))
        tensors += [_tensor(f"w{layer}", kernel.astype(np.float32)), _tensor(f"b{layer}", np.zeros(out, np.float32))]
        nodes.append(
            helper.make_node("Conv", [current, f"w{layer}", f"b{layer}"], [f"c{layer}"], pads=[1] * 2 * dimensions)
        )
        nodes.append(
            helper.make_node("Softmax", [f"c{layer}"], ["output"], axis=1)
            if last
            else helper.make_node("LeakyRelu", [f"c{layer}"], [f"a{layer}"], alpha=0.01)
        )
        current, width = f"a{layer}", out
    rank = dimensions + 2
    return save(path, nodes, tensors, _float("input", rank, inputs), [_float("output", rank, classes)])


def small_unet(path: Path, *, base: int = 16, classes: int = 2, inputs: int = 1, seed: int = 0) -> Path:
    """A 3D UNet with two levels of pooling and random weights: realistic work, meaningless answers."""
    random = np.random.default_rng(seed)
    nodes: Nodes = []
    tensors: Tensors = []

    def convolution(name: str, source: str, width: int, out: int, size: int = 3) -> str:
        kernel = random.normal(0, (width * size**3) ** -0.5, (out, width, size, size, size)).astype(np.float32)
        tensors.extend([_tensor(f"{name}.w", kernel), _tensor(f"{name}.b", np.zeros(out, np.float32))])
        nodes.append(helper.make_node("Conv", [source, f"{name}.w", f"{name}.b"], [f"{name}.c"], pads=[size // 2] * 6))
        nodes.append(helper.make_node("LeakyRelu", [f"{name}.c"], [name], alpha=0.01))
        return name

    def pooled(name: str, source: str) -> str:
        nodes.append(helper.make_node("MaxPool", [source], [name], kernel_shape=[2] * 3, strides=[2] * 3))
        return name

    def joined(name: str, deep: str, width: int, out: int, skip: str) -> str:
        kernel = random.normal(0, (width * 8) ** -0.5, (width, out, 2, 2, 2)).astype(np.float32)
        tensors.append(_tensor(f"{name}.up", kernel))
        nodes.append(helper.make_node("ConvTranspose", [deep, f"{name}.up"], [f"{name}.u"], strides=[2] * 3))
        nodes.append(helper.make_node("Concat", [f"{name}.u", skip], [name], axis=1))
        return name

    top = convolution("top2", convolution("top1", "input", inputs, base), base, base)
    middle = convolution("middle2", convolution("middle1", pooled("p1", top), base, 2 * base), 2 * base, 2 * base)
    deep = convolution("deep2", convolution("deep1", pooled("p2", middle), 2 * base, 4 * base), 4 * base, 4 * base)
    up = convolution("up1", joined("j1", deep, 4 * base, 2 * base, middle), 4 * base, 2 * base)
    convolution("up2", joined("j2", up, 2 * base, base, top), 2 * base, base)
    convolution("head", "up2", base, classes, size=1)
    nodes.append(helper.make_node("Softmax", ["head"], ["output"], axis=1))
    return save(path, nodes, tensors, _float("input", 5, inputs), [_float("output", 5, classes)])


def save(path: Path, nodes: Nodes, tensors: Tensors, source: Any, outputs: Sequence[Any]) -> Path:
    """Write a graph with one input as a checked ONNX file."""
    graph = helper.make_graph(nodes, "tiny", [source], list(outputs), tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="iodeep-tests")
    model.ir_version = 8
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def _shape(rank: int, channels: int) -> list[Any]:
    return ["batch", channels, *(f"axis{axis}" for axis in range(rank - 2))]


def _float(name: str, rank: int, channels: int) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, _shape(rank, channels))


def _tensor(name: str, values: npt.NDArray[Any] | np.generic) -> Any:
    return numpy_helper.from_array(np.asarray(values), name)
