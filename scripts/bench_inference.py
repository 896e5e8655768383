"""What inference costs around the network: total time minus time inside the network, beside plain ONNX Runtime.

``scripts/bench inference [--case brain|ct] [--runs N]``. The CT is synthetic (200 x 512 x 512) and its network
a UNet with random weights: speed, not accuracy. Runs through IODeep and direct runs of the same network alternate.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from iodeep.card import ModelCard, card_of_document, read_card
from iodeep.inference import Engine
from iodeep.inference.windows import windows_of
from iodeep.settings import RunSettings
from iodeep.volume import Volume
from tests.networks import small_unet

SAMPLES = Path(__file__).resolve().parent.parent / "sample_data"


@dataclass(frozen=True)
class Case:
    """A card with its network and a volume, and the tensor that a direct run is given how often."""

    card: ModelCard
    network: Path
    volume: Volume
    tensor: np.ndarray[Any, Any]
    calls: int


def brain() -> Case:
    """The sample network on a volume of the sample series' size."""
    card = read_card(SAMPLES / "brain" / "card.yaml")
    voxels = np.random.default_rng(0).integers(0, 1000, (20, 256, 256)).astype(np.int16)
    affine = np.diag([6.5, 0.9, 0.9, 1.0])[[2, 1, 0, 3]]
    network = SAMPLES / "brain" / "brain-extraction.onnx"
    return Case(card, network, Volume(voxels, affine), np.zeros((1, 1, 128, 128, 128), np.float32), 1)


def phantom() -> np.ndarray[Any, Any]:
    """A body with an organ in it, in HU with noise: int16 (200, 512, 512)."""
    z, y, x = np.ogrid[:200, :512, :512]
    body = ((y - 256) / 200) ** 2 + ((x - 256) / 240) ** 2 < 1
    organ = ((z - 100) / 60) ** 2 + ((y - 230) / 90) ** 2 + ((x - 200) / 100) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 5, (200, 512, 512))
    return (np.where(organ, 60, np.where(body, 20, -1000)) + noise).astype(np.int16)


def ct(folder: Path) -> Case:
    """A thorax-sized CT, windowed and resampled to 1.5 mm, seen in patches of 96 voxels a side."""
    network = small_unet(folder / "unet.onnx", base=12)
    document = {
        **read_card(SAMPLES / "others" / "ct-liver.yaml").model_dump(mode="json"),
        "version": "1.0.0",
        "preprocessing": [
            {"step": "orient", "axes": "RAS"},
            {"step": "resample_spacing", "mm": [1.5, 1.5, 1.5]},
            {"step": "window", "center": 50, "width": 350},
        ],
        "postprocessing": [{"step": "largest_component"}],
    }
    document["network"] |= {
        "files": ["unet.onnx"],
        "input_tensor": "input",
        "inference": {"mode": "patches", "size": [96, 96, 96], "overlap": 0.25},
    }
    document["segmentation"] |= {"tensor": "output", "activation": "none", "decode": "argmax"}
    document["segmentation"]["segments"][0]["channel"] = 1
    card = card_of_document(document, "benchmark")
    voxels = phantom()
    affine = np.diag([2.0, 0.8, 0.8, 1.0])[[2, 1, 0, 3]]
    calls = windows_of(card.network, (273, 273, 267)).count
    return Case(card, network, Volume(voxels, affine), np.zeros((1, 1, 96, 96, 96), np.float32), calls)


def cpu_seconds() -> float:
    """Of this process and of those that it has ended."""
    own, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime


def direct(session: Any, case: Case) -> tuple[float, float]:
    """Wall-clock and CPU seconds of the network alone."""
    begun, cpu = time.perf_counter(), cpu_seconds()
    for _ in range(case.calls):
        session.run(None, {case.card.network.input_tensor: case.tensor})
    return time.perf_counter() - begun, cpu_seconds() - cpu


def measure(case: Case, runs: int) -> None:
    """Two lines a run: by the clock, and in CPU seconds, which a busy machine disturbs less."""
    session = onnxruntime.InferenceSession(str(case.network))
    files = {case.card.network.files[0]: case.network}
    for _ in range(runs):
        alone, alone_cpu = direct(session, case)
        begun, cpu = time.perf_counter(), cpu_seconds()
        with Engine(RunSettings()) as engine:
            prediction = engine.run(case.card, files, {case.card.inputs[0].name: case.volume})
        total, total_cpu = time.perf_counter() - begun, cpu_seconds() - cpu
        network = prediction.seconds["network"]
        stages = ", ".join(f"{stage} {seconds:.3f}" for stage, seconds in prediction.seconds.items())
        around = total - network
        print(
            f"clock: total {total:.2f} s, network {network:.2f} s, around it {around:.2f} s = {around / total:.1%} ({stages})"
        )
        around = total_cpu - alone_cpu
        print(
            f"CPU: total {total_cpu:.2f} s, direct {alone_cpu:.2f} s, difference {around:.2f} s = {around / total_cpu:.1%}"
        )
        print(f"  direct by the clock {alone:.2f} s for {case.calls} calls; {prediction.engine}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory of the process {peak:.0f} MiB")


def main() -> None:
    """The case asked for, or both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=("brain", "ct"), action="append")
    parser.add_argument("--runs", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.case or ["brain", "ct"]:
            print(f"== {name}")
            measure(brain() if name == "brain" else ct(Path(folder)), arguments.runs)


if __name__ == "__main__":
    main()
