"""A model becomes files and card parts: one ONNX file and one trainable form a fold."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from iodeep.errors import InputError
from iodeep.packing.importing.imported import ImportedNetwork
from iodeep.packing.importing.nnunet import drafting
from iodeep.packing.importing.nnunet.architecture import described
from iodeep.packing.importing.nnunet.evidence import performance
from iodeep.packing.importing.nnunet.model import Model
from iodeep.packing.importing.onnx_export import export_onnx, save_trainable
from iodeep.packing.importing.sources import SourceKind


def imported(model: Model, out: Path) -> ImportedNetwork:
    """Everything that the source says, and the files below ``out``."""
    files, trainable = _written(model, out)
    question = drafting.orientation_question(model)
    card: dict[str, Any] = {
        "inputs": [dict(each) for each in model.inputs],
        "preprocessing": drafting.preprocessing(model),
        "network": drafting.network(model, list(files), list(trainable)),
        "segmentation": drafting.segmentation(model),
        "postprocessing": [],
    }
    if figures := performance(model):
        card["performance"] = figures
    cases = model.dataset.get("numTraining")
    if isinstance(cases, int) and cases > 0:
        card["training"] = {"cases": cases}
    return ImportedNetwork(
        kind=SourceKind.NNUNET,
        card=card,
        files={**files, **trainable},
        framework=framework(),
        questions=(question,) if question else (),
        suggested=_suggested(model),
        notes=tuple(_notes(model)),
    )


def framework() -> str:
    """What reads, exports and predicts."""
    return f"nnU-Net {version('nnunetv2')}, torch {version('torch')}"


def _written(model: Model, out: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    files: dict[str, Path] = {}
    trainable: dict[str, Path] = {}
    document = described(model.plan, len(model.inputs), model.labels.channels)
    for number, fold in enumerate(model.folds):
        network, stem = model.network(number), f"fold_{fold.name}"
        files[f"{stem}.onnx"] = out / f"{stem}.onnx"
        channels = export_onnx(network, files[f"{stem}.onnx"], len(model.inputs), model.plan.patch, free=False)
        if channels != model.labels.channels:
            raise InputError(
                "the network's output has another number of channels than dataset.json has labels",
                expected=f"{model.labels.channels}",
                found=f"{channels}",
            )
        trainable |= save_trainable(network, document, out, stem)
    return files, trainable


def _suggested(model: Model) -> dict[str, Any]:
    """Texts that a person may write otherwise."""
    dataset = model.plan.dataset.partition("_")[2] or model.plan.dataset or "nnU-Net"
    found: dict[str, Any] = {
        "name": f"{dataset} {model.plan.name}"[:48],
        "version": "1.0.0",
        "qualification": "RESEARCH",
    }
    found["summary"] = f"Segments {', '.join(model.labels.names)}"[:64]
    said = [model.dataset.get(name) for name in ("description", "reference")]
    texts = [text.strip() for text in said if isinstance(text, str) and text.strip()]
    if texts:
        found["training"] = {"description": "; ".join(texts)[:2000]}
    return found


def _notes(model: Model) -> list[str]:
    notes = [
        f"nnU-Net averages in float16, we in float32: the {len(model.folds)} folds' results can differ at borders of segments."
    ]
    if any(model.folder.glob("**/postprocessing.pkl")):
        notes.append(
            "postprocessing.pkl was not read: nnUNetv2_predict does not apply it either. Add steps to postprocessing by hand."
        )
    licence = model.dataset.get("licence", model.dataset.get("license"))
    if isinstance(licence, str) and licence.strip():
        notes.append(
            f"dataset.json says of the data's licence: {licence.strip()[:200]!r}; the network's own is asked for."
        )
    if "ignore" in (model.dataset.get("labels") or {}):
        notes.append("The ignore label says what not to learn from; the network has no output for it.")
    return notes
