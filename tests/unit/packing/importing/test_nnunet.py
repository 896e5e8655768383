"""Results folders of nnU-Net v2: what is packed gives what nnU-Net gives; what can't be said in a card is refused by its name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from iodeep.card import ModelCard, card_document, card_of_document, read_card
from iodeep.errors import InputError
from iodeep.inference import run_in_process
from iodeep.packing.importing import ImportedNetwork, ReferenceImage, SourceKind, compared, importer_of, recognise
from iodeep.packing.importing.nnunet.drafting import axes_of
from iodeep.packing.importing.nnunet.model import read_model
from iodeep.prediction import Prediction
from iodeep.volume import Volume
from tests.geometries import sagittal_and_oblique
from tests.nnunet_models import RECIPES, Head, channels_of, head, resampled, trained_folder

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # nnunetv2 and what it imports warn of themselves
ROOT = Path(__file__).resolve().parents[4]
Edit = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All quick models, made by a process of their own."""
    out = tmp_path_factory.mktemp("nnunet")
    ran = subprocess.run(
        [sys.executable, "-m", "tests.nnunet_models", str(out)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    os.environ.setdefault("nnUNet_n_proc_DA", "1")  # else nnunetv2 runs a program
    return out / "results"


@pytest.fixture(scope="module")
def subject() -> Head:
    return head()


def small(source: Head) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Every third voxel of the real slices, 7 mm apart: as anisotropic as it came."""
    affine = source.affine.copy()
    affine[:3, 1:3] *= 3
    return np.ascontiguousarray(source.voxels[:, ::3, ::3]), affine


def nearly_isotropic(source: Head) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    spacing = np.array([4.4, 3.1, 3.3])
    affine = source.affine.copy()
    affine[:3, :3] *= spacing / np.linalg.norm(affine[:3, :3], axis=0)
    return resampled(source, spacing)[0], affine


def turned(image: Any) -> Any:
    """The same head, taken in sagittal slices the other way round, by a patient who lies obliquely."""

    def made(source: Head) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
        voxels, affine = image(source)
        return sagittal_and_oblique(voxels, affine)

    return made


def complete(found: ImportedNetwork, axes: str) -> ModelCard:
    """What a person adds to what the source says."""
    document = {
        **card_document(read_card(ROOT / "sample_data" / "brain" / "card.yaml")),
        **json.loads(json.dumps(found.card)),
    }
    document["training"] = {"description": "Cases made here", **document["training"]}
    document["preprocessing"][0].setdefault("axes", axes)
    term = {"value": "123037004", "scheme": "SCT", "meaning": "Anatomical Structure"}
    for segment in document["segmentation"]["segments"]:
        segment |= {"category": term, "type": term}
    return card_of_document(document, "test")


def both(folder: Path, out: Path, voxels: Any, affine: Any, **changes: Any) -> tuple[ModelCard, Prediction, Any]:
    """The card, our prediction and nnU-Net's; ``changes``: of our card's network."""
    recipe = next(each for each in RECIPES.values() if each.dataset == folder.parent.name)
    out.mkdir()
    found = importer_of(SourceKind.NNUNET).read(folder, out)
    card = complete(found, axes_of(recipe.stored, read_model(folder).plan.transpose))
    images = [
        ReferenceImage(asked.name, channel, affine)
        for asked, channel in zip(card.inputs, channels_of(recipe, voxels), strict=True)
    ]
    theirs = importer_of(SourceKind.NNUNET).predict(folder, images, card.model_dump(mode="json"), out)
    volumes = {image.name: Volume(image.voxels, image.affine) for image in images}
    changed = card.model_copy(update={"network": card.network.model_copy(update=changes)})
    return card, run_in_process(changed, found.files, volumes, threads=1), theirs


@pytest.mark.parametrize(
    ("name", "configuration", "image"),
    [
        ("aniso", "3d_fullres", small),
        ("aniso", "2d", turned(small)),
        ("iso", "3d_fullres", turned(nearly_isotropic)),
        ("regions", "3d_fullres", small),
    ],
)
def test_what_is_packed_gives_what_nnunet_gives(
    name: str, configuration: str, image: Any, results: Path, subject: Head, tmp_path: Path
) -> None:
    folder = trained_folder(RECIPES[name], configuration, results)
    card, ours, theirs = both(folder, tmp_path / "out", *image(subject))

    assert len(card.network.files) == 2
    assert all(50 < np.count_nonzero(mask) < 0.9 * mask.size for mask in theirs.masks.values())
    agreement = compared(card, ours, theirs)
    assert min(agreement.dice.values()) >= 0.999


def test_the_comparison_sees_what_is_left_out(results: Path, subject: Head, tmp_path: Path) -> None:
    """Mirroring, which changes a border here and there."""
    folder = trained_folder(RECIPES["aniso"], "2d", results)
    card, ours, theirs = both(folder, tmp_path / "out", *small(subject), mirror_axes=())
    with pytest.raises(Exception, match="does not give what its source gives"):
        compared(card, ours, theirs)


def test_the_card_says_what_plans_labels_and_validation_say(results: Path, tmp_path: Path) -> None:
    found = importer_of(SourceKind.NNUNET).read(trained_folder(RECIPES["regions"], "3d_fullres", results), tmp_path)
    card = complete(found, "SPL")

    assert [(each.name, each.modality, each.sequences[0].value) for each in card.inputs] == [
        ("t1", "MR", "T1"),
        ("flair", "MR", "FLAIR"),
    ]
    assert card.segmentation is not None
    assert [(each.label, each.channel, each.includes) for each in card.segmentation.segments] == [
        ("whole brain", 0, (2,)),
        ("grey", 1, ()),
    ]
    assert (card.segmentation.decode, card.segmentation.activation) == ("nested", "sigmoid")
    assert [step.step for step in card.preprocessing] == ["orient", "crop_nonzero", "z_score", "resample_spacing"]
    assert card.network.mirror_axes == (0, 1, 2)
    assert [(each.value, each.cases) for each in card.performance] == [(0.91, 2)]
    assert "not trained on" in card.performance[0].test_set
    assert card.training.cases == 6
    assert [question.field for question in found.questions] == ["preprocessing.0.axes"]
    assert "SAR for images stored as RAS" in found.questions[0].sentence
    assert set(card.network.trainable) == {"fold_0.safetensors", "fold_0.json", "fold_1.safetensors", "fold_1.json"}
    assert any("ignore" in note for note in found.notes)


@pytest.fixture
def model(results: Path, tmp_path: Path) -> Path:
    """A copy to spoil; of one fold's weights the second is a copy too."""
    return Path(
        shutil.copytree(trained_folder(RECIPES["aniso"], "2d", results), tmp_path / "nnUNetTrainer__nnUNetPlans__2d")
    )


def spoil(model: Path, edit: Edit, *, checkpoints: bool = False) -> None:
    """Edit plans.json, and what the checkpoints say of it where ``checkpoints``."""
    import torch

    plans = json.loads((model / "plans.json").read_text())
    edit(plans)
    (model / "plans.json").write_text(json.dumps(plans))
    for path in model.glob("fold_*/*.pth") if checkpoints else ():
        content = torch.load(path, weights_only=False)
        content["init_args"]["plans"] = plans
        torch.save(content, path)


def setting(**values: Any) -> Edit:
    return lambda plans: plans["configurations"]["2d"].update(values)


def architecture(**values: Any) -> Edit:
    return lambda plans: plans["configurations"]["2d"]["architecture"].update(values)


def argument(**values: Any) -> Edit:
    return lambda plans: plans["configurations"]["2d"]["architecture"]["arch_kwargs"].update(values)


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (setting(previous_stage="3d_lowres"), "second stage of a cascade.*3d_lowres"),
        (setting(normalization_schemes=["MyNormalization"]), "MyNormalization"),
        (setting(preprocessor_name="MyPreprocessor"), "MyPreprocessor"),
        (setting(resampling_fn_data="resample_torch_fornnunet"), "resampling_fn_data"),
        (setting(patch_size=[64, -3]), "patch_size"),
        (setting(inherits_from="2d"), "inherit"),
        (lambda plans: plans.update(image_reader_writer="NaturalImage2DIO"), "NaturalImage2DIO"),
        (lambda plans: plans.update(transpose_backward=[1, 0, 2]), "transpose"),
        (lambda plans: plans.update(label_manager="Mine"), "Mine"),
        (architecture(network_class_name="os.system"), "os.system"),
        (architecture(network_class_name="dynamic_network_architectures.architectures.primus.Primus"), "Primus"),
        (argument(nonlin="builtins.eval"), "builtins.eval"),
        (argument(conv_op="torch.nn.Module"), "torch.nn.Module"),
        (argument(n_stages=10**9), "n_stages"),
        (argument(block="os.system"), "block"),
        (argument(features_per_stage=[6, 12, 24, 32]), "weights in fold_0 are not those"),
        (argument(deep_supervision=True), "deep_supervision"),
    ],
)
def test_what_plans_name_and_a_card_cannot_say_is_refused_by_its_name(edit: Edit, named: str, model: Path) -> None:
    spoil(model, edit, checkpoints=True)
    with pytest.raises(InputError, match=named):
        read_model(model).network(0)


