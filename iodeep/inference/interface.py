"""What a network declares about its inputs and outputs, held against what the card says it eats and gives."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iodeep.errors import NetworkError
from iodeep.inference.weights import quoted

if TYPE_CHECKING:
    from iodeep.card import ModelCard

MAX_AXIS = 1 << 16
MAX_ELEMENTS = 1 << 33
INPUT_TYPES = ("FLOAT",)
REPACK = "Correct the card, or export the network again."


@dataclass(frozen=True)
class TensorFacts:
    """A declared input or output; ``shape`` holds None where an axis is free."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        axes = " x ".join("?" if size is None else str(size) for size in self.shape)
        return f"{quoted(self.name)} {self.dtype} {axes}"


def tensor_facts(declared: Any) -> TensorFacts:
    """The facts of a ValueInfoProto; sizes that no image has are refused."""
    if declared.type.WhichOneof("value") != "tensor_type" or not declared.type.tensor_type.HasField("shape"):
        raise NetworkError(f"{quoted(declared.name)} is not declared as a tensor with a shape", remedy=REPACK)
    tensor = declared.type.tensor_type
    shape = tuple(axis.dim_value if axis.WhichOneof("value") == "dim_value" else None for axis in tensor.shape.dim)
    elements = 1
    for size in shape:
        elements *= 1 if size is None else size
        if size is not None and not 0 < size <= MAX_AXIS:
            raise NetworkError(
                f"{quoted(declared.name)} declares an impossible size", expected=f"1 to {MAX_AXIS}", found=f"{size}"
            )
    if elements > MAX_ELEMENTS:
        raise NetworkError(
            f"{quoted(declared.name)} declares an impossible size",
            expected=f"at most {MAX_ELEMENTS} elements",
            found=f"{elements}",
        )
    return TensorFacts(declared.name, _type_name(tensor.elem_type), shape)


def _type_name(number: int) -> str:
    from onnx import TensorProto

    try:
        return str(TensorProto.DataType.Name(number))
    except ValueError:
        return f"type {number}"


def check_interface(
    card: ModelCard, inputs: Sequence[TensorFacts], outputs: Sequence[TensorFacts], given: Collection[str]
) -> None:
    """Raise NetworkError unless the network can be put to what the card says; ``given``: names of initializers."""
    _check_input(card, inputs, given)
    rank = _rank(card)
    if card.segmentation:
        output = _named(outputs, card.segmentation.tensor, "output")
        channels = [segment.channel for segment in card.segmentation.segments]
        labels = card.segmentation.decode == "labels"
        if len(output.shape) != rank and not (labels and len(output.shape) == rank - 1):
            raise _mismatch(output, f"{rank} axes (N, channels, {rank - 2} spatial)")
        if len(output.shape) == rank:
            _check_channels(output, 1 if labels else max(channels) + 1, exactly=labels)
    for head in card.classifications:
        output = _named(outputs, head.tensor, "output")
        if len(output.shape) not in (2, rank):
            raise _mismatch(output, "2 axes (N, classes)")
        _check_channels(output, max(found.channel for found in head.classes) + 1, exactly=False)


def _rank(card: ModelCard) -> int:
    return 5 if card.network.dimensions == "3D" else 4


def _check_input(card: ModelCard, inputs: Sequence[TensorFacts], given: Collection[str]) -> None:
    source = _named(inputs, card.network.input_tensor, "input")
    further = [tensor.name for tensor in inputs if tensor.name not in given and tensor is not source]
    if further:
        raise NetworkError(
            "the network needs inputs that a card cannot give",
            expected=f"only {quoted(source.name)}",
            found=", ".join(quoted(name) for name in further[:5]),
            remedy="Export the network with one input; several series are its channels.",
        )
    if source.dtype not in INPUT_TYPES:
        raise _mismatch(source, f"numbers of type {' or '.join(INPUT_TYPES)}")
    rank = _rank(card)
    if len(source.shape) != rank:
        raise _mismatch(source, f"{rank} axes for {card.network.dimensions}")
    batch, channels, *spatial = source.shape
    wanted = len(card.inputs) * (2 * card.network.context_slices + 1)
    if channels not in (None, wanted):
        raise _mismatch(source, f"{wanted} channels ({len(card.inputs)} inputs, context {card.network.context_slices})")
    if batch is not None and (batch, card.network.batch_size) != (1, 1):
        raise _mismatch(source, "a free batch axis, or one of 1 and network.batch_size 1")
    for size, expected in zip(spatial, expected_sizes(card), strict=True):
        if size is not None and expected is not None and size != expected:
            raise _mismatch(source, f"spatial axes of {' x '.join(map(str, expected_sizes(card)))}")


def expected_sizes(card: ModelCard) -> Sequence[int | None]:
    """The spatial sizes that the network will be given, None where that depends on the series."""
    network = card.network
    if network.inference.mode == "patches":
        return network.inference.size
    sizes: list[int | None] = [None, None, None]
    for step in card.preprocessing:
        if step.step == "resize":
            sizes = list(step.shape)
        elif step.step in (
            "orient",
            "resample_spacing",
            "crop_foreground",
            "crop_nonzero",
            "pad_to_multiple",
            "pad_to_size",
        ):
            sizes = [None, None, None]
    if network.dimensions != "3D":
        del sizes[network.slice_axis]
    return sizes


def _named(tensors: Sequence[TensorFacts], name: str, role: str) -> TensorFacts:
    for tensor in tensors:
        if tensor.name == name:
            return tensor
    raise NetworkError(
        f"the network has no {role} called {name!r}",
        expected=f"{name!r}, as the card says",
        found=", ".join(quoted(tensor.name) for tensor in tensors[:10]) or "none",
        remedy=REPACK,
    )


def _check_channels(output: TensorFacts, least: int, *, exactly: bool) -> None:
    channels = output.shape[1]
    if channels is not None and (channels < least or (exactly and channels != least)):
        raise _mismatch(output, f"{'' if exactly else 'at least '}{least} channels")


def _mismatch(tensor: TensorFacts, expected: str) -> NetworkError:
    return NetworkError(
        f"the network's {quoted(tensor.name)} is not what the card says",
        expected=expected,
        found=f"{tensor}",
        remedy=REPACK,
    )
