"""ONNX files: the protobuf's fields and bytes spoilt; what the check takes is run on a small volume within its limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

from iodeep.card import ModelCard, card_of_document
from iodeep.inference import Engine, check_network
from iodeep.settings import RunSettings
from tests.hostile.canary import Canary
from tests.hostile.judging import Mutant
from tests.hostile.kinds.folders import emptied, written
from tests.hostile.models import cube, small_card
from tests.hostile.mutating.onnx_model import spoilt
from tests.networks import random_convolutions, tiny_segmenter

LIMITS = RunSettings(threads=1, memory_mib=1024, seconds=5)
NETWORK, DATA = "tiny.onnx", "weights.bin"


@dataclass
class Networks:
    """A network and its external data."""

    bases: tuple[Mutant, ...]
    card: ModelCard
    engine: Engine
    canary: Canary
    folder: Path
    memory_mib: int = 300

    @property
    def own_files(self) -> tuple[Path, ...]:
        """Nothing stays."""
        return (self.folder / "tmp", self.folder / "out")

    def mutant(self, random: Random) -> Mutant:
        """One of the networks, changed."""
        base = random.choice(self.bases)
        return {**base, NETWORK: spoilt(base[NETWORK], random, self.canary)}

    def receive(self, mutant: Mutant) -> bool:
        """Judged, and run where it is taken: a crash or a limit of the process that runs it is one failed run."""
        into = written(self.folder / "in", mutant)
        check_network(into / NETWORK, self.card)
        prediction = self.engine.run(self.card, {NETWORK: into / NETWORK}, {"image": cube()})
        assert prediction.segmentation is not None
        return True

    def close(self) -> None:
        """End the engine's process."""
        self.engine.stop()


def target(folder: Path, canary: Canary) -> Networks:
    """A network with its weights inside, and one with weights beside it."""
    base = emptied(folder / "base")
    emptied(folder / "out")
    document = small_card().model_dump(mode="json")
    document["version"] = "1.0.2"
    document["network"]["external_data"] = [DATA]
    card = card_of_document(document, "here")
    inside = {NETWORK: tiny_segmenter(base / NETWORK).read_bytes(), DATA: bytes(64)}
    layers = {NETWORK: random_convolutions(base / NETWORK, channels=4).read_bytes(), DATA: bytes(64)}
    beside = _beside(base)
    found = Networks((inside, layers, beside), card, Engine(LIMITS), canary, folder)
    for each in found.bases:
        assert found.receive(each)
    return found


def _beside(folder: Path) -> Mutant:
    import onnx

    model = onnx.load(random_convolutions(folder / NETWORK, channels=4))
    onnx.save_model(
        model, folder / NETWORK, save_as_external_data=True, location=DATA, size_threshold=0, convert_attribute=False
    )
    return {NETWORK: (folder / NETWORK).read_bytes(), DATA: (folder / DATA).read_bytes()}
