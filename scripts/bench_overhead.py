"""What `iodeep run` costs around the network: the whole command's time minus the time inside the network, as a share.

``scripts/bench overhead [--case head|ct] [--subject archive|folder] [--runs N] [--base N]``. Each run is the
command as a user types it, in a process of its own with an empty cache, on a series that the archive (the embedded one) has
under a UID of its own: retrieve the series, select, fetch and verify the model, run, build, store, prove stored. With
``--subject folder`` the series is read from its local folder: what is left is ours alone, without the archive's pace.
``head``: the sample series and network. ``ct``: a synthetic CT of 200 x 512 x 512 and a UNet with random weights in patches:
speed, not accuracy; ``--base`` is the width of the UNet, by which the time in the network grows about as its square.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Seen:
    """One run of the command, in seconds; ``cpu`` of all its processes together."""

    total: float
    cpu: float
    stages: dict[str, float]
    engine: dict[str, float]

    @property
    def around(self) -> float:
        """Everything but the network."""
        return self.total - self.engine["network"]

    def __str__(self) -> str:
        outside = self.total - sum(self.stages.values())
        beside = self.stages["run network"] - sum(self.engine.values())
        rows = {**self.stages, "outside all stages": outside}
        inside = {**self.engine, "hand over": beside}
        return (
            f"total {self.total:.2f} s, network {self.engine['network']:.2f} s, around it {self.around:.2f} s = "
            f"{self.around / self.total:.1%}; {self.cpu:.1f} CPU seconds\n"
            f"    {', '.join(f'{name} {seconds:.2f}' for name, seconds in rows.items())}\n"
            f"    run network: {', '.join(f'{name} {seconds:.2f}' for name, seconds in inside.items())}"
        )


def run_once(url: str, subject: str) -> Seen:
    """Time the command."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "iodeep", "run", subject, "--pacs", url, "--json"]
        before, begun = _cpu_of_children(), time.perf_counter()
        ended = subprocess.run(
            command, env={**os.environ, "IODEEP_CACHE": cache}, capture_output=True, text=True, check=False
        )
        total = time.perf_counter() - begun
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)}\n{ended.stdout}{ended.stderr}")
    report = json.loads(ended.stdout)
    return Seen(total, _cpu_of_children() - before, report["seconds"], report["network_seconds"])


def _cpu_of_children() -> float:
    """CPU seconds of every process that has ended; the archive still runs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def series_uid(path: Path) -> str:
    """Of one file's series."""
    image: FileDataset = pydicom.dcmread(path, stop_before_pixels=True)
    return str(image.SeriesInstanceUID)


def cases(names: list[str], folder: Path, base: int, engine: Engine) -> Iterator[tuple[str, list[Path]]]:
    """Each case's name and the files of its packed model."""
    if "head" in names:
        card = read_card(SAMPLES / "brain" / "card.yaml")
        packed = pack_network(SAMPLES / "brain", card, folder / "brain", engine, self_test_series=SAMPLES / "mr-head")
        yield "head", list(packed.model.files)
    if "ct" in names:
        (folder / "unet").mkdir()
        with_an_answer(small_unet(folder / "unet" / "unet.onnx", base=base))
        packed = pack_network(folder / "unet", ct_card(), folder / "ct", engine)
        yield "ct", list(packed.model.files)


def main() -> None:
    """The case asked for, or both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=("head", "ct"), action="append")
    parser.add_argument("--subject", choices=("archive", "folder"), action="append")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--base", type=int, default=12)
    arguments = parser.parse_args()
    subjects = arguments.subject or ["archive", "folder"]
    make = {"head": head_series, "ct": ct_series}
    with tempfile.TemporaryDirectory() as name, embedded_archive(Path(name) / "archive") as settings:
        folder = Path(name)
        url = f"dicom://{settings.aet}@{settings.host}:{settings.port}"
        with Engine(RunSettings()) as engine:
            packed = list(cases(arguments.case or ["head", "ct"], folder, arguments.base, engine))
        with open_archive(settings) as archive:
            for case, files in packed:
                archive.store(files)
                for number in range(arguments.runs * len(subjects)):
                    subject = subjects[number % len(subjects)]
                    paths = make[case](folder / f"{case}{number}", number)
                    if subject == "archive":
                        archive.store(paths)
                    seen = run_once(url, series_uid(paths[0]) if subject == "archive" else str(paths[0].parent))
                    print(f"{case} from {'the archive' if subject == 'archive' else 'a folder'}: {seen}", flush=True)


if __name__ == "__main__":
    main()
