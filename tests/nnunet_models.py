"""nnU-Net v2 results folders made here: cases cut from the sample head, plans by nnunetv2's own planner, weights trained.

``python -m tests.nnunet_models OUT [NAME ...]`` makes the quick ones: kept plans, some plain training steps on coarse cases, for
a mask that is not trivial. ``--train EPOCHS ITERATIONS`` lets nnunetv2's own trainer preprocess, train and validate them instead.
A process of its own, because nnunetv2 reads its folders from the environment when it is imported.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
ROOT = Path(__file__).resolve().parents[1]
FOLDS = (0, 1)
PLANS = Path(__file__).resolve().parent / "nnunet_plans"
"""What nnunetv2's planner wrote for the quick ones (``--plan``)."""
COARSER = 2.0


@dataclass(frozen=True)
class Recipe:
    """One data set: how its cases are cut, and what is trained on them."""

    number: int
    name: str
    configurations: tuple[str, ...]
    channels: dict[str, str]
    labels: dict[str, Any]
    stored: str
    """NIfTI orientation of the cases."""
    spacing: tuple[float, float, float]
    """Slice, row, column of the head's own axes."""
    regions_class_order: tuple[int, ...] | None = None
    residual: bool = False
    steps: int = 60

    @property
    def dataset(self) -> str:
        return f"Dataset{self.number:03d}_{self.name}"


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            1,
            "aniso",
            ("3d_fullres", "2d"),
            {"0": "T1"},
            {"background": 0, "brain": 1, "grey": 2},
            "RAS",
            (6.6, 1.8, 1.7),
        ),
        Recipe(
            2, "iso", ("3d_fullres",), {"0": "CT"}, {"background": 0, "brain": 1, "grey": 2}, "PSR", (3.9, 2.6, 2.4)
        ),
        Recipe(
            3,
            "regions",
            ("3d_fullres",),
            {"0": "T1", "1": "FLAIR"},
            {"background": 0, "whole brain": [1, 2], "grey": [2], "ignore": 3},
            "LPS",
            (6.6, 1.8, 1.7),
            regions_class_order=(1, 2),
            residual=True,
        ),
    )
}


@dataclass(frozen=True)
class Head:
    """The sample series with labels (1 brain, 2 its dark parts); axes slice, row, column."""

    voxels: Floats
    labels: npt.NDArray[np.uint8]
    affine: npt.NDArray[np.float64]


def head() -> Head:
    """The head of sample_data, labelled by the sample network and a threshold."""
    from iodeep.card import read_card
    from iodeep.inference import run_in_process
    from iodeep.service.subjects import local_series
    from iodeep.volume import open_series

    volume = open_series(local_series(ROOT / "sample_data" / "mr-head")[0]).read_volume()
    card = read_card(ROOT / "sample_data" / "brain" / "card.yaml")
    file = ROOT / "sample_data" / "brain" / card.network.files[0]
    found = run_in_process(card, {file.name: file}, {card.inputs[0].name: volume}, threads=1)
    assert found.segmentation is not None
    brain = found.segmentation.mask(1)
    voxels = np.asarray(volume.voxels, np.float32)
    labels = brain.astype(np.uint8)
    labels[brain & (voxels < 0.97 * float(np.median(voxels[brain])))] = 2
    return Head(voxels, labels, np.asarray(volume.affine, np.float64))


def channels_of(recipe: Recipe, voxels: Floats) -> list[Floats]:
    """What the channels of a data set show of the head: as it is, in HU, or with another contrast beside it."""
    if recipe.channels["0"] == "CT":
        return [np.where(voxels > 0, voxels * 0.4 - 60, -1000).astype(np.float32)]
    others = [np.where(voxels > 0, 900 - 0.6 * voxels, 0).astype(np.float32) for _ in list(recipe.channels)[1:]]
    return [voxels, *others]


@dataclass(frozen=True)
class Case:
    """One case as SimpleITK images: a channel each, and the labels."""

    channels: list[Any]
    labels: Any


