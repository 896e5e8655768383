"""Checkpoints are read as tensors, numbers and texts: ``torch.load`` with ``weights_only=True`` and a list of four more names.

nnU-Net logs numpy's numbers beside its weights. What numpy needs to make a scalar of bytes is on the list, and nothing else.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iodeep.errors import InputError
from iodeep.packing.importing.nnunet.documents import REMEDY


@dataclass(frozen=True)
class Checkpoint:
    """What of a checkpoint counts: weights, and with what they were trained."""

    weights: Mapping[str, Any]
    trainer: str
    configuration: str
    plans: Mapping[str, Any]
    """As they were when it was trained; empty where the checkpoint doesn't keep them."""
    mirror_axes: tuple[int, ...]
    """Of the patch's axes."""


def read_checkpoint(path: Path, name: str) -> Checkpoint:
    """The checkpoint in ``path``; InputError naming the class where it holds anything that would have to be called."""
    import torch

    try:
        with torch.serialization.safe_globals(_numpy_scalars()):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, AttributeError, TypeError) as error:
        raise InputError(
            f"{name} holds more than weights and numbers, or is damaged",
            expected="a checkpoint as nnU-Net v2 saves it",
            found=_reason(error),
            remedy="Nothing of it was executed. Don't trust where it came from, or ask for the weights alone.",
        ) from error
    return _checkpoint(content, name)


def _numpy_scalars() -> list[Any]:
    """What pickles of numpy's numbers name: how a scalar is made, and of what types (both names of numpy's core)."""
    import numpy as np

    make = np.float64(0).__reduce__()[0]
    types = [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_)]
    return [make, (make, "numpy.core.multiarray.scalar"), np.dtype, *types]


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    named = re.search(r"GLOBAL (\S{1,120})", text)
    return named[1] if named else text[:200]


def _checkpoint(content: Any, name: str) -> Checkpoint:
    import torch

    if not isinstance(content, dict):
        raise _wrong(name, f"{type(content).__name__}")
    weights, arguments = content.get("network_weights"), content.get("init_args")
    trainer, axes = content.get("trainer_name"), content.get("inference_allowed_mirroring_axes")
    if not isinstance(weights, dict) or not weights or not all(torch.is_tensor(each) for each in weights.values()):
        raise _wrong(name, "no network_weights")
    if not isinstance(arguments, dict) or not isinstance(arguments.get("configuration"), str):
        raise _wrong(name, "no init_args with a configuration")
    mirrored = [] if axes is None else axes
    if not isinstance(trainer, str) or not isinstance(mirrored, list | tuple):
        raise _wrong(name, "no trainer_name, or mirroring axes that are none")
    if not all(isinstance(axis, int) and 0 <= axis <= 2 for axis in mirrored) or len(set(mirrored)) != len(mirrored):
        raise _wrong(name, f"mirroring axes {mirrored!r}"[:100])
    for key, tensor in weights.items():
        if not isinstance(key, str) or (tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())):
            raise _wrong(name, f"weights that are not numbers in {str(key)[:80]}")
    plans = arguments.get("plans")
    return Checkpoint(
        weights={key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in weights.items()},
        trainer=trainer,
        configuration=arguments["configuration"],
        plans=plans if isinstance(plans, dict) else {},
        mirror_axes=tuple(sorted(mirrored)),
    )


def _wrong(name: str, found: str) -> InputError:
    return InputError(f"{name} is no checkpoint of nnU-Net v2", found=found, remedy=REMEDY)
