"""A network's structure is judged without its weights in memory, and nothing is judged otherwise for that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from iodeep.errors import NetworkError
from iodeep.inference import check_network
from iodeep.inference.lean_onnx import LEAVE_OUT_ABOVE, MalformedError, lean
from tests.networks import random_convolutions, small_unet
from tests.unit.inference.helpers import NETWORK, card

ROOT = Path(__file__).resolve().parents[3]


def _varint_of(value: int) -> bytes:
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*octets, value])


def test_everything_but_large_weights_is_parsed_as_it_stands(tmp_path: Path) -> None:
    content = small_unet(tmp_path / "unet.onnx", base=8).read_bytes()

    kept, left_out = lean(memoryview(content))

    whole, without = onnx.ModelProto.FromString(content), onnx.ModelProto.FromString(kept)
    lengths = {index: len(tensor.raw_data) for index, tensor in enumerate(whole.graph.initializer)}
    assert {index: len(data) for index, data in left_out.items()} == {
        index: length for index, length in lengths.items() if length > LEAVE_OUT_ABOVE
    }
    assert left_out
    for index in left_out:
        whole.graph.initializer[index].raw_data = b""
    assert without == whole
    assert len(kept) < len(content) / 10


def test_a_large_tensor_that_declares_another_size_is_found(tmp_path: Path) -> None:
    path = random_convolutions(tmp_path / NETWORK, channels=16, layers=3)
    network = onnx.load(path)
    large = max(network.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    assert len(large.raw_data) > LEAVE_OUT_ABOVE
    large.raw_data = large.raw_data + bytes(4)
    onnx.save(network, path)

    with pytest.raises(NetworkError, match="declares another size"):
        check_network(path, card())


def test_data_that_is_stored_twice_is_refused() -> None:
    tensor = numpy_helper.from_array(np.zeros(5000, np.float32), "weights")
    twice = tensor.SerializeToString() * 2
    graph = b"\x2a" + _length(twice) + twice
    model = b"\x3a" + _length(graph) + graph

    with pytest.raises(MalformedError, match="twice"):
        lean(memoryview(model))


def _length(value: bytes) -> bytes:
    size, octets = len(value), b""
    while size > 0x7F:
        octets += bytes([size & 0x7F | 0x80])
        size >>= 7
    return octets + bytes([size])


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_any_bytes_are_walked_or_refused(content: bytes) -> None:
    try:
        kept, _ = lean(memoryview(content))
    except MalformedError:
        return
    assert len(kept) <= len(content) + 40


_PEAK = """
import sys
from pathlib import Path
from iodeep.card import read_card
from iodeep.inference import check_network
import onnx
card = read_card(Path("sample_data/brain/card.yaml"))
check_network(Path("sample_data/brain/brain-extraction.onnx"), card)
high = lambda: int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1])
idle = high()
check_network(Path(sys.argv[1]), card)
print(high() - idle)
"""


@pytest.mark.slow
def test_checking_a_network_of_1_gb_takes_no_more_memory_than_its_pages(tmp_path: Path) -> None:
    """Resident pages of the map are the kernel's to take back: what is allocated stays small."""
    path = tmp_path / "large.onnx"
    network = onnx.load(ROOT / "sample_data" / "brain" / "brain-extraction.onnx")
    ballast = helper.make_tensor("ballast", TensorProto.FLOAT, [250, 1_000_000], bytes(1_000_000_000), raw=True)
    network.graph.initializer.append(ballast)
    onnx.save(network, path)

    ended = subprocess.run(
        [sys.executable, "-c", _PEAK, str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert int(ended.stdout) < 100_000  # KiB


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x3a" + _varint_of(6 << 20) + b"\x0a\x00" * (3 << 20), "a graph of more than"),  # empty nodes
        (
            b"\x3a" + _varint_of((6 << 20) + 5) + b"\x0a" + _varint_of(6 << 20) + b"\x2a\x00" * (3 << 20),
            "fields beside",
        ),
        (b"\x32" + _varint_of(65 << 20) + bytes(65 << 20), "bytes beside its weights"),  # a text
    ],
    ids=["nodes", "attributes", "text"],
)
def test_few_bytes_that_would_take_much_memory_are_not_parsed(content: bytes, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        lean(memoryview(content))
