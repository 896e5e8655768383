"""Weights are read as tensors and nothing else: ``torch.load`` with ``weights_only=True``, or safetensors."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from iodeep.errors import InputError

_WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "net")
"""Keys under which checkpoints keep the weights."""
_PREFIXES = ("module.", "_orig_mod.", "net.", "model.", "network.")
"""What data-parallel training, compilation and trainers put before each name."""


def load_state(path: Path) -> dict[str, Any]:
    """Tensors by name; InputError where the file holds anything that would have to be executed to be read."""
    if path.suffix == ".safetensors":
        return _safetensors(path)
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path.name} is not a file of weights alone",
            expected="tensors, as torch.save(network.state_dict(), ...) writes them",
            found=" ".join(str(error).split())[:300],
            remedy="Save the state dict alone, or as safetensors. What has to be executed to be read is not read.",
        ) from error
    return _tensors(content, path.name)


def _safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise InputError(f"{path.name} is not a safetensors file: {error}") from error


def _tensors(content: Any, name: str) -> dict[str, Any]:
    import torch

    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content or not all(torch.is_tensor(each) for each in content.values()):
        raise InputError(
            f"{name} holds no state dict",
            expected=f"tensors by name, or such a dictionary under one of {', '.join(_WRAPPERS)}",
            found=type(content).__name__,
        )
    return {str(key): value for key, value in content.items()}


def fill(network: Any, state: dict[str, Any], name: str) -> None:
    """Put ``state`` into ``network``; every name has to agree, but for one prefix that all may have."""
    wanted = set(network.state_dict())
    for prefix in ("", *_PREFIXES):
        if all(key.startswith(prefix) for key in state) and {key.removeprefix(prefix) for key in state} & wanted:
            state = {key.removeprefix(prefix): value for key, value in state.items()}
            break
    missing, further = sorted(wanted - set(state)), sorted(set(state) - wanted)
    if missing or further:
        raise InputError(
            f"the weights in {name} are not those of the network that is defined",
            expected=f"{len(wanted)} tensors" + (f", among them {missing[0]}" if missing else ""),
            found=f"{len(state)}" + (f", among them {further[0]}" if further else ""),
            remedy="Correct the network's arguments, or give the weights that belong to it.",
        )
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            f"the weights in {name} have other shapes than the network that is defined",
            found=" ".join(str(error).split())[:300],
            remedy="Correct the network's arguments, or give the weights that belong to it.",
        ) from error
