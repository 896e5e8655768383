"""What the demo works on: the sample series, the real network, and placeholders that make an archive look like one.

Objects are packed once into the demo's folder and used again, so that a second run stores nothing new anywhere.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, helper

import iodeep
from iodeep.card import Dimensions, ModelCard, read_card
from iodeep.errors import InputError, ObjectError
from iodeep.inference import Engine
from iodeep.model_object import read_descriptor
from iodeep.ports import ProgressSink, no_progress
from iodeep.service.library import local_model
from iodeep.service.packing import pack_network

_OPSET = 17


@dataclass(frozen=True)
class SampleData:
    """Where the demo's input lies: a checkout's ``sample_data``."""

    root: Path

    @property
    def series(self) -> Path:
        """20 slices of a real MR series of the head."""
        return self.root / "mr-head"

    @property
    def brain(self) -> Path:
        """The real network and its card."""
        return self.root / "brain"

    @property
    def other_cards(self) -> list[Path]:
        """Cards of the placeholders."""
        return sorted((self.root / "others").glob("*.yaml"))


def sample_data(root: Path | None) -> SampleData:
    """The sample data in ``root``, or in the checkout that this package runs from."""
    found = root or Path(iodeep.__file__).resolve().parents[1] / "sample_data"
    if not (found / "brain" / "card.yaml").is_file():
        raise InputError(
            f"the sample data is not in {found}",
            remedy="Run the demo from a checkout of the project, or name its sample_data folder with --data.",
        )
    return SampleData(found)


def packed_models(
    data: SampleData, folder: Path, engine: Engine, *, progress: ProgressSink = no_progress
) -> Iterator[tuple[ModelCard, Path]]:
    """Each model's card and the folder of its object, the real one first."""
    brain = read_card(data.brain / "card.yaml")
    yield brain, _packed(brain, data.brain, folder / "brain", engine, data.series, progress)
    for path in data.other_cards:
        card = read_card(path)
        network = folder / "placeholders" / path.stem
        write_placeholder(card, network)
        yield card, _packed(card, network, folder / path.stem, engine, None, progress)


def _packed(
    card: ModelCard, network: Path, out: Path, engine: Engine, series: Path | None, progress: ProgressSink
) -> Path:
    if not _holds(out, card):
        shutil.rmtree(out, ignore_errors=True)
        pack_network(network, card, out, engine, self_test_series=series, progress=progress)
    return out


def _holds(folder: Path, card: ModelCard) -> bool:
    """Whether an earlier run left this model's object in ``folder``."""
    if not folder.is_dir():
        return False
    try:
        return read_descriptor(local_model(folder).descriptor_path).card == card
    except (ObjectError, InputError):
        return False


def write_placeholder(card: ModelCard, folder: Path) -> None:
    """A network that marks what is bright: the mean of its channels, scaled, through a sigmoid. Trained on nothing."""
    spatial = ["d", "h", "w"] if card.network.dimensions is Dimensions.THREE else ["h", "w"]
    channels = len(card.inputs)
    kernel = helper.make_tensor(
        "kernel", TensorProto.FLOAT, [1, channels, *([1] * len(spatial))], [4.0 / channels] * channels
    )
    bias = helper.make_tensor("bias", TensorProto.FLOAT, [1], [-2.0])
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "kernel", "bias"], ["probabilities"])],
        "placeholder",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", channels, *spatial])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 1, *spatial])],
        [kernel, bias],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(folder / card.network.files[0]))
