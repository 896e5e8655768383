"""A results folder, read whole: plans, labels and the weights of every fold, which have to belong together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iodeep.errors import InputError
from iodeep.packing.importing.nnunet.architecture import built, fill
from iodeep.packing.importing.nnunet.checkpoint import Checkpoint, read_checkpoint
from iodeep.packing.importing.nnunet.documents import REMEDY, read_json
from iodeep.packing.importing.nnunet.folder import Fold, folds_of, trained_folder
from iodeep.packing.importing.nnunet.labels import Labels, inputs_of, labels_of
from iodeep.packing.importing.nnunet.plans import Plan, plan_of

_COMPARED = (
    "transpose_forward",
    "transpose_backward",
    "image_reader_writer",
    "foreground_intensity_properties_per_channel",
)
"""Of plans.json, beside the configuration itself."""


@dataclass(frozen=True)
class Model:
    """A trained model; ``checkpoints`` are those of ``folds``."""

    folder: Path
    dataset: Mapping[str, Any]
    plan: Plan
    labels: Labels
    inputs: tuple[Mapping[str, Any], ...]
    folds: tuple[Fold, ...]
    checkpoints: tuple[Checkpoint, ...]

    @property
    def mirror_axes(self) -> tuple[int, ...]:
        """Of the volume's axes after ``transpose_forward``."""
        return tuple(axis + (1 if self.plan.flat else 0) for axis in self.checkpoints[0].mirror_axes)

    def network(self, number: int) -> Any:
        """The network of a fold, with its weights."""
        network = built(self.plan, len(self.inputs), self.labels.channels)
        fill(network, self.checkpoints[number].weights, f"fold_{self.folds[number].name}")
        return network


def read_model(source: Path) -> Model:
    """The model in a results folder; InputError naming what cannot be imported."""
    folder = trained_folder(source)
    dataset, document = read_json(folder / "dataset.json"), read_json(folder / "plans.json")
    folds = folds_of(folder)
    name = _configuration(folder, folds, document)
    plan = plan_of(document, name)
    labels, inputs = labels_of(dataset), inputs_of(dataset)
    plan.normalisations(len(inputs))
    checkpoints = tuple(read_checkpoint(fold.checkpoint, f"fold_{fold.name}/{fold.checkpoint.name}") for fold in folds)
    for fold, checkpoint in zip(folds, checkpoints, strict=True):
        _check_trained_alike(plan, f"fold_{fold.name}", checkpoint, checkpoints[0])
    limit = 1 if plan.flat else 2
    if any(axis > limit for axis in checkpoints[0].mirror_axes):
        raise InputError(
            f"{name} is mirrored along an axis that it doesn't have", found=f"{checkpoints[0].mirror_axes}"
        )
    return Model(folder, dataset, plan, labels, tuple(inputs), folds, checkpoints)


def _configuration(folder: Path, folds: tuple[Fold, ...], document: Mapping[str, Any]) -> str:
    """By the folder's name (trainer__plans__configuration), else as the first checkpoint says."""
    parts = folder.name.split("__")
    if len(parts) == 3 and parts[2] in (document.get("configurations") or {}):
        return parts[2]
    return read_checkpoint(folds[0].checkpoint, f"fold_{folds[0].name}/{folds[0].checkpoint.name}").configuration


def _check_trained_alike(plan: Plan, fold: str, checkpoint: Checkpoint, first: Checkpoint) -> None:
    """The plans, and every other fold, say what this fold's checkpoint says of its training."""
    if checkpoint.trainer not in _trainers():
        raise InputError(
            f"the trainer {checkpoint.trainer[:80]!r} is not one of nnU-Net's own that take the network from the plans",
            remedy="What network it builds only its code says. Export the network to ONNX where it was made, and pack that.",
        )
    if checkpoint.configuration != plan.name:
        raise _contradiction(fold, "configuration", plan.name, checkpoint.configuration)
    if checkpoint.mirror_axes != first.mirror_axes:
        raise _contradiction(fold, "inference_allowed_mirroring_axes", first.mirror_axes, checkpoint.mirror_axes)
    if not checkpoint.plans:
        return
    trained = plan_of(checkpoint.plans, plan.name)
    for key in sorted({*plan.settings, *trained.settings}):
        if _plain(plan.settings.get(key)) != _plain(trained.settings.get(key)):
            raise _contradiction(fold, key, plan.settings.get(key), trained.settings.get(key))
    for key in _COMPARED:
        if _plain(plan.document.get(key)) != _plain(trained.document.get(key)):
            raise _contradiction(fold, key, plan.document.get(key), trained.document.get(key))


def _plain(value: Any) -> Any:
    """Tuples as JSON keeps them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _contradiction(fold: str, name: str, plans: Any, trained: Any) -> InputError:
    return InputError(
        f"{fold} was trained with another {name} than plans.json, or the other folds, have",
        expected=repr(plans)[:200],
        found=repr(trained)[:200],
        remedy=REMEDY,
    )


def _trainers() -> frozenset[str]:
    """The trainers that nnunetv2 comes with, but for those that build a network of their own; read, not imported."""
    import nnunetv2

    home = Path(next(iter(nnunetv2.__path__))) / "training" / "nnUNetTrainer"
    found: set[str] = set()
    for path in home.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.name == "nnUNetTrainer.py" or "def build_network_architecture" not in text:
            found.update(re.findall(r"^class (nnUNetTrainer\w*)\(", text, re.MULTILINE))
    return frozenset(found)
