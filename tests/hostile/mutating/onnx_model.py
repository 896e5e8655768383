"""ONNX models as protobufs: shapes, types, initializers, attributes, external data, operators, edges, graphs within graphs."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from random import Random
from typing import Any

from google.protobuf.message import DecodeError, EncodeError, Message
from onnx import AttributeProto, ModelProto, TensorProto, helper

from tests.hostile.canary import Canary
from tests.hostile.mutating import octets
from tests.hostile.mutating.texts import hostile

INTEGERS = (-(1 << 63), -1, 0, 1, 2, 3, 5, 7, 64, 65535, 65536, 1 << 20, 1 << 31, 1 << 33, 1 << 40, (1 << 63) - 1)
FLOATS = (0.0, -0.0, 1e-45, 1e38, -1e38, float("nan"), float("inf"), float("-inf"))
OPERATORS = (
    "Loop", "Scan", "If", "ConstantOfShape", "Range", "Tile", "Expand", "Resize", "Pad", "Upsample", "Reshape", "Slice",
    "Gather", "Conv", "ConvTranspose", "MaxUnpool", "Einsum", "RandomNormal", "ImageDecoder", "StringConcat", "Optional",
    "SequenceConstruct", "OneHot", "EyeLike", "CumSum", "NonZero", "TopK", "Identity", "GridSample", "Col2Im", "Attention",
    "LSTM", "Unique", "Split", "Concat", "DepthToSpace", "CenterCropPad", "RegexFullMatch", "PythonOp", "Softmax",
)  # fmt: skip
DOMAINS = (
    "",
    "ai.onnx",
    "com.microsoft",
    "ai.onnx.ml",
    "ai.onnx.training",
    "custom",
    "com.microsoft.nchwc",
    "\0",
    "ai.onnx\0",
)
PATHS = (
    "/etc/passwd", "../weights.bin", "weights.bin", "./weights.bin", "weights.bin\0", "C:\\weights.bin", "..\\weights.bin",
    "file:///etc/passwd", "//host/share", "*/_ORT_MEM_ADDR_/*", "", ".", "/dev/zero", "/proc/self/mem", "a" * 300,
)  # fmt: skip


def spoilt(content: bytes, random: Random, canary: Canary) -> bytes:
    """A valid model with one to three changes, or its bytes spoilt."""
    if random.random() < 0.2:
        return octets.spoilt(content, random)
    model = ModelProto()
    model.ParseFromString(content)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        _change(model, random, canary)
    try:
        return bytes(model.SerializeToString())
    except (EncodeError, DecodeError, ValueError):
        return octets.spoilt(content, random)


def _change(model: ModelProto, random: Random, canary: Canary) -> None:
    try:
        random.choice(_WAYS)(model, random, canary)
    except (ValueError, TypeError, IndexError, DecodeError):
        model.producer_name = "spoilt"  # what the change needs isn't there


def _any_field(model: Any, random: Random, canary: Canary) -> None:
    """One field anywhere gets another value, or none, or is there twice."""
    message, field = random.choice(list(islice(_fields(model), 20_000)))
    value = getattr(message, field.name)
    if _repeated(field):
        if len(value) and random.random() < 0.4:
            del value[random.randrange(len(value))]
        elif field.message_type is None:
            value.append(_scalar(field, random, canary))
        elif len(value):
            value.add().CopyFrom(value[random.randrange(len(value))])
        else:
            value.add()
    elif field.message_type is not None:
        value.Clear() if random.random() < 0.5 else message.ClearField(field.name)
    else:
        setattr(message, field.name, _scalar(field, random, canary))


def _shape(model: Any, random: Random, canary: Canary) -> None:
    declared = random.choice([*model.graph.input, *model.graph.output])
    dims = declared.type.tensor_type.shape.dim
    if random.random() < 0.3:
        dims.add().dim_value = random.choice(INTEGERS)
    else:
        random.choice(dims).dim_value = random.choice(INTEGERS)


def _type(model: Any, random: Random, canary: Canary) -> None:
    random.choice([*model.graph.input, *model.graph.output]).type.tensor_type.elem_type = random.randrange(-1, 30)


def _initializer(model: Any, random: Random, canary: Canary) -> None:
    tensor = random.choice(model.graph.initializer)
    how = random.randrange(6)
    if how == 0:
        tensor.dims[:] = [random.choice(INTEGERS) for _ in range(random.choice((0, 1, 4, 8, 40)))]
    elif how == 1:
        tensor.raw_data = octets.spoilt(tensor.raw_data or b"\0", random)
    elif how == 2:
        tensor.data_type = random.randrange(-1, 30)
    elif how == 3:
        tensor.float_data.append(random.choice(FLOATS))
    elif how == 4:
        tensor.raw_data = b"\0\0\xc0\x7f" * (len(tensor.raw_data) // 4)  # NaN everywhere
    else:
        model.graph.initializer.add().CopyFrom(tensor)


def _external(model: Any, random: Random, canary: Canary) -> None:
    tensor = random.choice(model.graph.initializer)
    tensor.data_location = TensorProto.EXTERNAL
    location = random.choice((*PATHS, str(canary.secret), f"../canary/{canary.secret.name}", hostile(random, canary)))
    wanted = {"location": location, "offset": str(random.choice(INTEGERS)), "length": str(random.choice(INTEGERS))}
    for key in random.sample(sorted(wanted), random.randint(1, 3)):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, wanted[key]


def _operator(model: Any, random: Random, canary: Canary) -> None:
    random.choice(model.graph.node).op_type = random.choice(OPERATORS)


def _domain(model: Any, random: Random, canary: Canary) -> None:
    random.choice(model.graph.node).domain = random.choice(DOMAINS)
    if random.random() < 0.5:
        model.opset_import.add(domain=random.choice(DOMAINS), version=random.choice(INTEGERS))


def _opset(model: Any, random: Random, canary: Canary) -> None:
    random.choice(model.opset_import).version = random.choice((*range(30), *INTEGERS))


def _edge(model: Any, random: Random, canary: Canary) -> None:
    """Inputs and outputs of nodes tied elsewhere: cycles, names twice, names that nobody gives."""
    nodes = model.graph.node
    names = [name for node in nodes for name in (*node.input, *node.output)]
    ends = random.choice((random.choice(nodes).input, random.choice(nodes).output))
    ends[random.randrange(len(ends))] = random.choice((*names, "", "nobody"))


def _attribute(model: Any, random: Random, canary: Canary) -> None:
    node = random.choice(model.graph.node)
    how = random.randrange(4)
    if how == 0 and node.attribute:
        attribute = random.choice(node.attribute)
        if attribute.ints:
            attribute.ints[random.randrange(len(attribute.ints))] = random.choice(INTEGERS)
        else:
            attribute.i = random.choice(INTEGERS)
    elif how == 1 and node.attribute:
        random.choice(node.attribute).type = random.randrange(16)
    elif how == 2:
        node.attribute.add(
            name=random.choice(("axis", "to", "body", "value", "custom")), type=AttributeProto.STRING, s=b"x" * 99
        )
    else:
        whole = model.graph.SerializeToString()
        attribute = node.attribute.add(name="then_branch", type=AttributeProto.GRAPH)
        attribute.g.ParseFromString(whole)


def _grower(model: Any, random: Random, canary: Canary) -> None:
    """Behind the first node, one that makes much out of little."""
    first = model.graph.node[0]
    source, size = first.input[0], random.choice((1, 7, 1 << 10, 1 << 16, 1 << 31, -1))
    grown = random.choice(("Expand", "Tile", "ConstantOfShape", "Resize", "Range", "Pad", "Reshape"))
    values = helper.make_tensor("sizes", TensorProto.INT64, [5], [1, 1, size, size, random.choice((1, size))])
    model.graph.initializer.append(values)
    inputs = {"ConstantOfShape": ["sizes"], "Range": ["sizes"] * 3, "Resize": [source, "", "", "sizes"]}
    node = helper.make_node(grown, inputs.get(grown, [source, "sizes"]), ["grown"])
    first.input[0] = "grown"
    nodes = [node, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _nested(model: Any, random: Random, canary: Canary) -> None:
    """If within If within If ..."""
    graph = model.graph
    least = helper.make_graph([helper.make_node("Identity", ["yes"], ["no"])], "least", [], [])
    for _ in range(random.choice((1, 4, 6, 30))):
        condition = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
        inner = helper.make_graph([*graph.node], "inner", [], [*graph.output], [*graph.initializer])
        node = helper.make_node("If", ["yes"], [graph.output[0].name], then_branch=inner, else_branch=least)
        graph = helper.make_graph([node], "outer", [*graph.input], [*graph.output], [condition])
    model.graph.CopyFrom(graph)


def _extra(model: Any, random: Random, canary: Canary) -> None:
    """Functions, training graphs, metadata and texts that nobody needs."""
    how = random.randrange(4)
    if how == 0:
        model.functions.add(name="f", domain="custom")
    elif how == 1:
        model.training_info.add()
    elif how == 2:
        model.metadata_props.add(key=hostile(random, canary), value=hostile(random, canary))
    else:
        model.doc_string = hostile(random, canary) * 50


_WAYS: tuple[Callable[[Any, Random, Canary], None], ...] = (
    _any_field, _any_field, _any_field, _shape, _type, _initializer, _initializer, _external, _external, _operator,
    _domain, _opset, _edge, _edge, _attribute, _attribute, _grower, _grower, _nested, _extra,
)  # fmt: skip


def _fields(message: Message) -> Any:
    """Every field of a message and of all messages within it."""
    for field in message.DESCRIPTOR.fields:
        yield message, field
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for inner in value if _repeated(field) else (value,):
            yield from _fields(inner)


def _repeated(field: Any) -> bool:
    return bool(field.is_repeated) if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED


def _scalar(field: Any, random: Random, canary: Canary) -> Any:
    kinds: dict[Any, Callable[[], Any]] = {
        field.CPPTYPE_STRING: lambda: (
            random.randbytes(9) if field.type == field.TYPE_BYTES else hostile(random, canary).replace("\ud800", "")
        ),
        field.CPPTYPE_FLOAT: lambda: random.choice(FLOATS),
        field.CPPTYPE_DOUBLE: lambda: random.choice(FLOATS),
        field.CPPTYPE_ENUM: lambda: random.choice(field.enum_type.values).number,
        field.CPPTYPE_INT32: lambda: random.choice((-(1 << 31), -1, 0, 1, 99, (1 << 31) - 1)),
        field.CPPTYPE_UINT64: lambda: random.choice((0, 1, (1 << 64) - 1)),
    }
    return kinds.get(field.cpp_type, lambda: random.choice(INTEGERS))()
