"""nnU-Net models trained here by nnunetv2's own trainer, imported, and compared with nnU-Net's own prediction on real slices.

scripts/bench importers [--epochs N] [--iterations N] [--quick] [--keep FOLDER]: for each model and image the Dice of each segment, the
voxels that differ, and the seconds of reading, of nnU-Net's prediction and of ours. Exit status 1 where a Dice is below 0.999 or
a segment is empty.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np

from tests.nnunet_models import RECIPES, head, trained_folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--iterations", type=int, default=25)
    parser.add_argument("--quick", action="store_true", help="the models of the tests instead")
    parser.add_argument("--keep", type=Path, help="make the models here, or take those that are here")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ.setdefault("nnUNet_n_proc_DA", "1")
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        if not (folder / "results").is_dir():
            make(folder, [] if asked.quick else ["--train", str(asked.epochs), str(asked.iterations)])
        good = [report(folder / "results", *each) for each in runs()]
        return 0 if all(good) else 1


def make(folder: Path, how: list[str]) -> None:
    begun = time.perf_counter()
    log = folder / "made.log"
    folder.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as said:
        command = [sys.executable, "-m", "tests.nnunet_models", str(folder), *RECIPES, *how]
        subprocess.run(command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT, check=True)
    print(f"models made in {time.perf_counter() - begun:.0f} s")


def runs() -> list[tuple[str, str, str]]:
    return [
        (recipe.name, configuration, image)
        for recipe in RECIPES.values()
        for configuration in recipe.configurations
        for image in ("thick slices", "nearly isotropic")
    ]


def report(results: Path, name: str, configuration: str, image: str) -> bool:
    """One line a segment; whether all are good."""
    from tests.unit.packing.importing.test_nnunet import both, nearly_isotropic, small

    voxels, affine = {"thick slices": small, "nearly isotropic": nearly_isotropic}[image](head())
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        folder = trained_folder(RECIPES[name], configuration, results)
        card, ours, theirs = both(folder, Path(out) / "out", voxels, affine)
    seconds = time.perf_counter() - begun
    good = True
    assert card.segmentation is not None
    assert ours.segmentation is not None
    for segment in card.segmentation.segments:
        mine, other = ours.segmentation.mask(segment.number), theirs.masks[segment.channel]
        count = int(np.count_nonzero(other))
        dice = 2 * np.count_nonzero(mine & other) / max(np.count_nonzero(mine) + count, 1)
        good &= dice >= 0.999
        print(
            f"{name:8} {configuration:10} {image:16} {segment.label:12} Dice {dice:.6f}, "
            f"{int(np.count_nonzero(mine != other))} of {count} voxels differ, {seconds:.0f} s in all",
            flush=True,
        )
    return good


if __name__ == "__main__":
    sys.exit(main())
