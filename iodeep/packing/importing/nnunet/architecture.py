"""The network of the plans, built from a list of classes with plain values; it takes its weights without making any.

It is built on torch's device ``meta``, where a tensor is a shape and no memory: a network that is absurdly large costs nothing, and
its weights, which are there already, decide whether it is the one.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from iodeep.errors import InputError
from iodeep.packing.importing.nnunet.documents import REMEDY, field
from iodeep.packing.importing.nnunet.plans import Plan

_HOME = "dynamic_network_architectures.architectures."
CLASSES = {
    **dict.fromkeys((f"{_HOME}unet.PlainConvUNet", "PlainConvUNet"), "PlainConvUNet"),
    **dict.fromkeys(
        (f"{_HOME}unet.ResidualEncoderUNet", f"{_HOME}residual_unet.ResidualEncoderUNet", "ResidualEncoderUNet"),
        "ResidualEncoderUNet",
    ),
    **dict.fromkeys(
        (f"{_HOME}unet.ResidualUNet", f"{_HOME}residual_unet.ResidualUNet", "ResidualUNet"), "ResidualUNet"
    ),
}
_LAYERS = {
    "conv_op": ("Conv2d", "Conv3d"),
    "norm_op": ("InstanceNorm2d", "InstanceNorm3d", "BatchNorm2d", "BatchNorm3d"),
    "dropout_op": ("Dropout2d", "Dropout3d"),
    "nonlin": ("LeakyReLU", "ReLU", "GELU", "ELU", "PReLU", "SiLU", "Mish"),
}
_MODULES = ("torch.nn", "torch.nn.modules")
_GIVEN = frozenset({"input_channels", "num_classes", "deep_supervision", "self", "block"})
MOST = 4096
"""Of any number of stages, features, kernels and convolutions in the plans; a stage more than 16 is none of nnU-Net's."""


def built(plan: Plan, channels: int, classes: int) -> Any:
    """The network of ``plan`` on the device ``meta``, without deep supervision, in evaluation mode."""
    import torch
    from dynamic_network_architectures.architectures import unet

    described = _architecture(plan.settings)
    asked = field(described, "network_class_name", str, "plans.json")
    if asked not in CLASSES:
        raise InputError(
            f"the network class {asked[:120]!r} is not one that is built here",
            expected=", ".join(sorted(name for name in CLASSES if "." not in name)),
            remedy="Export the network to ONNX where it was made, and pack that.",
        )
    kind = getattr(unet, CLASSES[asked])
    arguments = _arguments(field(described, "arch_kwargs", dict, "plans.json"), kind)
    try:
        with torch.device("meta"):
            network = kind(input_channels=channels, num_classes=classes, deep_supervision=False, **arguments)
    except (TypeError, ValueError, AssertionError, IndexError, RuntimeError) as error:
        raise InputError(
            f"{CLASSES[asked]} cannot be built with the plans' arguments: {' '.join(str(error).split())[:200]}",
            remedy=REMEDY,
        ) from error
    return network.eval()


def described(plan: Plan, channels: int, classes: int) -> dict[str, Any]:
    """The architecture's JSON beside the trainable form."""
    found = _architecture(plan.settings)
    return {
        "architecture": f"{_HOME}unet.{CLASSES[found['network_class_name']]}",
        "arguments": {**found["arch_kwargs"], "input_channels": channels, "num_classes": classes},
    }


def fill(network: Any, weights: Mapping[str, Any], name: str) -> None:
    """Give ``network`` its weights: every name and every shape has to agree."""
    wanted = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in weights.items()}
    if wanted != given:
        odd = sorted(key for key in wanted.keys() | given.keys() if wanted.get(key) != given.get(key))
        raise InputError(
            f"the weights in {name} are not those of the network in plans.json",
            expected=f"{odd[0]} {wanted.get(odd[0], 'left out')}",
            found=f"{given.get(odd[0], 'none')}, and {len(odd) - 1} more that differ",
            remedy="Bring the plans.json that the network was trained with.",
        )
    network.load_state_dict(dict(weights), strict=True, assign=True)


def _architecture(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The description of 2.4 and later, or that of before in its words (as ``ConfigurationManager`` does)."""
    if "architecture" in settings:
        found: Mapping[str, Any] = field(settings, "architecture", dict, "plans.json")
        return found
    kind = field(settings, "UNet_class_name", str, "plans.json")
    per_stage = field(settings, "n_conv_per_stage_encoder", list, "plans.json")
    least, most = (
        field(settings, key, int, "plans.json") for key in ("UNet_base_num_features", "unet_max_num_features")
    )
    size = len(field(settings, "patch_size", list, "plans.json"))
    return {
        "network_class_name": kind,
        "arch_kwargs": {
            "n_stages": len(per_stage),
            "features_per_stage": [min(least * 2**stage, most) for stage in range(min(len(per_stage), 16))],
            "conv_op": f"torch.nn.Conv{size}d",
            "kernel_sizes": settings.get("conv_kernel_sizes"),
            "strides": settings.get("pool_op_kernel_sizes"),
            "n_conv_per_stage" if kind == "PlainConvUNet" else "n_blocks_per_stage": per_stage,
            "n_conv_per_stage_decoder": settings.get("n_conv_per_stage_decoder"),
            "conv_bias": True,
            "norm_op": f"torch.nn.InstanceNorm{size}d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
    }


def _arguments(given: Mapping[str, Any], kind: type) -> dict[str, Any]:
    known = set(inspect.signature(kind).parameters) - _GIVEN
    found = {}
    for name, value in given.items():
        if name not in known:
            raise InputError(
                f"plans.json gives the network an argument {name[:80]!r} that cannot be given here",
                expected=", ".join(sorted(known)),
                remedy=REMEDY,
            )
        found[name] = _layer(name, value) if name in _LAYERS else _plain(name, value)
    return found


def _layer(name: str, value: Any) -> Any:
    """The class of torch.nn that a name on the list means."""
    import torch

    if value is None:
        return None
    home, _, short = str(value).rpartition(".")
    if short not in _LAYERS[name] or not (home in _MODULES or home.startswith("torch.nn.modules.")):
        raise InputError(
            f"plans.json names {str(value)[:120]!r} as {name}, which is not one that is used here",
            expected=", ".join(f"torch.nn.{each}" for each in _LAYERS[name]),
            remedy="Export the network to ONNX where it was made, and pack that.",
        )
    return getattr(torch.nn, short)


def _plain(name: str, value: Any, depth: int = 0) -> Any:
    """Numbers, truth values and short lists and mappings of them."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and 0 <= value <= MOST:
        return value
    if isinstance(value, list) and depth < 3 and len(value) <= 16:
        return [_plain(name, each, depth + 1) for each in value]
    if isinstance(value, dict) and depth == 0 and len(value) <= 16:
        return {str(key): _plain(name, each, depth + 1) for key, each in value.items()}
    raise InputError(
        f"plans.json gives the network {name} a value that no network of nnU-Net's has",
        expected=f"numbers of 0 to {MOST}, and short lists of them",
        found=repr(value)[:100],
        remedy=REMEDY,
    )
