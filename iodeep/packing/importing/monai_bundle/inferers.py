"""The inferer: the whole image in one call, or a sliding window."""

from __future__ import annotations

from typing import Any

from iodeep.errors import InputError
from iodeep.packing.importing.monai_bundle.arguments import Arguments
from iodeep.packing.importing.monai_bundle.configuration import Component

MONAI_FLOOR = 1e-3
"""``monai.data.utils.compute_importance_map`` raises the Gaussian's weights to at least that."""


def inference_of(inferer: Component) -> dict[str, Any]:
    """The card's ``network.inference`` and ``network.batch_size``."""
    arguments = Arguments(inferer)
    if inferer.name == "SimpleInferer":
        arguments.done()
        return {"inference": {"mode": "whole"}, "batch_size": 1}
    if inferer.name != "SlidingWindowInferer":
        raise InputError(
            f"the inferer {inferer.target} at {inferer.where} is none that a card can say",
            expected="SimpleInferer or SlidingWindowInferer",
        )
    arguments.only(sigma_scale=0.125, padding_mode="constant", cval=0.0, with_coord=False)
    for name in ("sw_device", "progress", "cache_roi_weight_map", "cpu_thresh", "buffer_steps", "buffer_dim"):
        arguments.take(name)
    size = [int(each) for each in arguments.numbers("roi_size", 3)]
    if min(size) < 1:
        raise arguments.refused("roi_size", size, "voxels of a window along every axis")
    gaussian = arguments.one_of("mode", ("gaussian", "constant"), "constant") == "gaussian"
    found = {
        "mode": "patches",
        "size": size,
        "overlap": arguments.number("overlap", 0.25),
        "placement": "stride",
        "blending": "gaussian" if gaussian else "constant",
        "least_weight": MONAI_FLOOR if gaussian else 0.0,
    }
    batch = int(arguments.number("sw_batch_size", 1))
    arguments.done()
    return {"inference": found, "batch_size": batch}
