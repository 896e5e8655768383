"""Cards: text that harms who reads it, numbers without measure, words that are other words."""

from __future__ import annotations

from typing import Any

from iodeep.card import read_card
from iodeep.errors import CardError, InferenceError, InputError
from iodeep.model_object import read_descriptor
from iodeep.service.exchange.card_page import card_page
from tests.hostile.models import NETWORK, packed
from tests.hostile.zoo.ground import Ground
from tests.hostile.zoo.specimen import Cage
from tests.networks import tiny_segmenter

CAGE = Cage()


def _text(name: str, attacks: str, says: str, text: str) -> None:
    @CAGE.keep(f"card-{name}", attacks, CardError, says)
    def attack(ground: Ground) -> None:
        path = ground.place / "card.yaml"
        path.write_text(text.format(marker=ground.canary.marker), encoding="utf-8")
        read_card(path)


ANCHORS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
_text("bomb", "memory: a few lines of YAML that stand for gigabytes", "an alias", ANCHORS)
_text("circle", "stack: YAML that holds itself", "an alias", "&a {{name: *a}}")
_text("deep", "stack: YAML nested 100,000 deep", "nested too deeply", "[" * 100_000)
_text(
    "python-object",
    "execution: YAML that names a Python call",
    "not YAML",
    "name: !!python/object/apply:os.system ['touch {marker}']",
)
_text("long-number", "time: a number of half a million digits", "digits", "name: " + "9" * 500_000)
_text(
    "long-hexadecimal",
    "time: a hexadecimal number of 100,000 digits",
    "holds what no card does",
    "name: 0x" + "f" * 100_000,
)
_text(
    "sexagesimal",
    "numbers: 1:1:1 is a number in YAML",
    "holds what no card does",
    "name: x\nversion: " + "1:" * 5000 + "1",
)


def _step(name: str, expected: Any, says: str, **step: Any) -> None:
    @CAGE.keep(f"card-{name}", "memory and numbers: a preprocessing step without measure", expected, says)
    def attack(ground: Ground) -> None:
        card = ground.card(preprocessing=[step, {"step": "scale_range"}])
        ground.run(tiny_segmenter(ground.place / NETWORK), card)


_step(
    "resampled-to-nothing",
    (InputError),
    "memory|voxels|large|grid",
    step="resample_spacing",
    mm=[1e-300, 1e-300, 1e-300],
)
_step("resampled-finely", (InputError), "memory|voxels|large|grid", step="resample_spacing", mm=[1e-4, 1e-4, 1e-4])
_step("resized-beyond-memory", InputError, "would be too large", step="resize", shape=[4096, 4096, 4096])
_step(
    "padded-beyond-memory", InferenceError, "more memory than its limit", step="pad_to_size", shape=[4096, 4096, 4096]
)
_step("scaled-to-infinity", InferenceError, "NaN or infinity|finite", step="scale_shift", scale=1e308, shift=1e308)
_step("percentiles-crossed", CardError, "must be less", step="clip_percentiles", lower=90, upper=10)
_step("not-a-number", CardError, "finite number", step="scale_shift", scale=float("nan"))


@CAGE.keep("card-script", "people: a card with a script in its words; the page shows it as text")
def _script(ground: Ground) -> None:
    purpose = "<script>fetch('//evil')</script><img src=x onerror=alert(1)>"
    intended = {"purpose": purpose, "limits": ['"><svg onload=alert(1)>']}
    model = packed(ground.place / "model", card=ground.card(name="<b>Brain</b>", intended_use=intended))
    page = card_page(read_descriptor(model.descriptor))
    assert "<script" not in page
    assert "<img" not in page
    assert "<svg onload" not in page
    assert "<b>Brain" not in page
