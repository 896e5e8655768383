"""A zip of nnU-Net becomes an object by the command line, within containment; a payload in one becomes a refusal."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from iodeep.errors import CardError, InputError
from iodeep.model_object import read_descriptor
from iodeep.service.cli import app
from tests.nnunet_models import RECIPES, ROOT, trained_folder
from tests.sources import HEAD, completed

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:nvImageCodec")]


@pytest.fixture(autouse=True)
def one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "iodeep.toml").write_text("[run]\nthreads = 1\n")
    monkeypatch.setenv("IODEEP_CONFIG", str(tmp_path / "iodeep.toml"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("nnunet")
    command = [sys.executable, "-m", "tests.nnunet_models", str(out), "aniso:2d"]
    ran = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return trained_folder(RECIPES["aniso"], "2d", out / "results")


def packed(*arguments: object) -> dict[str, Any]:
    """What ``iodeep pack --json`` answers; errors as they are raised."""
    ended = CliRunner().invoke(app, ["pack", *map(str, arguments), "--json"], catch_exceptions=False)
    document: dict[str, Any] = json.loads(ended.stdout[ended.stdout.index("{") :])
    return document


def test_a_zip_is_begun_completed_compared_and_packed(tmp_path: Path, model: Path) -> None:
    whole = Path(shutil.make_archive(str(tmp_path / "exported"), "zip", model.parents[1], model.parent.name))
    begun = packed(whole, "--out", tmp_path / "draft")
    asked = {question["field"]: question["sentence"] for question in begun["questions"]}
    assert begun["kind"] == "nnunet"
    assert "SAR for images stored as RAS" in asked["preprocessing.0.axes"]
    assert {"segmentation.segments.0.type", "segmentation.segments.1.category", "licence.spdx"} <= set(asked)

    card = completed(Path(begun["card"]), tmp_path / "card.yaml", token="NNUNET")
    document = yaml.safe_load(card.read_text())
    document["preprocessing"][0]["axes"] = "SAR"
    card.write_text(yaml.safe_dump(document))
    done = packed(whole, "--card", card, "--out", tmp_path / "object", "--reference-series", HEAD)
    dice = list(done["agreement"]["dice"].values())
    assert len(dice) == 2
    assert min(dice) >= 0.999
    manifest = read_descriptor(Path(done["descriptor"])).manifest
    assert "nnU-Net" in (manifest.imported or "")
    assert sorted(file.role.value for file in manifest.files) == ["network"] * 2 + ["trainable"] * 4

    document["segmentation"]["restoration"] = None
    document["segmentation"]["activate"] = "mean"
    card.write_text(yaml.safe_dump(document))
    with pytest.raises(CardError, match=r"segmentation\.activate is 'restored' in the source"):
        packed(whole, "--card", card, "--out", tmp_path / "other", "--reference-series", HEAD)


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.marker),))


def test_a_payload_is_named_and_not_executed(tmp_path: Path, model: Path) -> None:
    import torch

    copy = shutil.copytree(model, tmp_path / model.name)
    path = copy / "fold_1" / "checkpoint_final.pth"
    content = torch.load(path, weights_only=False)
    torch.save({**content, "logging": Payload(tmp_path / "marker")}, path)
    with pytest.raises(
        InputError, match=r"fold_1/checkpoint_final\.pth holds more than weights and numbers"
    ) as refused:
        packed(copy, "--out", tmp_path / "draft")
    assert "mkdir" in str(refused.value.found)
    assert not (tmp_path / "marker").exists()
