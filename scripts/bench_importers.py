"""nnU-Net models trained here by nnunetv2's own trainer, imported, and compared with nnU-Net's own prediction on real slices.

scripts/bench importers [NAME ...] [--train EPOCHS ITERATIONS] [--every-image] [--keep FOLDER]: for each model and image the Dice of each
segment, the voxels that differ, and the seconds of reading, of nnU-Net's prediction and of ours together. NAME is such as aniso,
or aniso:2d; the quickest. Each model is run on the kind of image that it was made for, with --every-image on the other too. The models
are those of the tests, of some plain training steps; --train lets nnunetv2's own trainer make them, which takes much longer.
Exit status 1 where a Dice is below 0.999 or a segment is empty.
"""

from __future__ import annotations

import argparse
import contextlib
import io
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
from tests.unit.packing.importing.test_nnunet import both, nearly_isotropic, small


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(RECIPES), help="such as aniso, or aniso:2d")
    parser.add_argument("--train", nargs=2, type=int, metavar=("EPOCHS", "ITERATIONS"))
    parser.add_argument("--every-image", action="store_true", help="each model on both kinds of image")
    parser.add_argument("--keep", type=Path, help="make the models here, or take those that are here")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ.setdefault("nnUNet_n_proc_DA", "1")
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        if not (folder / "results").is_dir():
            make(folder, asked.names, ["--train", *map(str, asked.train)] if asked.train else [])
        good = [report(folder / "results", *each) for each in runs(asked.names, every=asked.every_image)]
        return 0 if all(good) else 1


def make(folder: Path, names: list[str], how: list[str]) -> None:
    begun = time.perf_counter()
    log = folder / "made.log"
    folder.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as said:
        command = [sys.executable, "-m", "tests.nnunet_models", str(folder), *names, *how]
        ended = subprocess.run(command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT, check=False)
    if ended.returncode:
        raise SystemExit(f"no models could be made: {log.read_text(errors='replace')[-2000:]}")
    print(f"models made in {time.perf_counter() - begun:.0f} s", flush=True)


MADE_FOR = {"aniso": "thick slices", "iso": "nearly isotropic", "regions": "thick slices"}
IMAGES = {"thick slices": small, "nearly isotropic": nearly_isotropic}


def runs(names: list[str], *, every: bool) -> list[tuple[str, str, str]]:
    return [
        (name, configuration, image)
        for name, _, only in (each.partition(":") for each in names)
        for configuration in ([only] if only else RECIPES[name].configurations)
        for image in (IMAGES if every else (MADE_FOR[name],))
    ]


def report(results: Path, name: str, configuration: str, image: str) -> bool:
    """One line a segment; whether all are good."""
    voxels, affine = IMAGES[image](head())
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as out, contextlib.redirect_stdout(io.StringIO()):  # nnunetv2 talks
        folder = trained_folder(RECIPES[name], configuration, results)
        card, ours, theirs = both(folder, Path(out) / "out", voxels, affine)
    seconds = time.perf_counter() - begun
    good = True
    assert card.segmentation is not None
    assert ours.segmentation is not None
    for segment in card.segmentation.segments:
        mine, other = ours.segmentation.mask(segment.number), theirs.masks[segment.channel]
        count = int(np.count_nonzero(other))
        dice = 2 * int(np.count_nonzero(mine & other)) / max(int(np.count_nonzero(mine)) + count, 1)
        good &= dice >= 0.999
        print(
            f"{name:8} {configuration:10} {image:16} {segment.label:12} Dice {dice:.6f}, "
            f"{int(np.count_nonzero(mine != other))} of {count} voxels differ, {seconds:.0f} s in all",
            flush=True,
        )
    return good


if __name__ == "__main__":
    sys.exit(main())
