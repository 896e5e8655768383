"""The bundle's own prediction: MONAI's transforms, inferer and network, instantiated by us out of what was parsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from iodeep.packing.importing.monai_bundle import postprocessing, preprocessing
from iodeep.packing.importing.monai_bundle.bundle import Bundle
from iodeep.packing.importing.monai_bundle.configuration import Component
from iodeep.packing.importing.onnx_export import first_output
from iodeep.packing.importing.reference import ReferenceImage, ReferencePrediction

_OURS = frozenset({"keys", "device", "dtype", "transform", "orig_keys", "meta_keys", "meta_key_postfix", "orig_meta_keys",
                   "to_tensor", "source_key", "meta_dict_key_postfix", "reader"})  # fmt: skip
"""Arguments that name keys, places and types: ours are given instead, or MONAI's own defaults left."""


def predicted(
    bundle: Bundle, network: Any, images: Sequence[ReferenceImage], channels: Sequence[int], out: Path
) -> ReferencePrediction:
    """``channels``: of the card's segments."""
    import torch

    before = _before(bundle.preprocessing)
    data = before({"image": [str(path) for path in _as_nifti(images, out)]})
    with torch.no_grad():
        batch = data["image"][None]
        data["pred"] = _inferer(bundle.inferer)(inputs=batch, network=first_output(network))[0]
        data["pred"] = _with_place(data["pred"], data["image"])
    after = _after(bundle.postprocessing, before)
    return ReferencePrediction(_masks(after(data)["pred"], channels))


def _with_place(pred: Any, image: Any) -> Any:
    """``pred`` as a MetaTensor with the image's place, as MONAI's engines make it."""
    kind = import_module("monai.data").MetaTensor
    pred = pred if isinstance(pred, kind) else kind(pred)
    pred.copy_meta_from(image)
    return pred


def _as_nifti(images: Sequence[ReferenceImage], out: Path) -> list[Path]:
    """NIfTI-2 files, whose affine has float64: (column, row, slice), in RAS."""
    nibabel: Any = import_module("nibabel")
    paths = []
    for number, image in enumerate(images):
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine[:, [2, 1, 0, 3]]
        path = out / f"image-{number}.nii"
        nibabel.save(nibabel.Nifti2Image(np.ascontiguousarray(image.voxels.transpose(2, 1, 0)), affine), path)
        paths.append(path)
    return paths


def _before(transforms: Sequence[Component]) -> Any:
    monai = import_module("monai.transforms")

    made = [monai.LoadImaged(keys="image"), monai.EnsureChannelFirstd(keys="image")]
    for transform in transforms:
        if transform.name not in preprocessing.NO_EFFECT:
            further = {"source_key": "image"} if transform.name == "CropForegroundd" else {}
            made.append(getattr(monai, transform.name)(keys="image", **further, **_arguments(transform)))
    return monai.Compose(made)


def _after(transforms: Sequence[Component], before: Any) -> Any:
    monai = import_module("monai.transforms")

    made = []
    for transform in transforms:
        if transform.name in postprocessing.NO_EFFECT:
            continue
        further = {"transform": before, "orig_keys": "image"} if transform.name == "Invertd" else {}
        made.append(getattr(monai, transform.name)(keys="pred", **further, **_arguments(transform)))
    if not any(transform.name == "Invertd" for transform in transforms):
        made.append(monai.Invertd(keys="pred", transform=before, orig_keys="image", nearest_interp=True))
    return monai.Compose(made)


def _arguments(transform: Component) -> Mapping[str, Any]:
    return {name: value for name, value in transform.arguments.items() if name not in _OURS}


def _inferer(component: Component) -> Any:
    inferers = import_module("monai.inferers")
    given = {
        name: value for name, value in component.arguments.items() if name not in ("device", "sw_device", "progress")
    }
    return getattr(inferers, component.name)(**given)


def _masks(pred: Any, channels: Sequence[int]) -> dict[int, npt.NDArray[np.bool_]]:
    """By channel: one map of labels, or one map a channel; axes back to (slice, row, column)."""
    values = np.asarray(pred.cpu().numpy() if hasattr(pred, "cpu") else pred)
    maps = values.transpose(0, 3, 2, 1)
    if len(maps) == 1 and max(channels) > 0:
        return {channel: np.rint(maps[0]).astype(np.int64) == channel for channel in channels}
    return {channel: maps[channel] > 0.5 for channel in channels}
