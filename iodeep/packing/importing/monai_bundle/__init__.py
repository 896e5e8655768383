"""MONAI Bundles: configuration parsed as data, network and transforms from lists, everything else refused by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iodeep.errors import InputError
from iodeep.packing.importing.architectures import CLASSIFIERS
from iodeep.packing.importing.imported import ImportedNetwork, Question
from iodeep.packing.importing.importer import Importer
from iodeep.packing.importing.monai_bundle.bundle import Bundle, read_bundle
from iodeep.packing.importing.monai_bundle.inferers import inference_of
from iodeep.packing.importing.monai_bundle.postprocessing import Decoding, decoding_of
from iodeep.packing.importing.monai_bundle.preprocessing import steps_of
from iodeep.packing.importing.monai_bundle.reference import predicted
from iodeep.packing.importing.onnx_export import INPUT, OUTPUT, export_onnx, save_trainable
from iodeep.packing.importing.reference import ReferenceImage, ReferencePrediction
from iodeep.packing.importing.sources import SourceKind
from iodeep.packing.importing.torchscript.loading import load_script
from iodeep.packing.importing.weights import fill, load_state

NETWORK = "network.onnx"
_EXAMPLE = 64
"""Voxels an axis of the image that a network for whole volumes is exported with: most halve it four or five times."""


class MonaiBundle:
    """The importer of bundles."""

    def read(self, source: Path, out: Path) -> ImportedNetwork:
        """Parsed, mapped, exported."""
        bundle = read_bundle(source)
        said = _said(bundle)
        patches = said["network"]["inference"]["mode"] == "patches"
        size = said["network"]["inference"]["size"] if patches else [_EXAMPLE] * 3
        network = built(bundle)
        count = export_onnx(network, out / NETWORK, bundle.metadata.input_channels, size, free=not patches)
        files = {NETWORK: out / NETWORK}
        if bundle.architecture:
            files |= save_trainable(network, bundle.architecture.document(), out)
        said["network"]["trainable"] = [name for name in files if name != NETWORK]
        said |= _segmentation(bundle, decoding_of(bundle.postprocessing), count)
        return ImportedNetwork(
            SourceKind.MONAI_BUNDLE, said, files, _framework(), _questions(bundle), bundle.metadata.suggested()
        )

    def predict(
        self, source: Path, images: Sequence[ReferenceImage], card: Mapping[str, Any], out: Path
    ) -> ReferencePrediction:
        """By MONAI itself."""
        bundle = read_bundle(source)
        _said(bundle)
        decoding_of(bundle.postprocessing)
        channels = [segment["channel"] for segment in card["segmentation"]["segments"]]
        return predicted(bundle, built(bundle), images, channels, out)


def importer() -> Importer:
    """The importer of MONAI Bundles."""
    return MonaiBundle()


def built(bundle: Bundle) -> Any:
    """The network with its weights."""
    if bundle.architecture is None:
        return load_script(bundle.weights)
    network = bundle.architecture.built()
    fill(network, load_state(bundle.weights), f"models/{bundle.weights.name}")
    return network


def _said(bundle: Bundle) -> dict[str, Any]:
    if bundle.architecture and bundle.architecture.arguments.get("spatial_dims", 3) != 3:
        raise InputError(
            "the bundle's network is not one of three dimensions",
            expected="spatial_dims 3",
            remedy="Pack it as ONNX, TorchScript or a state dict with a card that says dimensions: 2D.",
        )
    if bundle.architecture and bundle.architecture.name in CLASSIFIERS:
        raise InputError(
            f"the bundle's network {bundle.architecture.name} classifies, and a bundle does not say what its classes mean",
            expected="a network that segments",
            remedy="Pack its state dict with architecture.json and a card that says the classes.",
        )
    metadata = bundle.metadata
    modality = {"modality": metadata.modality} if metadata.modality else {}
    return {
        "inputs": [{"name": name, **modality} for name in metadata.inputs],
        "preprocessing": steps_of(bundle.preprocessing, metadata.input_channels),
        "network": {"files": [NETWORK], "dimensions": "3D", "input_tensor": INPUT, **inference_of(bundle.inferer)},
    }


def _segmentation(bundle: Bundle, decoding: Decoding, count: int) -> dict[str, Any]:
    told = bundle.metadata.output_channels
    if told is not None and told != count:
        raise InputError("metadata.json says another number of output channels than the network has",
                         expected=f"{count}", found=f"{told}")  # fmt: skip
    said = decoding.said()
    segments = bundle.metadata.segments(said["decode"], count)
    if not segments:
        raise InputError("the bundle's output has no channel but background", expected="a name in channel_def")
    number = {segment["channel"]: segment["number"] for segment in segments}
    tidying = [
        {"step": step, "segments": [number[channel] for channel in channels if channel in number]}
        for step, channels in decoding.tidying
    ]
    return {"segmentation": {"tensor": OUTPUT, **said, "segments": segments}, "postprocessing": tidying}


def _questions(bundle: Bundle) -> tuple[Question, ...]:
    if bundle.metadata.modality:
        return ()
    return tuple(
        Question(f"inputs.{number}.modality", f"Which modality is the image {name!r}: CT, MR ...?")
        for number, name in enumerate(bundle.metadata.inputs)
    )


def _framework() -> str:
    import monai
    import torch

    return f"MONAI {monai.__version__}, torch {torch.__version__}"
