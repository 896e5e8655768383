"""Networks as other frameworks keep them: MONAI Bundles, TorchScript, state dicts; of a small UNet that saw one series."""

from __future__ import annotations

import atexit
import json
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml

ROOT = Path(__file__).parents[1]
HEAD = ROOT / "sample_data" / "mr-head"
ARCHITECTURE: dict[str, Any] = {
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 3,
    "channels": [8, 16, 32],
    "strides": [2, 2],
    "num_res_units": 1,
    "norm": "batch",
}
ROI = [48, 48, 16]
ORIENTED: list[dict[str, Any]] = [
    {"_target_": "LoadImaged", "keys": "image"},
    {"_target_": "EnsureChannelFirstd", "keys": "image"},
    {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
]
BEFORE: list[dict[str, Any]] = [
    *ORIENTED,
    {"_target_": "NormalizeIntensityd", "keys": "@keys", "nonzero": True, "channel_wise": True},
    {"_target_": "Spacingd", "keys": "@keys", "pixdim": [3.0, 3.0, 4.0], "mode": "bilinear"},
    {"_target_": "EnsureTyped", "keys": "@keys", "device": "@device"},
]
AFTER: list[dict[str, Any]] = [
    {"_target_": "Activationsd", "keys": "pred", "softmax": True},
    {
        "_target_": "Invertd",
        "keys": "pred",
        "transform": "@preprocessing",
        "orig_keys": "image",
        "nearest_interp": False,
    },
    {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
    {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@bundle_root"},
]
SLIDING: dict[str, Any] = {
    "_target_": "SlidingWindowInferer", "roi_size": ROI, "sw_batch_size": 2, "overlap": 0.25, "mode": "gaussian",
}  # fmt: skip
METADATA: dict[str, Any] = {
    "version": "0.1.0",
    "name": "Head bundle",
    "description": "Tissue in MR of the head",
    "intended_use": "Shows how a bundle is imported",
    "data_source": "One series of the head",
    "network_data_format": {
        "inputs": {"image": {"type": "image", "format": "magnitude", "modality": "MR", "num_channels": 1}},
        "outputs": {"pred": {"num_channels": 3, "channel_def": {"0": "background", "1": "tissue", "2": "bright"}}},
    },
}


@dataclass(frozen=True)
class Trained:
    """The network's weights in a folder, as ``model.pt`` and ``model.ts``."""

    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "model.pt"

    @property
    def script(self) -> Path:
        return self.folder / "model.ts"


@cache
def trained_once() -> Trained:
    """The same for every test of a run; its folder goes with the run."""
    kept = TemporaryDirectory(prefix="iodeep-test-")
    atexit.register(kept.cleanup)
    return trained(Path(kept.name))


def trained(folder: Path, steps: int = 20) -> Trained:
    """Train for some seconds on what is brighter than two thresholds in the head, so that no mask is trivial."""
    import torch

    nets: Any = import_module("monai.networks.nets")
    torch.manual_seed(0)
    image, labels = _head()
    network = nets.UNet(**ARCHITECTURE)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    random = np.random.default_rng(0)
    for _ in range(steps):
        place = tuple(slice(at := int(random.integers(0, n - 32 + 1)), at + 32) for n in image.shape)
        loss = torch.nn.functional.cross_entropy(network(image[place][None, None]), labels[place][None])
        optimizer.zero_grad()
        step: Any = loss.backward
        step()
        optimizer.step()
    network.eval()
    torch.save(network.state_dict(), folder / "model.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is an older way: it is what is imported
        script: Any = torch.jit.script
        script(network).save(str(folder / "model.ts"))
    return Trained(folder)


def _head() -> tuple[Any, Any]:
    """About what the bundle's network will see, and what it is to find."""
    import torch

    from iodeep.service.subjects import local_series
    from iodeep.volume import open_series

    voxels = open_series(local_series(HEAD)[0]).read_volume().voxels.astype(np.float32)
    seen = torch.as_tensor(voxels.transpose(2, 1, 0)[::-2, ::-2].copy()).repeat_interleave(2, dim=2)
    held = seen != 0
    seen = torch.where(held, (seen - seen[held].mean()) / seen[held].std(), seen)
    return seen, (seen > 0.3).long() + (seen > 1.0).long()


def write_bundle(
    folder: Path,
    weights: Trained,
    *,
    before: Sequence[Mapping[str, Any]] = BEFORE,
    after: Sequence[Mapping[str, Any]] = AFTER,
    inferer: Mapping[str, Any] | None = None,
    network: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """A bundle as the Model Zoo has them."""
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    configuration = {
        "imports": ["$import glob", "$import os"],
        "bundle_root": ".",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "keys": "image",
        "datalist": "$list(sorted(glob.glob(@dataset_dir + '/*.nii.gz')))",
        "network_def": network or {"_target_": "UNet", **ARCHITECTURE},
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": list(before)},
        "inferer": inferer or SLIDING,
        "postprocessing": {"_target_": "Compose", "transforms": list(after)},
        "evaluator": {"_target_": "SupervisedEvaluator", "device": "@device", "network": "@network"},
    }
    (folder / "configs" / "inference.json").write_text(json.dumps(configuration))
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata or METADATA))
    shutil.copy(weights.state, folder / "models" / "model.pt")
    return folder


def write_state(folder: Path, weights: Trained) -> Path:
    """A state dict with its architecture."""
    folder.mkdir()
    document = {"architecture": "monai.networks.nets.UNet", "arguments": ARCHITECTURE}
    (folder / "architecture.json").write_text(json.dumps(document))
    shutil.copy(weights.state, folder / "weights.pt")
    return folder


def completed(draft: Path, card: Path, **further: Any) -> Path:
    """What a person adds to a draft."""
    document = yaml.safe_load(draft.read_text()) | further
    document |= {"released": "2026-01-31", "target": {"regions": ["HEAD"]}}
    document["developer"] = {"name": "Somebody", "contact": "somebody@example.org"}
    document["licence"] = {"spdx": "Apache-2.0", "source": "made here"}
    document["intended_use"] = {"purpose": "Tests", "limits": ["Not for patients."]}
    document.setdefault("training", {"description": "One series of the head"})
    for segment in document["segmentation"]["segments"]:
        segment["category"] = {"value": "123037004", "scheme": "SCT", "meaning": "Anatomical Structure"}
        segment["type"] = {"value": "12738006", "scheme": "SCT", "meaning": "Brain"}
    card.write_text(yaml.safe_dump(document, sort_keys=False))
    return card