def test_plans_that_contradict_the_checkpoint_are_refused(model: Path) -> None:
    spoil(model, setting(spacing=[3.0, 3.0]))
    with pytest.raises(InputError, match="fold_0 was trained with another spacing"):
        read_model(model)


def test_a_fold_that_is_missing_is_named(model: Path) -> None:
    (model / "fold_1" / "checkpoint_final.pth").unlink()
    with pytest.raises(InputError, match="fold_1 is missing: it holds no checkpoint_final"):
        read_model(model)
    (model / "fold_1").rename(model / "fold_2")
    with pytest.raises(InputError, match="fold_1 is missing between"):
        read_model(model)


def change(model: Path, **values: Any) -> None:
    """Of the first fold's checkpoint."""
    import torch

    path = model / "fold_0" / "checkpoint_final.pth"
    torch.save({**torch.load(path, weights_only=False), **values}, path)


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.marker),))


def test_a_payload_in_a_checkpoint_is_named_and_not_executed(model: Path, tmp_path: Path) -> None:
    change(model, logging=Payload(tmp_path / "marker"))
    with pytest.raises(InputError, match="holds more than weights and numbers") as refused:
        read_model(model)
    assert "mkdir" in str(refused.value.found)
    assert not (tmp_path / "marker").exists()


def test_a_trainer_that_builds_its_own_network_is_refused(model: Path) -> None:
    for trainer in ("nnUNetTrainerBN", "nnUNetTrainerMine"):
        change(model, trainer_name=trainer)
        with pytest.raises(InputError, match=trainer):
            read_model(model)
    change(model, trainer_name="nnUNetTrainerDA5")
    assert read_model(model).checkpoints[0].trainer == "nnUNetTrainerDA5"


def test_weights_that_are_no_numbers_are_refused(model: Path) -> None:
    import torch

    path = model / "fold_0" / "checkpoint_final.pth"
    weights = torch.load(path, weights_only=False)["network_weights"]
    change(model, network_weights={**weights, next(iter(weights)): next(iter(weights.values())) * float("nan")})
    with pytest.raises(InputError, match="no checkpoint of nnU-Net v2") as refused:
        read_model(model)
    assert "not numbers" in str(refused.value.found)


def test_a_folder_of_several_configurations_names_them(results: Path) -> None:
    folder = results / RECIPES["aniso"].dataset
    assert recognise(folder) is SourceKind.NNUNET
    with pytest.raises(InputError, match="holds 2 trained models") as refused:
        read_model(folder)
    assert "nnUNetTrainer__nnUNetPlans__2d" in str(refused.value.found)
    assert read_model(results / RECIPES["iso"].dataset).plan.name == "3d_fullres"
