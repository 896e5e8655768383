"""What specimens are let loose on: a small model, a series, a network, an engine, and a canary to tempt them with."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from iodeep.card import ModelCard, card_document, card_of_document
from iodeep.inference import Engine, check_network
from iodeep.model_object import PackedModel
from iodeep.prediction import Prediction
from iodeep.settings import RunSettings
from iodeep.trust import verify_object
from iodeep.volume import Volume, find_series, open_series
from tests.hostile.canary import Canary
from tests.hostile.kinds.folders import emptied
from tests.hostile.models import NETWORK, cube, packed, small_card
from tests.hostile.serving import Service
from tests.synthetic import write_series

LIMITS = RunSettings(threads=1, memory_mib=1024, seconds=8)


class Payload:
    """A pickle that makes the canary's marker where it is loaded."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self._marker}",)


@dataclass
class Ground:
    """One for all specimens; each works in a folder that is new."""

    folder: Path
    canary: Canary
    engine: Engine
    service: Service | None = None
    """Where the cage needs one."""

    @property
    def place(self) -> Path:
        """Where a specimen may write."""
        return self.folder / "place"

    @property
    def out(self) -> Path:
        """Where nothing may be left."""
        return self.folder / "out"

    def clean(self) -> None:
        """For the next one."""
        emptied(self.place)
        emptied(self.out)

    @cached_property
    def model(self) -> PackedModel:
        """In two parts."""
        return packed(self.folder / "model")

    @property
    def pickle(self) -> bytes:
        """A program."""
        return pickle.dumps(Payload(self.canary.marker))

    def card(self, **changes: Any) -> ModelCard:
        """The small card with other fields."""
        return card_of_document({**card_document(small_card()), **changes}, "of the zoo")

    def model_copy(self) -> Path:
        """The model's files, to be altered."""
        return Path(shutil.copytree(self.model.folder, self.place / "model"))

    def verify(self, folder: Path) -> list[str]:
        """What is wrong with the model in a folder, in sentences."""
        report = verify_object(folder / "descriptor.dcm", [folder])
        return [check.sentence for check in report.checks if not check.holds]

    def network(self, nodes: Sequence[Any], tensors: Sequence[Any] = (), **more: Any) -> Path:
        """A network from ``input`` (N, 1, three axes) to ``output`` (N, 2, three axes)."""
        source = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 1, "a", "b", "c"])
        answer = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 2, "a", "b", "c"])
        graph = helper.make_graph(list(nodes), "zoo", [source], [answer], list(tensors))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], **more)
        model.ir_version = 8
        return self.written(model)

    def written(self, model: onnx.ModelProto | bytes) -> Path:
        """The network as a file."""
        path = self.place / NETWORK
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return path

    def run(self, network: Path, card: ModelCard | None = None, volume: Volume | None = None) -> Prediction:
        """Checked, and run on the cube."""
        card = card or small_card()
        check_network(network, card)
        return self.engine.run(card, {NETWORK: network}, {"image": volume or cube()})

    def series(self, **options: Any) -> list[Path]:
        """A CT series of three slices."""
        voxels = np.arange(3 * 40 * 48, dtype=np.int16).reshape(3, 40, 48)
        return write_series(self.place / "series", voxels, **options)

    def read(self, folder: Path | None = None) -> Volume:
        """The one series in a folder."""
        (found,) = find_series(folder or self.place / "series")
        return open_series(found).read_volume()


def tensor(name: str, kind: int, dims: Sequence[int], values: Sequence[float]) -> Any:
    """A tensor with its numbers written out."""
    return helper.make_tensor(name, kind, dims, values)