def cases(recipe: Recipe, source: Head, coarser: float, count: int) -> Iterator[Case]:
    """``count`` cases: the head at slightly other sizes, contrasts and places, some of it padded with zeros.

    ``coarser``: how many times the recipe's spacing within slices.
    """
    random = np.random.default_rng(recipe.number)
    for _ in range(count):
        spacing = np.array(recipe.spacing) * [1, coarser, coarser] * random.uniform(0.92, 1.08, 3)
        voxels, labels = resampled(source, spacing)
        voxels = np.maximum(voxels * random.uniform(0.8, 1.2) + random.normal(0, 8, voxels.shape) * (voxels > 0), 0)
        border = [(int(random.integers(0, 3)), int(random.integers(0, 3))), (7, 9), (8, 6)]
        if recipe.channels["0"] != "CT":
            voxels, labels = np.pad(voxels, border), np.pad(labels, border)
        if "ignore" in recipe.labels:
            labels[:, :4] = 3
        channels = channels_of(recipe, voxels.astype(np.float32))
        yield Case([_image(each, spacing, recipe.stored) for each in channels], _image(labels, spacing, recipe.stored))


def dataset_json(recipe: Recipe, count: int) -> dict[str, Any]:
    """What nnU-Net is told of the cases."""
    document = {
        "channel_names": recipe.channels,
        "labels": recipe.labels,
        "numTraining": count,
        "file_ending": ".nii.gz",
        "name": recipe.name,
        "description": "The sample head at other sizes and contrasts",
    }
    order = recipe.regions_class_order
    return {**document, "regions_class_order": list(order)} if order else document


def write_cases(recipe: Recipe, source: Head, folder: Path, coarser: float, count: int = 6) -> None:
    """The cases as nnU-Net wants them on disk."""
    import SimpleITK

    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(cases(recipe, source, coarser, count)):
        for channel, image in enumerate(case.channels):
            SimpleITK.WriteImage(image, str(folder / "imagesTr" / f"case_{number:03d}_{channel:04d}.nii.gz"))
        SimpleITK.WriteImage(case.labels, str(folder / "labelsTr" / f"case_{number:03d}.nii.gz"))
    (folder / "dataset.json").write_text(json.dumps(dataset_json(recipe, count)))


def resampled(source: Head, spacing: npt.NDArray[np.float64]) -> tuple[Floats, npt.NDArray[np.uint8]]:
    """The head's voxels and labels at another spacing."""
    from scipy import ndimage

    own = np.linalg.norm(source.affine[:3, :3], axis=0)
    factors = own / spacing
    voxels = ndimage.zoom(source.voxels, factors, order=1, mode="nearest", grid_mode=True)
    labels = ndimage.zoom(source.labels, factors, order=0, mode="nearest", grid_mode=True)
    return voxels, labels


def _image(voxels: npt.NDArray[Any], spacing: npt.NDArray[np.float64], stored: str) -> Any:
    """The array (slice, row, column of LPS axes) as an image stored in another orientation."""
    import SimpleITK

    toolkit: Any = SimpleITK  # has no types
    image = toolkit.GetImageFromArray(voxels)
    image.SetSpacing([float(each) for each in spacing[::-1]])
    return toolkit.DICOMOrient(image, stored)


def plan(recipe: Recipe, gigabytes: float) -> dict[str, Any]:
    """The plans that nnunetv2's planner writes for the cases, of a network that is small; ``gigabytes`` decide its patch."""
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
    from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
    from nnunetv2.experiment_planning.experiment_planners.residual_unets.residual_encoder_unet_planners import (
        ResEncUNetPlanner,
    )

    class _InThisProcess:
        """The extractor's pool of processes, without any."""

        def __init__(self, _count: int) -> None:
            self._pool: list[Any] = []

        def __enter__(self) -> _InThisProcess:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def starmap_async(self, function: Any, arguments: Any) -> Any:
            results = [function(*each) for each in arguments]
            return type("Done", (), {"ready": lambda _: True, "get": lambda _: results})()

    from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor

    context = type("Context", (), {"Pool": _InThisProcess})
    kept = fingerprint_extractor.multiprocessing
    fingerprint_extractor.multiprocessing = type("Here", (), {"get_context": staticmethod(lambda _: context)})
    try:
        DatasetFingerprintExtractor(recipe.dataset, 1).run(overwrite_existing=True)
    finally:
        fingerprint_extractor.multiprocessing = kept
    planner = (ResEncUNetPlanner if recipe.residual else ExperimentPlanner)(
        recipe.dataset, gigabytes, plans_name="nnUNetPlans"
    )
    planner.UNet_base_num_features = planner.UNet_reference_com_nfeatures = 6
    planner.UNet_blocks_per_stage_encoder = (2,) * 14 if not recipe.residual else (1, *(2,) * 13)
    planner.UNet_max_features_2d = planner.UNet_max_features_3d = 24
    found: dict[str, Any] = planner.plan_experiment()
    return found


