"""A source becomes an object only with a card that agrees, and only where its result is its own framework's."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from iodeep.errors import CardError, InputError, IntegrityError
from iodeep.model_object import read_descriptor
from iodeep.packing.importing import ReferenceImage, ReferencePrediction
from iodeep.service.cli import app
from iodeep.service.importing.contained import ImportProcess
from tests.sources import HEAD, ORIENTED, Trained, completed, write_bundle, write_state

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:nvImageCodec")]
REFERENCE = ("--reference-series", str(HEAD))


@pytest.fixture(autouse=True)
def one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "iodeep.toml").write_text("[run]\nthreads = 1\n")
    monkeypatch.setenv("IODEEP_CONFIG", str(tmp_path / "iodeep.toml"))


def packed(*arguments: object) -> dict[str, Any]:
    """What ``iodeep pack --json`` answers; errors as they are raised."""
    ended = CliRunner().invoke(app, ["pack", *map(str, arguments), "--json"], catch_exceptions=False)
    document: dict[str, Any] = json.loads(ended.stdout[ended.stdout.index("{") :])
    return document


def agreement(document: dict[str, Any]) -> list[float]:
    """The Dice of each segment."""
    return list(document["agreement"]["dice"].values())


def test_a_bundle_is_begun_completed_compared_and_packed(tmp_path: Path, weights: Trained) -> None:
    bundle = write_bundle(tmp_path / "bundle", weights)
    begun = packed(bundle, "--out", tmp_path / "draft")
    asked = {question["field"] for question in begun["questions"]}
    assert begun["kind"] == "monai-bundle"
    assert {"released", "licence.spdx", "intended_use.limits", "target.regions"} <= asked
    assert {f"segmentation.segments.{number}.type" for number in (0, 1)} <= asked
    assert not {"inputs.0.modality", "preprocessing", "version"} & asked
    draft = Path(begun["card"])
    assert all(field in draft.read_text() for field in asked)

    wrong = yaml.safe_load(draft.read_text())
    wrong["preprocessing"][0]["axes"] = "LPS"
    wrong["network"]["mirror_axes"] = [0]
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    card = completed(tmp_path / "wrong.yaml", tmp_path / "wrong.yaml")
    with pytest.raises(
        CardError, match=r"preprocessing\.0\.axes is 'RAS' in the source and 'LPS' in the card"
    ) as refused:
        packed(bundle, "--card", card, "--out", tmp_path / "object", *REFERENCE)
    assert "network.mirror_axes" in refused.value.problem
    assert not (tmp_path / "object").exists()

    card = completed(draft, tmp_path / "card.yaml")
    done = packed(bundle, "--card", card, "--out", tmp_path / "object", *REFERENCE)
    assert min(agreement(done)) >= 0.999
    descriptor = read_descriptor(Path(done["descriptor"]))
    assert "tissue Dice 0.99" in (said := descriptor.manifest.imported or "") or "tissue Dice 1.0" in said
    assert "MONAI" in said
    assert {file.role.value for file in descriptor.manifest.files} == {"network", "trainable"}


def test_a_zip_of_thresholds_on_whole_volumes_agrees_too(tmp_path: Path, weights: Trained) -> None:
    """Sigmoid and threshold before the way back by nearest; percentiles, a crop, and padding on both sides."""
    before = [
        *ORIENTED,
        {"_target_": "CropForegroundd", "keys": "image", "source_key": "image"},
        {"_target_": "Spacingd", "keys": "image", "pixdim": [4.0, 4.0, 5.0], "mode": "nearest"},
        {"_target_": "ScaleIntensityRangePercentilesd", "keys": "image", "lower": 1, "upper": 99, "b_min": -1, "b_max": 3, "clip": True},
        {"_target_": "DivisiblePadd", "keys": "image", "k": 4},
    ]  # fmt: skip
    after = [
        {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
        {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5},
        {
            "_target_": "Invertd",
            "keys": "pred",
            "transform": "@preprocessing",
            "orig_keys": "image",
            "nearest_interp": True,
        },
    ]
    bundle = write_bundle(
        tmp_path / "bundle", weights, before=before, after=after, inferer={"_target_": "SimpleInferer"}
    )
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w") as archive:
        for path in sorted(bundle.rglob("*")):
            archive.write(path, path.relative_to(tmp_path))
    draft = packed(tmp_path / "bundle.zip", "--out", tmp_path / "draft")["card"]
    card = completed(Path(draft), tmp_path / "card.yaml")
    done = packed(tmp_path / "bundle.zip", "--card", card, "--out", tmp_path / "object", *REFERENCE)
    assert min(agreement(done)) >= 0.999


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """For a network without words of its own."""
    document = {
        "schema_version": "1", "name": "Tissue", "token": "TISSUE", "version": "1.0.0", "summary": "Tissue in the head",
        "qualification": "RESEARCH",
        "inputs": [{"name": "image", "modality": "MR"}],
        "preprocessing": [
            {"step": "orient", "axes": "RAS"},
            {"step": "z_score", "mask": "nonzero"},
            {"step": "resample_spacing", "mm": [4, 4, 5]},
        ],
        "network": {"files": ["network.onnx"], "input_tensor": "image",
                    "inference": {"mode": "patches", "size": [48, 48, 16], "overlap": 0.25}},
        "segmentation": {"tensor": "output", "activation": "softmax", "decode": "argmax",
                         "segments": [{"number": 1, "channel": 1, "label": "tissue"}, {"number": 2, "channel": 2, "label": "bright"}]},
    }  # fmt: skip
    (tmp_path / "begun.yaml").write_text(yaml.safe_dump(document))
    return completed(tmp_path / "begun.yaml", tmp_path / "card.yaml")


def test_torchscript_is_packed_with_a_card(tmp_path: Path, weights: Trained, card: Path) -> None:
    done = packed(weights.script, "--card", card, "--out", tmp_path / "object", *REFERENCE)
    assert min(agreement(done)) >= 0.999


def test_a_state_dict_is_packed_with_a_card_and_stays_trainable(tmp_path: Path, weights: Trained, card: Path) -> None:
    source = write_state(tmp_path / "state", weights)
    document = yaml.safe_load(card.read_text())
    document["network"]["trainable"] = ["network.safetensors", "network.json"]
    card.write_text(yaml.safe_dump(document))
    done = packed(source, "--card", card, "--out", tmp_path / "object", *REFERENCE)
    assert min(agreement(done)) >= 0.999


def test_a_comparison_needs_a_series_an_input(tmp_path: Path, weights: Trained, card: Path) -> None:
    with pytest.raises(InputError, match=r"expected 1 reference series \(image\)"):
        packed(weights.script, "--card", card, "--out", tmp_path / "object")


def test_a_result_that_is_another_leaves_no_object(
    tmp_path: Path, weights: Trained, card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One voxel in two hundred of one segment is enough."""
    predict = ImportProcess.predict

    def other(process: ImportProcess, images: Sequence[ReferenceImage], of: Mapping[str, Any]) -> ReferencePrediction:
        found = predict(process, images, of)
        places = np.flatnonzero(found.masks[2])[::200]
        found.masks[2].flat[places] = False
        return found

    monkeypatch.setattr(ImportProcess, "predict", other)
    with pytest.raises(IntegrityError, match=r"tissue Dice 1\.00000, bright Dice 0\.997") as refused:
        packed(weights.script, "--card", card, "--out", tmp_path / "object", *REFERENCE)
    assert refused.value.exit_code == 5
    assert not (tmp_path / "object").exists()
