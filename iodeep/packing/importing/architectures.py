"""Networks are built from classes on a list, with plain values as arguments; nothing that a source names is imported."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iodeep.errors import InputError

HOME = "monai.networks.nets"
SEGMENTERS = frozenset(
    "UNet BasicUNet BasicUNetPlusPlus DynUNet SegResNet SegResNetVAE AttentionUnet VNet HighResNet UNETR SwinUNETR".split()  # noqa: SIM905
)
CLASSIFIERS = frozenset("DenseNet DenseNet121 DenseNet169 DenseNet201 DenseNet264 SENet154".split())  # noqa: SIM905
ARCHITECTURES = SEGMENTERS | CLASSIFIERS
"""Classes of MONAI that compute with what they are given: none downloads weights or opens files with these arguments."""
_REFUSED = ("pretrained",)
MOST_JSON_BYTES = 1 << 20


@dataclass(frozen=True)
class Architecture:
    """A class of :data:`ARCHITECTURES` and its arguments, as JSON values."""

    name: str
    arguments: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.name not in ARCHITECTURES:
            raise InputError(
                f"the architecture {self.name!r} is not one that is built here",
                expected=f"one of {', '.join(sorted(ARCHITECTURES))} of {HOME}",
                remedy="Export the network to ONNX or TorchScript where it was made, and pack that.",
            )

    def document(self) -> dict[str, Any]:
        """For the JSON beside a trainable form; :func:`read_architecture` gives it back."""
        return {"architecture": f"{HOME}.{self.name}", "arguments": dict(self.arguments)}

    def built(self) -> Any:
        """The network, with weights as they come, in evaluation mode."""
        from monai.networks import nets

        kind = getattr(nets, self.name)
        known = inspect.signature(kind).parameters
        varied = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in known.values())
        for name, value in self.arguments.items():
            if (name not in known and not varied) or (name in _REFUSED and value):
                raise InputError(
                    f"{self.name} is given an argument {name!r} that it doesn't have here, or must not have",
                    found=f"{name} = {value!r}"[:200],
                    remedy="Correct the arguments of the network's definition.",
                )
        try:
            network = kind(**self.arguments)
        except (TypeError, ValueError, AssertionError, NotImplementedError, KeyError, AttributeError) as error:
            raise InputError(
                f"{self.name} cannot be built with its arguments: {' '.join(str(error).split())[:200]}",
                remedy="Correct the arguments of the network's definition, or use the version of MONAI that it was made for.",
            ) from error
        return network.eval()


def named_architecture(target: str) -> str:
    """The class's name out of ``UNet``, ``monai.networks.nets.UNet`` or ``monai.networks.nets.unet.UNet``."""
    home, _, name = target.rpartition(".")
    return name if home == "" or home == HOME or home.startswith(f"{HOME}.") else target


def read_architecture(path: Path) -> Architecture:
    """Of a JSON file ``{"architecture": "monai.networks.nets.UNet", "arguments": {...}}``."""
    if not path.is_file():
        raise InputError(
            f"{path.name} is missing beside the weights",
            expected='{"architecture": "monai.networks.nets.UNet", "arguments": {"spatial_dims": 3, ...}}',
            remedy="Write it: weights alone don't say what network they are of.",
        )
    if path.stat().st_size > MOST_JSON_BYTES:
        raise InputError(f"{path.name} is too large", expected=f"at most {MOST_JSON_BYTES} bytes")
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name} is not JSON: {error}") from error
    if not isinstance(document, dict) or set(document) != {"architecture", "arguments"}:
        raise InputError(f"{path.name} is no architecture", expected='"architecture" and "arguments"')
    name, arguments = document["architecture"], document["arguments"]
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise InputError(f"{path.name} is no architecture", expected="a class's name, and arguments by their names")
    return Architecture(named_architecture(name), arguments)