def trained_folder(recipe: Recipe, configuration: str, results: Path) -> Path:
    """Where nnU-Net keeps what it trained."""
    return results / recipe.dataset / f"nnUNetTrainer__nnUNetPlans__{configuration}"


def quick(recipe: Recipe, configuration: str, source: Head, results: Path) -> Path:
    """Networks of the kept plans after a few steps on two cases, saved as nnUNetTrainer saves its own; their folder."""
    import torch
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(json.loads((PLANS / f"{recipe.name}.json").read_text()))
    chosen, dataset = manager.get_configuration(configuration), dataset_json(recipe, 6)
    labels = manager.get_label_manager(dataset)
    folder = trained_folder(recipe, configuration, results)
    torch.manual_seed(0)
    network = get_network_from_plans(
        chosen.network_arch_class_name,
        chosen.network_arch_init_kwargs,
        chosen.network_arch_init_kwargs_req_import,
        len(recipe.channels),
        labels.num_segmentation_heads,
        deep_supervision=False,
    )
    losses = _steps(network, list(_preprocessed(recipe, manager, chosen, source)), chosen, labels, recipe.steps)
    for fold in FOLDS:
        (folder / f"fold_{fold}" / "validation").mkdir(parents=True, exist_ok=True)
        checkpoint = {
            "network_weights": _varied(network.state_dict(), fold),
            "optimizer_state": None,
            "grad_scaler_state": None,
            "logging": {"train_losses": losses, "mean_fg_dice": [np.float64(0.5)]},
            "_best_ema": np.float64(0.5),
            "current_epoch": 1,
            "init_args": {
                "plans": manager.plans,
                "configuration": configuration,
                "fold": fold,
                "dataset_json": dataset,
                "device": torch.device("cpu"),
            },
            "trainer_name": "nnUNetTrainer",
            "inference_allowed_mirroring_axes": (0, 1) if configuration == "2d" else (0, 1, 2),
        }
        torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_final.pth")
        (folder / f"fold_{fold}" / "validation" / "summary.json").write_text(json.dumps(_summary(labels, fold)))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    (folder / "plans.json").write_text(json.dumps(manager.plans))
    return folder


def _varied(weights: dict[str, Any], fold: int) -> dict[str, Any]:
    """Another fold's weights: those of the first, a hundredth off; tensors that are one stay one."""
    import torch

    torch.manual_seed(fold)
    other = {id(each): each * (1 + 0.01 * fold * torch.randn(each.shape)) for each in weights.values()}
    pointers = {each.data_ptr(): other[id(each)] for each in weights.values()}
    return {name: pointers[each.data_ptr()] for name, each in weights.items()}


def _summary(labels: Any, fold: int) -> dict[str, Any]:
    """What a validation measures, as nnU-Net writes it: one case, in which the last class is in neither."""
    classes = [str(each) for each in (labels.foreground_regions if labels.has_regions else labels.foreground_labels)]
    values = [0.9 + 0.02 * fold] * (len(classes) - 1) + [float("nan")]
    metrics = {name: {"Dice": value} for name, value in zip(classes, values, strict=True)}
    return {"metric_per_case": [{"metrics": metrics}], "mean": metrics, "foreground_mean": {}}


def _preprocessed(recipe: Recipe, manager: Any, chosen: Any, source: Head) -> Any:
    """Two cases as nnU-Net preprocesses them."""
    import SimpleITK

    array: Any = SimpleITK.GetArrayFromImage  # has no types
    preprocessor = chosen.preprocessor_class(verbose=False)
    for case in cases(recipe, source, COARSER, 2):
        voxels = np.stack([array(each) for each in case.channels])
        spacing = list(case.labels.GetSpacing())[::-1]
        data, seg, _ = preprocessor.run_case_npy(
            voxels,
            array(case.labels)[None].astype(np.int16),
            {"spacing": spacing},
            manager,
            chosen,
            dataset_json(recipe, 6),
        )
        yield data, seg


def _weights(values: list[float], axes: int) -> Any:
    import torch

    return torch.tensor(values, dtype=torch.float32).reshape(-1, *[1] * (axes - 2))


