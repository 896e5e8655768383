"""A network is judged by its structure before any runtime sees it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from iodeep.errors import NetworkError
from iodeep.inference import check_network, run_in_process
from tests.networks import small_unet, tiny_classifier, tiny_labeller, tiny_segmenter
from tests.unit.inference.helpers import NETWORK, card, head, noise, segment, volume


def changed(path: Path, change: Callable[[Any], None]) -> Path:
    model = onnx.load(tiny_segmenter(path / NETWORK), load_external_data=False)
    change(model)
    (path / NETWORK).write_bytes(model.SerializeToString())
    return path / NETWORK


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(NetworkError) as caught:
        check_network(path, card(**options))
    return str(caught.value)


def make_external(model: Any, location: str, **entries: str) -> None:
    tensor = model.graph.initializer[1]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)


def test_a_plain_network_is_accepted_and_described(tmp_path: Path) -> None:
    facts = check_network(tiny_segmenter(tmp_path / NETWORK), card())
    assert facts.opset == 17
    assert facts.operators == {"Mul": 1, "ReduceMean": 1, "Softmax": 1, "Sub": 1}
    assert facts.parameters == 3
    assert [tensor.shape for tensor in facts.inputs] == [(None, 1, None, None, None)]


@pytest.mark.parametrize("build", [small_unet, tiny_labeller])
def test_other_plain_networks_are_accepted(tmp_path: Path, build: Callable[[Path], Path]) -> None:
    decode = "labels" if build is tiny_labeller else "argmax"
    check_network(build(tmp_path / NETWORK), card(segmentation={"decode": decode}))


def test_a_classifier_is_accepted(tmp_path: Path) -> None:
    check_network(tiny_classifier(tmp_path / NETWORK), card(segmented=False, heads=(head("softmax"),)))


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    path = changed(tmp_path, lambda model: setattr(model.graph.node[0], "op_type", "OpenFile"))
    assert "the operator 'OpenFile'" in refused(path)


@pytest.mark.parametrize(
    "operator", ["Loop", "Scan", "RandomNormalLike", "SequenceAt", "ImageDecoder", "StringNormalizer"]
)
def test_operators_that_were_left_out_on_purpose_are_refused(tmp_path: Path, operator: str) -> None:
    assert operator in refused(changed(tmp_path, lambda model: setattr(model.graph.node[0], "op_type", operator)))


@pytest.mark.parametrize("domain", ["com.microsoft", "ai.onnx.ml", "my.company"])
def test_an_operator_of_another_domain_is_refused(tmp_path: Path, domain: str) -> None:
    assert domain in refused(changed(tmp_path, lambda model: setattr(model.graph.node[0], "domain", domain)))


def test_functions_are_refused(tmp_path: Path) -> None:
    function = helper.make_function(
        "", "Softmax", ["x"], ["y"], [helper.make_node("Identity", ["x"], ["y"])], [helper.make_opsetid("", 17)]
    )
    assert "functions" in refused(changed(tmp_path, lambda model: model.functions.append(function)))


@pytest.mark.parametrize("opset", [1, 8, 99])
def test_an_opset_that_was_not_reviewed_is_refused(tmp_path: Path, opset: int) -> None:
    message = refused(changed(tmp_path, lambda model: setattr(model.opset_import[0], "version", opset)))
    assert f"found {opset}" in message


def test_a_loop_inside_of_an_if_is_found(tmp_path: Path) -> None:
    def hide(model: Any) -> None:
        inner = helper.make_graph(
            [helper.make_node("Loop", ["n", "c"], ["y"])], "g", [], [helper.make_empty_tensor_value_info("y")]
        )
        model.graph.node.append(helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner))

    assert "'Loop'" in refused(changed(tmp_path, hide))


def test_nested_graphs_end_somewhere(tmp_path: Path) -> None:
    def nest(model: Any) -> None:
        graph = helper.make_graph([helper.make_node("Identity", ["input"], ["y"])], "g", [], [])
        for _ in range(10):
            node = helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph)
            graph = helper.make_graph([node], "g", [], [])
        model.graph.node.append(graph.node[0])

    assert "nested too deeply" in refused(changed(tmp_path, nest))


@pytest.mark.parametrize(
    "location", ["../x", "/etc/passwd", "a/b", "", "..", "*/_ORT_MEM_ADDR_/*", "weights\\..\\x", "unlisted.bin"]
)
def test_external_data_outside_of_the_model_is_refused(tmp_path: Path, location: str) -> None:
    message = refused(changed(tmp_path, lambda model: make_external(model, location)))
    assert "points to a file outside of the model" in message


def test_listed_external_data_is_accepted_and_run(tmp_path: Path) -> None:
    path = changed(tmp_path, lambda model: make_external(model, "net.data", offset="0", length="8"))
    (tmp_path / "net.data").write_bytes(np.array([-1000, 1000], np.float32).tobytes())
    wanted = card(network={"external_data": ["net.data"]})
    assert check_network(path, wanted).external_data == ("net.data",)
    voxels = noise((4, 5, 6))
    found = run_in_process(wanted, {NETWORK: path, "net.data": tmp_path / "net.data"}, {"image": volume(voxels)})
    assert found.segmentation is not None
    assert np.array_equal(found.segmentation.mask(1), voxels > 0.5)


@pytest.mark.parametrize(
    "entries",
    [{"offset": "1"}, {"length": "9"}, {"offset": "-4"}, {"length": "lots"}, {"offset": "9" * 30}, {"length": "4"}],
)
def test_external_data_must_lie_within_its_file(tmp_path: Path, entries: dict[str, str]) -> None:
    (tmp_path / "net.data").write_bytes(bytes(8))
    path = changed(tmp_path, lambda model: make_external(model, "net.data", **entries))
    assert "external" in refused(path, network={"external_data": ["net.data"]})


def test_external_data_that_links_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.data").symlink_to("/etc/passwd")
    path = changed(tmp_path, lambda model: make_external(model, "net.data"))
    assert "missing" in refused(path, network={"external_data": ["net.data"]})


def test_external_data_in_an_attribute_is_found(tmp_path: Path) -> None:
    def hide(model: Any) -> None:
        tensor = numpy_helper.from_array(np.zeros(2, np.float32), "hidden")
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/passwd")
        model.graph.node.append(helper.make_node("Constant", [], ["hidden"], value=tensor))

    assert "/etc/passwd" in refused(changed(tmp_path, hide))


@pytest.mark.parametrize("dims", [[1 << 40], [1 << 20] * 3, [-1, 2], [3], [1] * 40])
def test_declared_sizes_are_compared_with_the_data(tmp_path: Path, dims: list[int]) -> None:
    def inflate(model: Any) -> None:
        del model.graph.initializer[1].dims[:]
        model.graph.initializer[1].dims.extend(dims)

    assert "size" in refused(changed(tmp_path, inflate))


@pytest.mark.parametrize("size", [0, -5, 1 << 40])
def test_absurd_axes_of_an_input_are_refused(tmp_path: Path, size: int) -> None:
    def inflate(model: Any) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = size

    assert "impossible size" in refused(changed(tmp_path, inflate))


def test_text_in_a_tensor_is_refused(tmp_path: Path) -> None:
    text = onnx.TensorProto(name="text", data_type=TensorProto.STRING, dims=[1], string_data=[b"x"])
    assert "type" in refused(changed(tmp_path, lambda model: model.graph.initializer.append(text)))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"network": {"input_tensor": "image"}}, "no input called 'image'"),
        ({"segmentation": {"tensor": "mask"}}, "no output called 'mask'"),
        ({"inputs": ("a", "b")}, "2 channels"),
        ({"network": {"dimensions": "2D"}}, "4 axes"),
        ({"segmentation": {"segments": [segment(1, 7)]}}, "at least 8 channels"),
        ({"heads": (head("softmax"),)}, "no output called 'scores'"),
    ],
)
def test_what_the_card_says_must_be_there(tmp_path: Path, options: dict[str, Any], expected: str) -> None:
    assert expected in refused(tiny_segmenter(tmp_path / NETWORK), **options)


def test_a_fixed_size_must_be_the_one_that_the_card_gives(tmp_path: Path) -> None:
    def fix(model: Any) -> None:
        for axis in model.graph.input[0].type.tensor_type.shape.dim[2:]:
            axis.dim_value = 32

    path = changed(tmp_path, fix)
    check_network(path, card(steps=({"step": "resize", "shape": [32, 32, 32]},)))
    assert "64 x 64 x 64" in refused(path, network={"inference": {"mode": "patches", "size": [64, 64, 64]}})


@pytest.mark.parametrize(
    "content", [b"", b"not a network", b"\x08\x07\xff\xff\xff\xff\xff", b"version https://git-lfs"]
)
def test_garbled_files_are_told_plainly(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NETWORK).write_bytes(content)
    assert "not an ONNX file" in refused(tmp_path / NETWORK)


def test_a_truncated_network_is_told_plainly(tmp_path: Path) -> None:
    whole = tiny_segmenter(tmp_path / NETWORK).read_bytes()
    (tmp_path / NETWORK).write_bytes(whole[: len(whole) // 2])
    assert NETWORK in refused(tmp_path / NETWORK)


def test_a_missing_file_is_told_plainly(tmp_path: Path) -> None:
    assert "cannot be read" in refused(tmp_path / NETWORK)


def test_names_out_of_the_file_cannot_forge_a_message(tmp_path: Path) -> None:
    name = "x\n\x1b[31mAll is well" + "y" * 1000
    message = refused(changed(tmp_path, lambda model: setattr(model.graph.node[0], "op_type", name)))
    assert "\n" not in message
    assert "\x1b" not in message
    assert len(message) < 600
