"""A model and its weights apart: the runtime gets the structure as bytes and the weights as views of the mapped files.

The weights keep their place in the model as external data (onnx.proto, TensorProto.data_location) of a location that is
never opened: the runtime is given the values themselves under the tensors' names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from iodeep.inference.lean_onnx import lean
from iodeep.inference.network_files import NetworkContent
from iodeep.inference.weights import BYTES_OF_TYPE

NOWHERE = "given-in-memory"
ALIGNED = 64
"""Bytes to which the runtime aligns what it allocates itself."""


@dataclass(frozen=True)
class Weight:
    """The values of one initializer, as unsigned numbers of the type's width; ``onnx_type``: TensorProto.DataType."""

    name: str
    onnx_type: int
    values: np.ndarray[Any, Any]


def detached(network: NetworkContent) -> tuple[bytes, list[Weight]]:
    """The model without large weights and without external data, and those. The structure was checked before."""
    from onnx import ModelProto

    content, left_out = lean(network.model)
    model = ModelProto.FromString(content)
    weights = []
    for index, tensor in enumerate(model.graph.initializer):
        data = left_out.get(index)
        if tensor.data_location == tensor.EXTERNAL:
            data = _external(network, tensor)
        if data is not None:
            weights.append(Weight(tensor.name, tensor.data_type, _values(tensor, data)))
            _point_nowhere(tensor, len(data))
    for tensor in _within_nodes(model.graph):
        if tensor.data_location == tensor.EXTERNAL:
            data = _external(network, tensor)
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
            tensor.raw_data = bytes(data)
    return model.SerializeToString(), weights


def _external(network: NetworkContent, tensor: Any) -> memoryview:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    start = int(entries.get("offset", 0))
    size = int(np.prod(tensor.dims, dtype=np.int64)) * _width(tensor)
    return network.external[entries["location"]][start : start + size]


def _width(tensor: Any) -> int:
    return BYTES_OF_TYPE[tensor.DataType.Name(tensor.data_type)]


def _values(tensor: Any, data: memoryview) -> np.ndarray[Any, Any]:
    """A view, or a copy where the numbers don't lie at multiples of their width, as compiled code may count on."""
    values = np.frombuffer(data, f"<u{_width(tensor)}").reshape(tuple(tensor.dims))
    return values if values.flags.aligned else _aligned(values)


def _aligned(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    room = np.empty(values.nbytes + ALIGNED, np.uint8)
    start = -room.ctypes.data % ALIGNED
    copy: np.ndarray[Any, Any] = room[start : start + values.nbytes].view(values.dtype).reshape(values.shape)
    copy[...] = values
    return copy


def _point_nowhere(tensor: Any, size: int) -> None:
    tensor.ClearField("raw_data")
    tensor.ClearField("external_data")
    tensor.data_location = tensor.EXTERNAL
    for key, value in (("location", NOWHERE), ("offset", "0"), ("length", str(size))):
        tensor.external_data.add(key=key, value=value)


def _within_nodes(graph: Any) -> Iterator[Any]:
    """Tensors of attributes, and all those of the graphs within."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from inner.initializer
                yield from _within_nodes(inner)
