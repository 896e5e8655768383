"""An ONNX file without its weights' bytes: what the structure says can be judged without holding gigabytes.

Walks the protobuf wire format (varints and length-delimited fields) of ModelProto.graph.initializer over a memory map and
leaves out each large ``raw_data``, keeping a view of it. Everything else is copied as it stands; onnx parses the rest.
That is bounded first: parsed, two bytes can take a hundred.
"""

from __future__ import annotations

from collections.abc import Iterator

GRAPH, INITIALIZER, RAW_DATA = 7, 5, 9
"""Field numbers of ModelProto.graph, GraphProto.initializer and TensorProto.raw_data (onnx.proto)."""
LEAVE_OUT_ABOVE = 4096
MAX_KEPT_BYTES = 1 << 26
"""Of a file without its large weights; those of networks of a thousand layers take a few MiB."""
FEW_BYTES = 1 << 22
"""Up to so many are parsed whatever they are made of."""
MAX_FIELDS = 1_000_000
MAX_DEPTH = 100
"""As protobuf's own parsers have it."""
_MESSAGES: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "plain", 14: "plain", 20: "training", 25: "function", 26: "plain"},
    "training": {1: "graph", 2: "graph", 3: "plain", 4: "plain"},
    "function": {7: "node", 9: "plain", 11: "attribute", 12: "value", 14: "plain"},
    "graph": {1: "node", 5: "tensor", 11: "value", 12: "value", 13: "value", 14: "plain", 15: "sparse", 16: "plain"},
    "node": {5: "attribute", 9: "plain", 10: "plain"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        14: "type",
        15: "type",
        22: "sparse",
        23: "sparse",
    },
    "tensor": {13: "plain", 16: "plain"},
    "sparse": {1: "tensor", 2: "tensor"},
    "value": {2: "type", 4: "plain"},
    "type": {1: "array", 4: "element", 5: "element", 8: "array", 9: "element"},
    "element": {1: "type", 2: "type"},
    "array": {2: "shape"},
    "shape": {1: "plain"},
    "plain": {},
}
"""Which fields of which message of onnx.proto are messages again, whose fields are counted too."""
_VARINT, _FIXED_64, _DELIMITED, _FIXED_32 = 0, 1, 2, 5
_LONGEST_VARINT = 10


class MalformedError(ValueError):
    """The bytes are no protobuf, or say a thing twice where readers could disagree on which counts."""


def lean(content: memoryview) -> tuple[bytes, dict[int, memoryview]]:
    """``content`` (a ModelProto) without large weights, and what was left out by initializer index, in file order."""
    left_out: dict[int, memoryview] = {}
    counter = iter(range(1 << 31))
    parts: list[bytes | memoryview] = []
    for number, whole, value in _fields(content):
        if number == GRAPH and value is not None:
            parts.append(_delimited(GRAPH, _lean_graph(value, counter, left_out)))
        else:
            parts.append(whole)
    kept = b"".join(parts)
    if len(kept) > MAX_KEPT_BYTES:
        raise MalformedError(f"{len(kept)} bytes beside its weights; at most {MAX_KEPT_BYTES} are read")
    if len(kept) > FEW_BYTES:
        _count(memoryview(kept), "model", iter(range(MAX_FIELDS)))
    return kept, left_out


def _count(message: memoryview, kind: str, budget: Iterator[int], depth: int = 0) -> None:
    """MalformedError where a message and those within it have more fields, or lie deeper, than any network's."""
    within = _MESSAGES[kind]
    if depth > MAX_DEPTH:
        raise MalformedError(f"messages more than {MAX_DEPTH} deep")
    for number, _, value in _fields(message):
        if next(budget, None) is None:
            raise MalformedError(f"more than {MAX_FIELDS} fields beside its weights")
        if value is not None and number in within:
            _count(value, within[number], budget, depth + 1)


def _lean_graph(graph: memoryview, counter: Iterator[int], left_out: dict[int, memoryview]) -> bytes:
    parts: list[bytes | memoryview] = []
    for number, whole, value in _fields(graph):
        if len(parts) > MAX_FIELDS // 2:
            raise MalformedError(f"a graph of more than {MAX_FIELDS // 2} fields")
        if number != INITIALIZER or value is None:
            parts.append(whole)
            continue
        tensor, data = _lean_tensor(value)
        index = next(counter)
        if data is not None:
            left_out[index] = data
        parts.append(_delimited(INITIALIZER, tensor))
    return b"".join(parts)


def _lean_tensor(tensor: memoryview) -> tuple[bytes, memoryview | None]:
    parts: list[bytes | memoryview] = []
    found: list[memoryview] = []
    for number, whole, value in _fields(tensor):
        if number != RAW_DATA or value is None:
            parts.append(whole)
            continue
        found.append(value)
        parts.append(_delimited(RAW_DATA, b"") if len(value) > LEAVE_OUT_ABOVE else whole)
    if len(found) > 1:
        raise MalformedError("a tensor holds its data twice")
    large = found and len(found[0]) > LEAVE_OUT_ABOVE
    return b"".join(parts), found[0] if large else None


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview, memoryview | None]]:
    """Each field: its number, all of its bytes, and its value where it is length-delimited."""
    position = 0
    while position < len(message):
        start = position
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        value = None
        if kind == _VARINT:
            _, position = _varint(message, position)
        elif kind == _DELIMITED:
            length, position = _varint(message, position)
            value = message[position : position + length]
            position += length
        elif kind in (_FIXED_64, _FIXED_32):
            position += 8 if kind == _FIXED_64 else 4
        else:
            raise MalformedError(f"a field of the wire type {kind}")
        if position > len(message) or number == 0:
            raise MalformedError("a field reaches beyond its message")
        yield number, message[start:position], value


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(_LONGEST_VARINT):
        if position >= len(message):
            break
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, position
    raise MalformedError("a number without an end")


def _delimited(number: int, value: bytes) -> bytes:
    return _encoded(number << 3 | _DELIMITED) + _encoded(len(value)) + value


def _encoded(value: int) -> bytes:
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    return bytes(octets)
