"""What lies where in a results folder, by names alone; nothing else in it is looked at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from iodeep.errors import InputError

_FOLD = re.compile(r"fold_(\d{1,2}|all)")
CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
MOST_FOLDS = 32


@dataclass(frozen=True)
class Fold:
    """A trained fold: ``name`` is its number, or ``all``."""

    name: str
    checkpoint: Path

    @property
    def summary(self) -> Path:
        """What its validation measured; it need not be there."""
        return self.checkpoint.parent / "validation" / "summary.json"


def trained_folder(source: Path) -> Path:
    """``source``, or the one folder below it (two deep at most) that holds a trained model."""
    found = [path.parent for depth in ("", "*/", "*/*/") for path in sorted(source.glob(f"{depth}plans.json"))]
    found = [folder for folder in found if (folder / "dataset.json").is_file()]
    if len(found) != 1:
        raise InputError(
            f"{source.name} holds {len(found)} trained models of nnU-Net",
            expected="one: a folder like nnUNetTrainer__nnUNetPlans__3d_fullres",
            found=", ".join(folder.name for folder in found[:5]) or "none",
            remedy="Give the folder of the configuration that is meant, or a zip of it alone.",
        )
    return found[0]


def folds_of(folder: Path) -> tuple[Fold, ...]:
    """The folds that make up the ensemble, by number; ``fold_all`` only where there is no other, as nnU-Net takes them."""
    names = {match[1] for path in folder.iterdir() if (match := _FOLD.fullmatch(path.name)) and path.is_dir()}
    numbers = sorted(int(name) for name in names - {"all"})
    if not names or len(numbers) > MOST_FOLDS:
        raise InputError(
            f"{folder.name} has no folds, or too many", expected="fold_0, fold_1 ...", found=f"{len(numbers)}"
        )
    if missing := sorted(set(range(len(numbers))) - set(numbers)) if len(numbers) > 1 else []:
        raise InputError(
            f"fold_{missing[0]} is missing between the others",
            found=", ".join(f"fold_{number}" for number in numbers),
            remedy="Bring it, or take the folds away that are not meant: all that are there become the ensemble.",
        )
    chosen = [str(number) for number in numbers] or ["all"]
    for checkpoint in CHECKPOINTS:
        paths = [folder / f"fold_{name}" / checkpoint for name in chosen]
        if all(path.is_file() for path in paths):
            return tuple(Fold(name, path) for name, path in zip(chosen, paths, strict=True))
    lacking = [name for name in chosen if not (folder / f"fold_{name}" / CHECKPOINTS[0]).is_file()]
    raise InputError(
        f"fold_{lacking[0]} is missing: it holds no {CHECKPOINTS[0]}",
        expected=f"{CHECKPOINTS[0]} in every fold, or {CHECKPOINTS[1]} in every fold",
        remedy="Finish its training, or take its folder away.",
    )
