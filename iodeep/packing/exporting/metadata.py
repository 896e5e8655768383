"""``configs/metadata.json``: the keys that the MONAI Bundle Specification asks for, out of the card.

Text of the card is made plain throughout (:mod:`iodeep.packing.exporting.plain`): MONAI reads expressions here too.
"""

from __future__ import annotations

from typing import Any

from iodeep.card import ModelCard, Patches, Resize
from iodeep.packing.exporting.plain import plain_document

MONAI_VERSION, PYTORCH_VERSION, NUMPY_VERSION = "1.6.1", "2.13.0", "2.4.6"
"""The versions that the configuration was tried with; the specification expects later ones to work."""
ONNXRUNTIME_VERSION = "1.31.1"


def metadata(card: ModelCard, channels: int | None) -> dict[str, Any]:
    """``channels``: of the first output, None where the network does not tell."""
    return dict(plain_document(_document(card, channels)))


def _document(card: ModelCard, channels: int | None) -> dict[str, Any]:
    segments = card.segmentation.segments if card.segmentation else ()
    return {
        "version": str(card.version),
        "changelog": {str(card.version): f"Released {card.released.isoformat()}."},
        "monai_version": MONAI_VERSION,
        "pytorch_version": PYTORCH_VERSION,
        "numpy_version": NUMPY_VERSION,
        "required_packages_version": {"onnxruntime": ONNXRUNTIME_VERSION},
        "name": card.name,
        "task": card.summary,
        "description": card.intended_use.purpose,
        "authors": f"{card.developer.name}, {card.developer.contact}",
        "copyright": f"{card.licence.spdx}; {card.licence.source}",
        "data_source": card.training.description,
        "data_type": "dicom",
        "image_classes": ", ".join(f"{each.name}: {each.modality}" for each in card.inputs),
        "pred_classes": ", ".join(segment.label for segment in segments),
        "eval_metrics": _evidence(card),
        "intended_use": " ".join([card.intended_use.purpose, *card.intended_use.limits]),
        "references": sorted({card.licence.source, *(each.source for each in card.performance if each.source)}),
        "network_data_format": {"inputs": {"image": _input(card)}, "outputs": {"pred": _output(card, channels)}},
    }


def _evidence(card: ModelCard) -> dict[str, Any]:
    """By metric and test set; the texts are values, so that no key of ours is somebody else's."""
    return {
        f"figure_{number}": {
            "metric": each.metric,
            "value": each.value,
            "low": each.low,
            "high": each.high,
            "test_set": each.test_set,
            "cases": each.cases,
        }
        for number, each in enumerate(card.performance, start=1)
    }


def _input(card: ModelCard) -> dict[str, Any]:
    context = 2 * card.network.context_slices + 1
    names = [each.name if context == 1 else f"{each.name} {n}" for each in card.inputs for n in range(context)]
    return {
        "type": "image",
        "format": "hounsfield" if card.modality == "CT" else "magnitude",
        "modality": card.modality,
        "num_channels": len(names),
        "spatial_shape": _shape(card),
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": isinstance(card.network.inference, Patches),
        "channel_def": {str(number): name for number, name in enumerate(names)},
    }


def _shape(card: ModelCard) -> list[int | str]:
    """Voxels that one call of the network sees; ``*``: any."""
    if isinstance(card.network.inference, Patches):
        return list(card.network.inference.size)
    sizes = [step.shape for step in card.preprocessing if isinstance(step, Resize)]
    whole: list[int | str] = list(sizes[-1]) if sizes else ["*"] * 3
    if card.network.dimensions != "3D":
        del whole[card.network.slice_axis]
    return whole


def _output(card: ModelCard, channels: int | None) -> dict[str, Any]:
    output = card.segmentation
    if output is None:
        head = card.classifications[0]
        return {
            "type": "probabilities",
            "format": "classes",
            "modality": "n/a",
            "num_channels": channels or max(each.channel for each in head.classes) + 1,
            "spatial_shape": [],
            "dtype": "float32",
            "value_range": [0, 1] if head.activation != "none" else [],
            "is_patch_data": False,
            "channel_def": {str(each.channel): each.code.meaning for each in head.classes},
        }
    named = {segment.channel: segment.label for segment in output.segments}
    if output.decode in ("argmax", "labels"):
        named.setdefault(0, "background")
    least = max(named) + 1
    return {
        "type": "image",
        "format": {"argmax": "labels", "threshold": "classes", "nested": "classes", "labels": "segmentation"}[
            output.decode
        ],
        "modality": "n/a",
        "num_channels": 1 if output.decode == "labels" else max(channels or 0, least),
        "spatial_shape": _shape(card),
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": isinstance(card.network.inference, Patches),
        "channel_def": {str(channel): label for channel, label in sorted(named.items())},
    }
