"""Networks: programs in disguise, paths that lead elsewhere, shapes without end, graphs that never stop, numbers that are none."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from iodeep.card import card_of_document
from iodeep.errors import InferenceError, NetworkError
from iodeep.inference import check_network
from tests.hostile.models import NETWORK, small_card
from tests.hostile.zoo.ground import Ground, tensor
from tests.hostile.zoo.specimen import Cage
from tests.networks import tiny_segmenter

CAGE = Cage()
INT64, FLOAT = TensorProto.INT64, TensorProto.FLOAT


def node(kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> NodeProto:
    """A node."""
    return helper.make_node(kind, inputs, outputs, **attributes)


def valid(ground: Ground) -> ModelProto:
    """The small network, to be altered."""
    model = ModelProto()
    model.ParseFromString(tiny_segmenter(ground.place / NETWORK).read_bytes())
    return model


@CAGE.keep("pickle-as-network", "execution: a pickle under a network's name", NetworkError, "not an ONNX file")
def _pickle(ground: Ground) -> None:
    ground.run(ground.written(ground.pickle))


@CAGE.keep("pickle-in-metadata", "execution: pickles in every text of an ONNX file; they stay bytes")
def _metadata(ground: Ground) -> None:
    model = valid(ground)
    text = ground.pickle.decode("latin-1")
    model.doc_string = model.producer_name = model.graph.doc_string = text
    model.metadata_props.add(key="__reduce__", value=text)
    assert ground.run(ground.written(model)).segmentation is not None


@CAGE.keep("pickle-in-string-tensor", "execution: a tensor of texts", NetworkError, "type that is not allowed")
def _strings(ground: Ground) -> None:
    model = valid(ground)
    model.graph.initializer.add(name="s", data_type=TensorProto.STRING, dims=[1], string_data=[ground.pickle])
    ground.run(ground.written(model))


def _external(ground: Ground, location: str, **entries: str) -> None:
    model = valid(ground)
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        weight.external_data.add(key=key, value=value)
    card = small_card()
    document = card.model_dump(mode="json")
    document["version"], document["network"]["external_data"] = "1.0.2", ["weights.bin"]
    check_network(ground.written(model), card_of_document(document, "zoo"))


def _outside(name: str, location: str) -> None:
    attacks = "reading: external data outside of the model"

    @CAGE.keep(f"external-{name}", attacks, NetworkError, "points to a file outside of the model")
    def attack(ground: Ground) -> None:
        _external(ground, location or str(ground.canary.secret))


_outside("absolute", "")
_outside("upwards", "../canary/secret")
_outside("drive", "C:\\secret")
_outside("share", "\\\\host\\secret")
_outside("nul", "weights.bin\0")
_outside("memory-address", "*/_ORT_MEM_ADDR_/*")
_outside("url", "http://127.0.0.1/weights.bin")
_outside("homoglyph", "weіghts.bin")


@CAGE.keep(
    "external-no-text", "reading: a location that is no UTF-8", NetworkError, "points to a file outside of the model"
)
def _no_text(ground: Ground) -> None:
    model = valid(ground)
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    model.graph.initializer[0].external_data.add(key="location", value="WEIGHTS")
    check_network(ground.written(model.SerializeToString().replace(b"WEIGHTS", b"\xff\xfe\x80.bin"[:7])), small_card())


@CAGE.keep("external-symlink", "reading: listed external data that links to a secret", NetworkError, "is missing")
def _symlink(ground: Ground) -> None:
    (ground.place / "weights.bin").symlink_to(ground.canary.secret)
    _external(ground, "weights.bin")


@CAGE.keep("external-offset", "reading: beyond the end of external data", NetworkError, "don't fit together")
def _offset(ground: Ground) -> None:
    (ground.place / "weights.bin").write_bytes(bytes(16))
    _external(ground, "weights.bin", offset="12", length="8")


@CAGE.keep("huge-dims-tiny-data", "memory: a weight of petabytes in four bytes", NetworkError, "impossible size")
def _huge(ground: Ground) -> None:
    model = valid(ground)
    model.graph.initializer[0].dims[:] = [1 << 30, 1 << 30]
    ground.run(ground.written(model))


@CAGE.keep(
    "dims-without-data", "memory: a weight of gigabytes in four bytes", NetworkError, "another size than its data"
)
def _unbacked(ground: Ground) -> None:
    model = valid(ground)
    model.graph.initializer[0].dims[:] = [1 << 30]
    ground.run(ground.written(model))


@CAGE.keep("negative-dims", "memory: a negative axis", NetworkError, "impossible size")
def _negative(ground: Ground) -> None:
    model = valid(ground)
    model.graph.initializer[0].dims[:] = [-1, -1]
    ground.run(ground.written(model))


def _bomb(name: str, make: Any) -> None:
    attacks = "memory: much out of little, while it runs; one failed run within its limit"

    @CAGE.keep(f"bomb-{name}", attacks, InferenceError, "memory|could not be loaded|failed on an image|ended by signal")
    def attack(ground: Ground) -> None:
        nodes, tensors = make()
        ground.run(ground.network([*nodes, node("Identity", ["grown"], ["output"])], tensors))


HUGE = [1, 2, 1 << 12, 1 << 12, 1 << 12]
_bomb("constant-of-shape", lambda: ([node("ConstantOfShape", ["s"], ["grown"])], [tensor("s", INT64, [5], HUGE)]))
_bomb(
    "expand",
    lambda: ([node("Expand", ["input", "s"], ["grown"])], [tensor("s", INT64, [5], [1, 2, 1 << 11, 1 << 11, 1 << 11])]),
)
_bomb(
    "tile",
    lambda: ([node("Tile", ["input", "s"], ["grown"])], [tensor("s", INT64, [5], [1, 2, 1 << 10, 1 << 10, 1 << 10])]),
)
_bomb(
    "pad",
    lambda: (
        [node("Pad", ["input", "s"], ["grown"])],
        [tensor("s", INT64, [10], [0, 1, 9000, 9000, 9000, 0, 0, 9000, 9000, 9000])],
    ),
)
_bomb(
    "resize",
    lambda: (
        [node("Resize", ["input", "", "s"], ["grown"], mode="nearest")],
        [tensor("s", FLOAT, [5], [1, 1, 1e3, 1e3, 1e3])],
    ),
)
_bomb("range", lambda: (
    [node("Range", ["a", "b", "c"], ["r"]), node("Cast", ["r"], ["f"], to=FLOAT), node("Unsqueeze", ["f", "x"], ["grown"])],
    [tensor("a", INT64, [], [0]), tensor("b", INT64, [], [1 << 40]), tensor("c", INT64, [], [1]), tensor("x", INT64, [4], [0, 1, 2, 3])],
))  # fmt: skip
_bomb("one-hot", lambda: (
    [node("Cast", ["input"], ["i"], to=INT64), node("OneHot", ["i", "d", "v"], ["grown"])],
    [tensor("d", INT64, [], [1 << 34]), tensor("v", FLOAT, [2], [0, 1])],
))  # fmt: skip


@CAGE.keep("endless-loop", "time: a Loop that never ends", NetworkError, "'Loop'.*not allowed")
def _loop(ground: Ground) -> None:
    body = helper.make_graph([node("Identity", ["c"], ["d"])], "body", [], [])
    tensors = [tensor("m", INT64, [], [(1 << 63) - 1]), tensor("yes", TensorProto.BOOL, [], [1])]
    ground.run(ground.network([node("Loop", ["m", "yes"], ["output"], body=body)], tensors))


@CAGE.keep("scan", "time: a Scan", NetworkError, "'Scan'.*not allowed")
def _scan(ground: Ground) -> None:
    body = helper.make_graph([node("Identity", ["x"], ["y"])], "body", [], [])
    ground.run(ground.network([node("Scan", ["input"], ["output"], body=body, num_scan_inputs=1)]))


@CAGE.keep("slow-graph", "time: a graph of allowed operators that takes hours", InferenceError, "longer than its limit")
def _slow(ground: Ground) -> None:
    nodes = [node("Tile", ["input", "s"], ["t0"])]
    nodes += [node("Sin", [f"t{number}"], [f"t{number + 1}"]) for number in range(6000)]
    nodes += [node("Slice", ["t6000", "zero", "two", "one"], ["output"])]
    tensors = [tensor("s", INT64, [5], [1, 2, 50, 50, 10]), *(tensor(name, INT64, [1], [value]) for name, value in (("zero", 0), ("two", 2), ("one", 1)))]  # fmt: skip
    ground.run(ground.network(nodes, tensors))


def _within(depth: int) -> bytes:
    """An If within an If ..., each graph as bytes within the bytes of the next: no library writes them so deep."""
    graph = bytes(helper.make_graph([node("Identity", ["input"], ["inner"])], "g", [], []).SerializeToString())
    for _ in range(depth):
        branch = b"\x0a\x0bthen_branch\x32" + _varint(len(graph)) + graph + b"\xa0\x01\x05"
        inner = b"\x0a\x03yes\x12\x01o\x22\x02If\x2a" + _varint(len(branch)) + branch
        graph = b"\x0a" + _varint(len(inner)) + inner
    return graph


def _nested_ifs(ground: Ground, depth: int) -> None:
    model = valid(ground)
    graph = model.graph.SerializeToString() + _within(depth)
    model.ClearField("graph")
    ground.run(ground.written(model.SerializeToString() + b"\x3a" + _varint(len(graph)) + graph))


@CAGE.keep("nested-if", "stack: graphs within graphs", NetworkError, "nested too deeply")
def _nested(ground: Ground) -> None:
    _nested_ifs(ground, 6)


@CAGE.keep("deeply-nested-if", "stack: a hundred graphs within each other", NetworkError, "damaged|nested too deeply")
def _deep(ground: Ground) -> None:
    _nested_ifs(ground, 500)


@CAGE.keep(
    "vendor-operator", "execution: an operator of a vendor's domain", NetworkError, "of the domain 'com.microsoft'"
)
def _vendor(ground: Ground) -> None:
    ground.run(ground.network([node("Gelu", ["input"], ["output"], domain="com.microsoft")]))


@CAGE.keep("python-operator", "execution: an operator that would call Python", NetworkError, "of the domain")
def _python(ground: Ground) -> None:
    ground.run(ground.network([node("PythonOp", ["input"], ["output"], domain="org.pytorch.aten")]))


@CAGE.keep(
    "own-functions", "hiding: operators within functions of the file's own", NetworkError, "functions of its own"
)
def _functions(ground: Ground) -> None:
    model = valid(ground)
    model.functions.add(name="Relu", domain="")
    ground.run(ground.written(model))


@CAGE.keep("sparse", "hiding: weights as sparse tensors", NetworkError, "sparse tensors")
def _sparse(ground: Ground) -> None:
    model = valid(ground)
    model.graph.sparse_initializer.add()
    ground.run(ground.written(model))


@CAGE.keep("data-twice", "hiding: a tensor that holds its data twice", NetworkError, "holds its data twice")
def _twice(ground: Ground) -> None:
    model = valid(ground)
    content = model.graph.initializer[1].SerializeToString()
    other = TensorProto(raw_data=bytes(8)).SerializeToString()
    model.graph.initializer[1].Clear()
    marked = TensorProto(name="MARK").SerializeToString()
    model.graph.initializer[1].ParseFromString(marked)
    whole = model.SerializeToString()
    assert whole.count(marked) == 1
    graph = ModelProto.FromString(whole).graph
    del graph.initializer[1]
    head = ModelProto.FromString(whole)
    head.ClearField("graph")
    inner = content + other
    body = graph.SerializeToString() + b"\x2a" + bytes([len(inner)]) + inner
    ground.run(ground.written(head.SerializeToString() + b"\x3a" + _varint(len(body)) + body))


@CAGE.keep("many-empty-nodes", "memory: two bytes a node", NetworkError, "a graph of more than")
def _many(ground: Ground) -> None:
    ground.run(ground.written(b"\x3a" + _varint(2 << 20) + b"\x0a\x00" * (1 << 20)))


@CAGE.keep("two-graphs", "disagreement: a file with two graphs, of which readers may take either")
def _two_graphs(ground: Ground) -> None:
    first, second = valid(ground), valid(ground)
    second.graph.node[0].op_type = "Loop"
    try:
        ground.run(ground.written(first.SerializeToString() + second.SerializeToString()))
    except NetworkError:
        return
    raise AssertionError("taken, though protobuf joins the two graphs")


def _not_finite(name: str, value: float) -> None:
    @CAGE.keep(f"{name}-weights", "results: a network whose answer is no number", InferenceError, "NaN or infinity")
    def attack(ground: Ground) -> None:
        weight = numpy_helper.from_array(np.array([value, value], np.float32).reshape(1, 2, 1, 1, 1), "w")
        ground.run(ground.network([node("Add", ["input", "w"], ["output"])], [weight]))


_not_finite("nan", float("nan"))
_not_finite("infinite", float("inf"))


@CAGE.keep("cycle", "time: nodes that wait for each other", InferenceError, "could not be loaded")
def _cycle(ground: Ground) -> None:
    ground.run(
        ground.network(
            [node("Add", ["input", "b"], ["a"]), node("Add", ["a", "a"], ["b"]), node("Add", ["a", "b"], ["output"])]
        )
    )


@CAGE.keep(
    "forged-message", "people: names with control characters in a refusal", NetworkError, r"\?\[2J\?\]0;all is well\?"
)
def _forged(ground: Ground) -> None:
    model = valid(ground)
    model.graph.output[0].name = "\x1b[2J\x1b]0;all is well\x07"
    ground.run(ground.written(model))


@CAGE.keep("absurd-input", "memory: an input axis that no image has", NetworkError, "impossible size")
def _absurd(ground: Ground) -> None:
    model = valid(ground)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 1 << 40
    ground.run(ground.written(model))


def _varint(value: int) -> bytes:
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*octets, value])
