"""What kind of source a file or folder is, by the names in it; nothing of it is interpreted."""

from __future__ import annotations

import zipfile
from enum import StrEnum
from pathlib import Path

from iodeep.errors import InputError


class SourceKind(StrEnum):
    """The frameworks whose networks can be packed."""

    ONNX = "onnx"
    MONAI_BUNDLE = "monai-bundle"
    NNUNET = "nnunet"
    TORCHSCRIPT = "torchscript"
    STATE_DICT = "state-dict"


KNOWN = (
    "a MONAI Bundle (configs/metadata.json), an nnU-Net v2 results folder (plans.json, dataset.json, fold_*), "
    "TorchScript (.ts, .pt), a state dict (.pt, .pth, .safetensors) with its architecture.json, or ONNX"
)
STATE_SUFFIXES = (".pt", ".pth", ".ckpt", ".safetensors")


def recognise(path: Path) -> SourceKind:
    """The kind of ``path``; InputError naming all kinds where it is none of them."""
    kind = _of_folder(path) if path.is_dir() else _of_file(path)
    if kind is None:
        raise InputError(f"{path.name} is no network that can be imported", expected=KNOWN)
    return kind


def _of_folder(folder: Path) -> SourceKind | None:
    if (folder / "configs" / "metadata.json").is_file():
        return SourceKind.MONAI_BUNDLE
    if any(next(folder.glob(f"{depth}plans.json"), None) for depth in ("", "*/", "*/*/")):
        return SourceKind.NNUNET  # or one a configuration, as nnU-Net exports them
    names = sorted(each.name for each in folder.iterdir() if each.is_file())
    if any(name.endswith(".onnx") for name in names):
        return SourceKind.ONNX
    if "architecture.json" in names and any(name.endswith(STATE_SUFFIXES) for name in names):
        return SourceKind.STATE_DICT
    scripts = [name for name in names if name.endswith((".ts", ".pt"))]
    return _of_file(folder / scripts[0]) if len(scripts) == 1 else None


def _of_file(file: Path) -> SourceKind | None:
    if file.suffix == ".onnx":
        return SourceKind.ONNX
    if file.suffix == ".safetensors":
        return SourceKind.STATE_DICT
    if not zipfile.is_zipfile(file):
        return SourceKind.STATE_DICT if file.suffix in STATE_SUFFIXES else None
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
    parts = {tuple(name.split("/")[1:]) for name in names}
    if ("constants.pkl",) in parts and any(len(each) > 1 and each[0] == "code" for each in parts):
        return SourceKind.TORCHSCRIPT
    return SourceKind.STATE_DICT if ("data.pkl",) in parts else None
