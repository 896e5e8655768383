"""Small models for tests: several networks, external data, a trainable form; payloads of any length."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread

from iodeep.card import ModelCard, read_card
from iodeep.model_object import PackedModel, SelfTest, pack_model
from iodeep.volume import Volume

ROOT = Path(__file__).resolve().parents[3]
BRAIN_CARD = ROOT / "sample_data" / "brain" / "card.yaml"

ENSEMBLE = {
    "fold-0.onnx": 3001,
    "fold-1.onnx": 1000,
    "fold-0.onnx.data": 2048,
    "trainable.safetensors": 777,
    "trainable.json": 1,
}


def ensemble_card() -> ModelCard:
    """The brain card with two networks, external data and a trainable form."""
    card = read_card(BRAIN_CARD)
    network = card.network.model_copy(
        update={
            "files": ("fold-0.onnx", "fold-1.onnx"),
            "external_data": ("fold-0.onnx.data",),
            "trainable": ("trainable.safetensors", "trainable.json"),
        }
    )
    return card.model_copy(update={"network": network})


def write_payloads(folder: Path, lengths: Mapping[str, int], seed: int = 1) -> dict[str, Path]:
    """Files of random bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    source = random.Random(seed)
    paths = {name: folder / name for name in lengths}
    for name, path in paths.items():
        path.write_bytes(source.randbytes(lengths[name]))
    return paths


def pack_ensemble(
    folder: Path, *, seed: int = 1, self_test: SelfTest | None = None, part_size: int = 1000
) -> PackedModel:
    """The ensemble, packed below ``folder``: ten parts."""
    files = write_payloads(folder / "files", ENSEMBLE, seed)
    return pack_model(ensemble_card(), files, folder / "packed", part_size=part_size, self_test=self_test)


def brain_self_test() -> SelfTest:
    """A cube in noise."""
    voxels = np.random.default_rng(3).integers(0, 50, (4, 6, 5), dtype=np.int16)
    labels = np.zeros(voxels.shape, np.uint8)
    labels[1:3, 2:5, 1:4] = 1
    voxels[labels > 0] += 500
    affine = np.diag([3.0, 0.5, 0.5, 1.0])
    return SelfTest(inputs={"image": Volume(voxels, affine)}, labels=labels)


def edit(path: Path, change: Callable[[Dataset], object]) -> None:
    """Alter a DICOM file as an archive or someone else could."""
    dataset = dcmread(path)
    change(dataset)
    dataset.save_as(path)


def flip_byte(path: Path, offset: int) -> None:
    """Alter one bit pattern in a file."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 0xFF
    path.write_bytes(content)