def _steps(network: Any, given: Any, chosen: Any, labels: Any, count: int) -> list[np.float64]:
    """Plain training steps on random patches, until the mask has found its place."""
    import torch
    from torch.nn import functional

    random = np.random.default_rng(0)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    size = [*([1] if len(chosen.patch_size) == 2 else []), *chosen.patch_size]
    losses: list[np.float64] = []
    for _ in range(count):
        data, seg = _patch(given[int(random.integers(len(given)))], size, random)
        if len(chosen.patch_size) == 2:
            data, seg = data[:, 0], seg[:, 0]
        told = network(torch.from_numpy(data[None]))
        if labels.has_regions:
            wanted = np.stack([np.isin(seg[0], region) for region in labels.foreground_regions])
            truth = torch.from_numpy(wanted.astype(np.float32))[None]
            loss = functional.binary_cross_entropy_with_logits(told, truth, pos_weight=_weights([1, 4], truth.ndim))
        else:
            truth = torch.from_numpy(np.maximum(seg, 0).astype(np.int64))
            loss = functional.cross_entropy(told, truth, weight=torch.tensor([1.0, 2.0, 2.0]))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(np.float64(loss.item()))
    return losses


def _patch(case: tuple[Any, Any], size: list[int], random: np.random.Generator) -> tuple[Any, Any]:
    """A random patch of data and labels, padded with zeros where the case is smaller."""
    data, seg = case
    lacking = [max(wanted - have, 0) for wanted, have in zip(size, data.shape[1:], strict=True)]
    sides = [(0, 0), *((each // 2, each - each // 2) for each in lacking)]
    data, seg = np.pad(data, sides), np.pad(seg, sides)
    starts = [int(random.integers(have - wanted + 1)) for have, wanted in zip(data.shape[1:], size, strict=True)]
    where = (slice(None), *(slice(start, start + wanted) for start, wanted in zip(starts, size, strict=True)))
    return np.ascontiguousarray(data[where], np.float32), seg[where]


def train(recipe: Recipe, configuration: str, epochs: int, iterations: int) -> None:
    """nnunetv2's own preprocessing, trainer and validation, of fewer epochs than it would take."""
    import torch
    from nnunetv2.experiment_planning.plan_and_preprocess_api import preprocess_dataset
    from nnunetv2.run.run_training import get_trainer_from_args

    os.environ["nnUNet_n_proc_DA"] = "0"  # noqa: SIM112 - its own name; cases are augmented in this process
    preprocess_dataset(recipe.number, configurations=[configuration], num_processes=[1], show_progress_bar=False)
    for fold in FOLDS:
        trainer = get_trainer_from_args(recipe.dataset, configuration, fold, device=torch.device("cpu"))
        trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = (
            epochs,
            iterations,
            2,
        )
        trainer.run_training()
        trainer.perform_actual_validation(save_probabilities=False)


def main() -> None:
    """Make the models that are asked for below a folder, as nnU-Net would have left them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", default=list(RECIPES), help="such as aniso, or aniso:2d")
    parser.add_argument("--train", nargs=2, type=int, metavar=("EPOCHS", "ITERATIONS"))
    parser.add_argument(
        "--plan", action="store_true", help="write the plans of the quick ones anew, into tests/nnunet_plans"
    )
    asked = parser.parse_args()
    folders = {name: asked.out / name for name in ("raw", "preprocessed", "results")}
    for name, folder in folders.items():
        os.environ[f"nnUNet_{name}"] = str(folder)
        folder.mkdir(parents=True, exist_ok=True)
    os.environ["nnUNet_compile"] = "f"  # noqa: SIM112 - its own name
    os.environ["nnUNet_n_proc_DA"] = "1"  # noqa: SIM112 - its own name; of torch's threads while it plans
    warnings.simplefilter("ignore")
    source = head()
    for name, _, only in (each.partition(":") for each in asked.names):
        recipe = RECIPES[name]
        if asked.train or asked.plan:
            write_cases(recipe, source, folders["raw"] / recipe.dataset, 1.0 if asked.train else COARSER)
            plan(recipe, 0.08 if asked.train else 0.02)
        if asked.plan:
            written = folders["preprocessed"] / recipe.dataset / "nnUNetPlans.json"
            PLANS.mkdir(exist_ok=True)
            shutil.copy(written, PLANS / f"{recipe.name}.json")
            continue
        for configuration in [only] if only else recipe.configurations:
            if asked.train:
                train(recipe, configuration, *asked.train)
            else:
                quick(recipe, configuration, source, folders["results"])


if __name__ == "__main__":
    main()
