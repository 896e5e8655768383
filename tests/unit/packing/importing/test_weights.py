"""Weights are tensors: a file that holds more is refused, and what it would have done is not done."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from iodeep.errors import InputError
from iodeep.packing.importing import SourceKind, recognise
from iodeep.packing.importing.architectures import Architecture, read_architecture
from iodeep.packing.importing.weights import fill, load_state
from tests.sources import ARCHITECTURE, Trained


class Payload:
    """What a pickle does when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def test_a_pickle_that_would_run_something_is_refused_and_not_run(tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", tmp_path / "model.pt"
    torch.save({"state_dict": {"weight": torch.zeros(1)}, "payload": Payload(marker)}, path)
    with pytest.raises(InputError, match="weights alone"):
        load_state(path)
    assert not marker.exists()
    torch.load(path, weights_only=False)  # it would have
    assert marker.exists()


def test_weights_are_found_within_a_checkpoint_and_behind_a_prefix(tmp_path: Path, weights: Trained) -> None:
    state = load_state(weights.state)
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "c.pt"
    )
    network = Architecture("UNet", ARCHITECTURE).built()
    fill(network, load_state(tmp_path / "c.pt"), "c.pt")
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("change", ["missing", "further", "shape"])
def test_weights_of_another_network_are_refused(tmp_path: Path, weights: Trained, change: str) -> None:
    state = load_state(weights.state)
    name = min(name for name in state if name.endswith("conv.weight"))
    if change == "missing":
        del state[name]
    else:
        state["odd" if change == "further" else name] = torch.zeros(1)
    with pytest.raises(InputError, match="the network that is defined"):
        fill(Architecture("UNet", ARCHITECTURE).built(), state, "weights.pt")


@pytest.mark.parametrize("content", [torch.zeros(3), {"epoch": 1}, {}, [1]])
def test_a_file_without_weights_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(InputError):
        load_state(tmp_path / "model.pt")


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"\x80\x02}.", b"nothing at all"])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: bytes) -> None:
    for name in ("model.pt", "model.safetensors"):
        (tmp_path / name).write_bytes(damage)
        with pytest.raises(InputError):
            load_state(tmp_path / name)


@pytest.mark.parametrize(
    "document",
    [
        {"architecture": "os.system", "arguments": {}},
        {"architecture": "monai.networks.nets.milesial_unet", "arguments": {}},
        {"architecture": "UNet"},
        {"architecture": "UNet", "arguments": []},
        ["UNet"],
    ],
)
def test_an_architecture_that_is_not_on_the_list_is_refused(tmp_path: Path, document: Any) -> None:
    (tmp_path / "architecture.json").write_text(json.dumps(document))
    with pytest.raises(InputError):
        read_architecture(tmp_path / "architecture.json")


def test_sources_are_told_apart_by_the_names_in_them(tmp_path: Path, weights: Trained) -> None:
    assert recognise(weights.script) is SourceKind.TORCHSCRIPT
    assert recognise(weights.state) is SourceKind.STATE_DICT
    (tmp_path / "net.onnx").touch()
    assert recognise(tmp_path / "net.onnx") is SourceKind.ONNX
    with zipfile.ZipFile(tmp_path / "other.bin", "w") as archive:
        archive.writestr("odd", b"")
    with pytest.raises(InputError, match="no network that can be imported"):
        recognise(tmp_path / "other.bin")
