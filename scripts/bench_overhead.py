"""What `iodeep run` costs around the network: the whole command's time minus the time inside the network, as a share.

``python scripts/bench_overhead.py [--case head|ct] [--runs N]``. Each run is the command as a user types it, in a process of
its own with an empty cache, on a series that the archive (the embedded one) has under a UID of its own: retrieve the
series, select, fetch and verify the model, run, build, store, prove stored. ``head``: the sample series and network. ``ct``: a
synthetic CT of 200 x 512 x 512 and a UNet with random weights in patches: speed, not accuracy.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pydicom
from onnx import numpy_helper
from pydicom.dataset import FileDataset

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from iodeep.card import ModelCard, card_of_document, read_card
from iodeep.inference import Engine
from iodeep.ports import Archive
from iodeep.service.packing import pack_network
from iodeep.settings import RunSettings
from iodeep.terms import deterministic_uid
from pacs_bridge import open_archive
from pacs_bridge.embedded import embedded_archive
from tests.networks import small_unet
from tests.synthetic import write_series

SAMPLES = ROOT / "sample_data"


def ct_card() -> ModelCard:
    """The sample card of the liver, made to resample to 1.5 mm and to run in patches of 96 voxels a side."""
    card = read_card(SAMPLES / "others" / "ct-liver.yaml")
    document = card.model_dump(mode="json")
    document["version"] = str(card.version)
    document["preprocessing"] = [
        {"step": "orient", "axes": "RAS"},
        {"step": "resample_spacing", "mm": [1.5, 1.5, 1.5]},
        {"step": "window", "center": 50, "width": 350},
    ]
    document["inputs"][0]["phases"] = ["ANY"]
    document["network"] |= {
        "files": ["unet.onnx"],
        "input_tensor": "input",
        "inference": {"mode": "patches", "size": [96, 96, 96], "overlap": 0.25},
    }
    document["segmentation"] |= {"tensor": "answer", "activation": "none", "decode": "argmax"}
    document["segmentation"]["segments"][0]["channel"] = 1
    document["postprocessing"] = [{"step": "largest_component"}]
    return card_of_document(document, "benchmark")


def with_an_answer(path: Path) -> None:
    """Let the UNet do all of its work, but answer what is bright: random weights alone would give salt and pepper."""
    network = onnx.load(path)
    spread = np.array([-1.0, 1.0], np.float32).reshape(1, 2, 1, 1, 1)
    constants = {"tiny": np.float32(1e-6), "bright": np.float32(0.3), "spread": spread}
    network.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items())
    for operator, inputs, output in (
        ("Mul", ["output", "tiny"], "hardly"),
        ("Sub", ["input", "bright"], "above"),
        ("Mul", ["above", "spread"], "score"),
        ("Add", ["score", "hardly"], "answer"),
    ):
        network.graph.node.append(onnx.helper.make_node(operator, inputs, [output]))
    network.graph.output[0].name = "answer"
    onnx.save(network, path)


def head_series(folder: Path, run: int) -> list[Path]:
    """The sample series under a UID of its own for each run."""
    folder.mkdir(parents=True)
    for source in sorted((SAMPLES / "mr-head").glob("*.dcm")):
        image = pydicom.dcmread(source)
        for stray in [element.tag for element in image if element.tag.group == 0]:
            del image[stray]
        image.SeriesInstanceUID = deterministic_uid("bench", str(run))
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = deterministic_uid(source.name, str(run))
        image.save_as(folder / source.name, enforce_file_format=True)
    return sorted(folder.iterdir())


def ct_series(folder: Path, run: int) -> list[Path]:
    """A body-sized ellipsoid with noise, as CT of the abdomen."""
    random = np.random.default_rng(run)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, size, dtype=np.float32) for size in (200, 512, 512)), indexing="ij")
    voxels = np.where(z**2 / 4 + y**2 * 2 + x**2 < 0.8, 1064, 24).astype(np.int16)
    voxels += random.integers(-20, 20, voxels.shape, dtype=np.int16)
    words = {"BodyPartExamined": "ABDOMEN", "StudyDescription": "CT ABDOMEN", "SeriesDescription": "LIVER"}
    return write_series(
        folder, voxels, spacing=(2.0, 0.8, 0.8), name=f"bench{run}", study=f"bench{run}", overrides=words
    )


def run_once(url: str, paths: list[Path], archive: Archive) -> dict[str, object]:
    """Send a series, then time the command on it."""
    archive.store(paths)
    first: FileDataset = pydicom.dcmread(paths[0], stop_before_pixels=True)
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "iodeep", "run", str(first.SeriesInstanceUID), "--pacs", url, "--json"]
        begun = time.perf_counter()
        ended = subprocess.run(
            command, env={**os.environ, "IODEEP_CACHE": cache}, capture_output=True, text=True, check=False
        )
        total = time.perf_counter() - begun
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)}\n{ended.stdout}{ended.stderr}")
    report = json.loads(ended.stdout)
    stages = {**report["seconds"], **{f"in the engine: {k}": v for k, v in report["network_seconds"].items()}}
    return {"total": total, "network": report["network_seconds"]["network"], "stages": stages}


def cases(names: list[str], folder: Path, engine: Engine) -> Iterator[tuple[str, list[Path]]]:
    """Each case's name and the files of its packed model."""
    if "head" in names:
        card = read_card(SAMPLES / "brain" / "card.yaml")
        packed = pack_network(SAMPLES / "brain", card, folder / "brain", engine, self_test_series=SAMPLES / "mr-head")
        yield "head", list(packed.model.files)
    if "ct" in names:
        (folder / "unet").mkdir()
        with_an_answer(small_unet(folder / "unet" / "unet.onnx", base=16))
        packed = pack_network(folder / "unet", ct_card(), folder / "ct", engine)
        yield "ct", list(packed.model.files)


def main() -> None:
    """The case asked for, or both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=("head", "ct"), action="append")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    make = {"head": head_series, "ct": ct_series}
    with tempfile.TemporaryDirectory() as name, embedded_archive(Path(name) / "archive") as settings:
        folder = Path(name)
        url = f"dicom://{settings.aet}@{settings.host}:{settings.port}"
        with Engine(RunSettings()) as engine:
            packed = list(cases(arguments.case or ["head", "ct"], folder, engine))
        with open_archive(settings) as archive:
            for case, files in packed:
                archive.store(files)
                for run in range(arguments.runs):
                    paths = make[case](folder / f"{case}{run}", run)
                    seen = run_once(url, paths, archive)
                    around = float(str(seen["total"])) - float(str(seen["network"]))
                    print(
                        f"{case}: total {seen['total']:.2f} s, network {seen['network']:.2f} s, "
                        f"around it {around:.2f} s = {around / float(str(seen['total'])):.1%}"
                    )
                    print(f"    {seen['stages']}", flush=True)


if __name__ == "__main__":
    main()
