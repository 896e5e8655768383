"""The trainable form of a model as MONAI has it: a state dict, and the network's class with plain arguments.

Class and arguments came with the model, and MONAI builds whatever a configuration names: so the class is one of a list, and its
arguments are numbers, words and lists of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from iodeep.card import ModelCard
from iodeep.errors import InputError
from iodeep.packing.importing.architectures import HOME, Architecture, read_architecture

STATE = "model.pt"
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}")
_DEEPEST = 4


@dataclass(frozen=True)
class Trained:
    """An architecture and its weights as safetensors."""

    architecture: Architecture
    weights: Path

    def component(self) -> dict[str, Any]:
        """As a configuration names it."""
        return {"_target_": f"{HOME}.{self.architecture.name}", **self.architecture.arguments}

    def write_state(self, folder: Path) -> None:
        """``model.pt``: the tensors by name, those that share their memory under each of their names."""
        import torch
        from safetensors import safe_open

        with safe_open(self.weights, "pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            shared = file.metadata() or {}
        state |= {name: state[kept] for name, kept in shared.items() if kept in state}
        torch.save(state, folder / STATE)


def trained_of(card: ModelCard, files: Mapping[str, Path]) -> tuple[Trained | None, str]:
    """The trainable form that MONAI can build, or None and why not; nothing to say where the model has none."""
    names = card.network.trainable
    if not names:
        return None, ""
    weights = [name for name in names if name.endswith(".safetensors")]
    described = [name for name in names if name.endswith(".json")]
    if len(weights) != 1 or len(described) != 1 or len(names) != 2:
        return None, "The trainable form is not one safetensors file with one architecture: it lies in models as it is."
    try:
        architecture = read_architecture(files[described[0]])
    except InputError as error:
        return None, f"The trainable form lies in models as it is: {error.problem}."
    if not _is_plain(dict(architecture.arguments)):
        return None, "The trainable form lies in models as it is: its architecture has arguments that are not plain."
    if find_spec("torch") is None or find_spec("safetensors") is None:
        return None, f"models/{STATE} is not there: torch and safetensors are not installed where this was written."
    return Trained(architecture, files[weights[0]]), ""


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Nothing that a configuration would take for an expression, a reference, a macro or a component."""
    if isinstance(value, dict):
        keys = all(isinstance(key, str) and _KEY.fullmatch(key) for key in value)
        return keys and depth < _DEEPEST and all(_is_plain(each, depth + 1) for each in value.values())
    if isinstance(value, list):
        return depth < _DEEPEST and all(_is_plain(each, depth + 1) for each in value)
    if isinstance(value, str):
        return _WORD.fullmatch(value) is not None
    return value is None or (isinstance(value, int | float) and math.isfinite(value))
