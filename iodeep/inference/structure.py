"""A network's structure is read and judged before any runtime is given the file.

Only the protobuf is parsed, within bounds; no external data is opened, nothing is run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iodeep.errors import NetworkError
from iodeep.inference.interface import TensorFacts, check_interface, tensor_facts
from iodeep.inference.lean_onnx import MalformedError, lean
from iodeep.inference.network_files import NetworkContent, read_content
from iodeep.inference.operators import ALLOWED_OPERATORS, GREATEST_OPSET, LEAST_OPSET, STANDARD_DOMAINS
from iodeep.inference.weights import Weights, quoted

if TYPE_CHECKING:
    from iodeep.card import ModelCard

MAX_FILE_BYTES = (1 << 31) - 1
"""Protobuf's own bound; a larger network has its weights in external data."""
MAX_NODES = 200_000
MAX_DEPTH = 4
"""Of graphs within graphs (``If``)."""


@dataclass(frozen=True)
class NetworkFacts:
    """What a checked network is made of."""

    opset: int
    producer: str
    operators: Mapping[str, int]
    """How often each operator occurs."""
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    parameters: int
    """Numbers in all weights."""
    external_data: tuple[str, ...]
    """External-data files that the network names, each one listed by the card."""
    file_bytes: int


def check_network(path: Path, card: ModelCard, *, folder: Path | None = None) -> NetworkFacts:
    """The facts of the ONNX file ``path``, once it is found to be what ``card`` says and harmless to load.

    ``folder`` holds the external data; left out, the folder of ``path``. Raises :class:`iodeep.errors.NetworkError`
    naming the operator, tensor or file, and what is allowed.
    """
    return check_content(read_content(path, card.network.external_data, folder), card)


def check_content(content: NetworkContent, card: ModelCard) -> NetworkFacts:
    """The same of files that are open."""
    model, left_out = _parsed(content)
    try:
        there = {location: len(data) for location, data in content.external.items()}
        weights = Weights(card.network.external_data, there, left_out)
        return _checked(model, card, weights, len(content.model))
    except NetworkError as error:
        raise NetworkError(
            f"{content.name}: {error.problem}", expected=error.expected, found=error.found, remedy=error.remedy
        ) from error


def _parsed(content: NetworkContent) -> tuple[Any, dict[int, int]]:
    """The model without its large weights, and the lengths of those by initializer."""
    from google.protobuf.message import DecodeError
    from onnx import ModelProto  # 0.1 s that only a new network costs

    name, size = content.name, len(content.model)
    if size > MAX_FILE_BYTES:
        raise NetworkError(
            f"{name} is too large for an ONNX file",
            expected=f"at most {MAX_FILE_BYTES} bytes",
            found=f"{size}",
            remedy="Export it with its weights as external data.",
        )
    try:
        kept, left_out = lean(content.model)
    except MalformedError as error:
        raise NetworkError(
            f"{name} is not an ONNX file, or is damaged: {error}",
            remedy="Export the network again, or fetch it again.",
        ) from error
    model = ModelProto()
    try:
        model.ParseFromString(kept)
    except (DecodeError, RecursionError) as error:
        raise NetworkError(
            f"{name} is not an ONNX file, or is damaged", remedy="Export the network again, or fetch it again."
        ) from error
    if not model.HasField("graph") or not model.graph.node:
        raise NetworkError(f"{name} is not an ONNX file: it holds no graph")
    return model, {index: len(data) for index, data in left_out.items()}


def _checked(model: Any, card: ModelCard, weights: Weights, size: int) -> NetworkFacts:
    opset = _opset(model)
    if model.functions or model.training_info:
        kind = "functions of its own" if model.functions else "training graphs"
        raise NetworkError(f"the network defines {kind}", expected="operators of the ONNX standard only",
                           remedy="Export it with functions inlined, for inference.")  # fmt: skip
    operators = Counter(_walked(model.graph, weights, 0))
    inputs = tuple(tensor_facts(declared) for declared in model.graph.input)
    outputs = tuple(tensor_facts(declared) for declared in model.graph.output)
    check_interface(card, inputs, outputs, {tensor.name for tensor in model.graph.initializer})
    return NetworkFacts(
        opset=opset,
        producer=quoted(f"{model.producer_name} {model.producer_version}".strip())[1:-1],
        operators=dict(sorted(operators.items())),
        inputs=inputs,
        outputs=outputs,
        parameters=weights.parameters,
        external_data=tuple(sorted(weights.external)),
        file_bytes=size,
    )


def _opset(model: Any) -> int:
    imported = {entry.domain: entry.version for entry in model.opset_import}
    foreign = sorted(set(imported) - STANDARD_DOMAINS)
    version = max((imported[domain] for domain in STANDARD_DOMAINS & set(imported)), default=0)
    if not LEAST_OPSET <= version <= GREATEST_OPSET:
        raise NetworkError(
            "the network's operator set is not one that was reviewed",
            expected=f"opset {LEAST_OPSET} to {GREATEST_OPSET}",
            found=f"{version}" if version else f"only domains {', '.join(map(quoted, foreign[:5])) or 'none'}",
            remedy="Export it with opset 17.",
        )
    return int(version)


def _walked(graph: Any, weights: Weights, depth: int) -> Iterator[str]:
    """Names of all operators, each one and each tensor checked, in this graph and the graphs within it."""
    if depth > MAX_DEPTH or len(graph.node) > MAX_NODES:
        raise NetworkError(
            "the network is nested too deeply or has too many operators",
            expected=f"at most {MAX_DEPTH} levels of {MAX_NODES} operators",
        )
    if graph.sparse_initializer:
        raise NetworkError("the network holds sparse tensors", expected="dense tensors only")
    for index, tensor in enumerate(graph.initializer):
        weights.check(tensor, weights.left_out.get(index) if depth == 0 else None)
    for node in graph.node:
        _check_operator(node)
        yield node.op_type
        for attribute in node.attribute:
            yield from _in_attribute(node, attribute, weights, depth)


def _check_operator(node: Any) -> None:
    if node.domain not in STANDARD_DOMAINS:
        raise NetworkError(
            f"the operator {quoted(node.op_type)} is of the domain {quoted(node.domain)}, which is not allowed",
            expected="operators of the ONNX standard only",
            remedy="Export the network without custom or vendor operators.",
        )
    if node.op_type not in ALLOWED_OPERATORS:
        raise NetworkError(
            f"the operator {quoted(node.op_type)} (node {quoted(node.name)}) is not allowed",
            expected=f"one of the {len(ALLOWED_OPERATORS)} operators of iodeep/inference/operators.py",
            remedy="Export the network without it; operators that loop, draw random numbers or decode files are refused.",
        )


def _in_attribute(node: Any, attribute: Any, weights: Weights, depth: int) -> Iterator[str]:
    if attribute.HasField("t"):
        weights.check(attribute.t)
    for tensor in attribute.tensors:
        weights.check(tensor)
    if attribute.HasField("sparse_tensor") or attribute.sparse_tensors or attribute.ref_attr_name:
        raise NetworkError(
            f"the operator {quoted(node.op_type)} has an attribute {quoted(attribute.name)} of a kind that is not allowed"
        )
    graphs = [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
    if graphs and node.op_type != "If":
        raise NetworkError(f"the operator {quoted(node.op_type)} holds a graph, which only If may")
    for graph in graphs:
        yield from _walked(graph, weights, depth + 1)
