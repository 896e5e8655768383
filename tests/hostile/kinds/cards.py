"""Cards: YAML and JSON documents spoilt; what is taken is written, shown, and run on a small volume within its limits."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from iodeep.card import card_document, card_of_document, read_card
from iodeep.errors import InputError
from iodeep.inference import Engine
from iodeep.model_object import pack_model
from iodeep.settings import RunSettings
from tests.hostile.canary import Canary
from tests.hostile.judging import Mutant, WrongError
from tests.hostile.kinds.folders import emptied, written
from tests.hostile.models import MOMENT, NETWORK, cube, fixed_uids, packed, small_card
from tests.hostile.mutating import octets
from tests.hostile.mutating.documents import changed, deep
from tests.hostile.mutating.texts import hostile

LIMITS = RunSettings(threads=1, memory_mib=1024, seconds=5)
STEPS: tuple[dict[str, Any], ...] = (
    {"step": "orient", "axes": "LPS"}, {"step": "resample_spacing", "mm": [1.0, 1.0, 1.0]},
    {"step": "resize", "shape": [8, 8, 8]}, {"step": "clip_percentiles", "lower": 0.5, "upper": 99.5},
    {"step": "scale_range"}, {"step": "z_score"}, {"step": "scale_shift", "scale": 0.2, "shift": 0.4},
    {"step": "crop_foreground", "margin": 1}, {"step": "pad_to_multiple", "multiple": 8}, {"step": "crop_nonzero"},
    {"step": "window", "center": 40.0, "width": 400.0}, {"step": "clip", "low": 0.0, "high": 9.0},
    {"step": "pad_to_size", "shape": [9, 9, 9]},
)  # fmt: skip
POST: tuple[dict[str, Any], ...] = (
    {"step": "largest_component"}, {"step": "fill_holes"}, {"step": "minimum_volume", "ml": 0.1},
)  # fmt: skip


@dataclass
class Cards:
    """The small model's card, changed."""

    card: dict[str, Any]
    network: Path
    engine: Engine
    canary: Canary
    folder: Path
    memory_mib: int = 300

    @property
    def own_files(self) -> tuple[Path, ...]:
        """Nothing stays."""
        return (self.folder / "tmp", self.folder / "out")

    def mutant(self, random: Random) -> Mutant:
        """A card as text."""
        how = random.random()
        if how < 0.08:
            return {"card.yaml": random.choice(_YAML)(random)}
        document = {**self.card}
        if how < 0.5:
            document["preprocessing"] = random.sample(STEPS, random.randint(1, 4))
            document["postprocessing"] = random.sample(POST, random.randint(0, 2))
        text = json.dumps(changed(document, random, self.canary)).encode("utf-8", "surrogatepass")
        return {"card.yaml": octets.spoilt(text, random) if how > 0.93 else text}

    def receive(self, mutant: Mutant) -> bool:
        """Read, written and read again, packed, run."""
        into = written(self.folder / "in", mutant)
        card = read_card(into / "card.yaml")
        if card_of_document(card_document(card), "again") != card:
            raise WrongError("the card is another one when it is read again")
        if card.network.files == (NETWORK,) and not card.network.external_data and not card.network.trainable:
            with fixed_uids():
                out = self.folder / "out" / "packed"
                pack_model(card, {NETWORK: self.network}, out, packed_at=MOMENT)
            emptied(self.folder / "out")
        if len(card.inputs) != 1:
            raise InputError("the bench has one volume, and the card wants more")
        files = dict.fromkeys(card.network.files, self.network)
        self.engine.run(card, files, {card.inputs[0].name: cube()})
        return True

    def close(self) -> None:
        """End the engine's process."""
        self.engine.stop()


def target(folder: Path, canary: Canary) -> Cards:
    """The small card and network."""
    packed(folder / "base")
    emptied(folder / "out")
    found = Cards(
        json.loads(json.dumps(card_document(small_card()))), folder / "base" / NETWORK, Engine(LIMITS), canary, folder
    )
    assert found.receive({"card.yaml": json.dumps(found.card).encode()})
    return found


def _anchors(random: Random) -> bytes:
    """Each anchor twice the one before: a gigabyte out of a few lines."""
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, random.choice((8, 24, 40)))]
    return "\n".join(lines).encode()


_YAML: tuple[Callable[[Random], bytes], ...] = (
    _anchors,
    lambda random: deep(random.choice((50, 900, 100_000)), lists=random.random() < 0.5),
    lambda random: b"name: !!python/object/apply:os.system ['id']\n",
    lambda random: b"? " * random.choice((10, 3000)) + b"a",
    lambda random: b"name: " + hostile(random).encode("utf-8", "surrogatepass"),
    lambda random: b"- " * random.choice((10, 3000)) + b"a",
    lambda random: random.randbytes(200),
    lambda random: b"version: 1:2:3:4:5\nreleased: " + b"1:" * 5000 + b"1",
    lambda random: b"&a {a: *a}",
    lambda random: b"name: 0x" + b"f" * random.choice((10, 100_000)),
    lambda random: b"name: " + b"9" * random.choice((5000, 500_000)),
)
