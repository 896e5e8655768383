"""The valid model that is spoilt: small, and the same bytes each time where nothing is signed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from unittest import mock

import numpy as np

from iodeep.card import ModelCard, card_of_document, read_card
from iodeep.model_object import PackedModel, SelfTest, pack_model
from iodeep.terms import deterministic_uid
from iodeep.volume import Volume
from tests.networks import tiny_segmenter

ROOT = Path(__file__).resolve().parents[2]
MOMENT = datetime(2026, 1, 31, 12, tzinfo=UTC)
NETWORK = "tiny.onnx"


def small_card() -> ModelCard:
    """The sample card, made for a network of a few numbers."""
    document = read_card(ROOT / "sample_data" / "brain" / "card.yaml").model_dump(mode="json")
    document["version"] = "1.0.2"
    document["inputs"][0]["eligibility"] = {}
    document["preprocessing"] = [{"step": "orient", "axes": "RAS"}, {"step": "scale_range"}]
    document["network"] |= {"files": [NETWORK], "input_tensor": "input"}
    document["segmentation"] |= {"tensor": "output"}
    return card_of_document(document, "here")


def cube() -> Volume:
    """A bright cube in noise."""
    voxels = np.random.default_rng(3).integers(0, 50, (4, 6, 5), dtype=np.int16)
    voxels[1:3, 2:5, 1:4] += 500
    return Volume(voxels, np.diag([3.0, 0.5, 0.5, 1.0]))


def self_test() -> SelfTest:
    """The cube, found."""
    labels = np.zeros((4, 6, 5), np.uint8)
    labels[1:3, 2:5, 1:4] = 1
    return SelfTest(inputs={"image": cube()}, labels=labels)


def packed(folder: Path, *, part_size: int = 300, card: ModelCard | None = None) -> PackedModel:
    """The model below ``folder``, in a few parts."""
    folder.mkdir(parents=True, exist_ok=True)
    network = tiny_segmenter(folder / NETWORK)
    with fixed_uids():
        return pack_model(
            card or small_card(), {NETWORK: network}, folder / "packed",
            part_size=part_size, self_test=self_test(), packed_at=MOMENT,
        )  # fmt: skip


@contextmanager
def fixed_uids() -> Iterator[None]:
    """UIDs that are the same each time: an input is made again from its number."""
    uids = (deterministic_uid("hostile", str(number)) for number in count())
    with mock.patch("iodeep.model_object.pack._fresh_uid", side_effect=uids):
        yield
