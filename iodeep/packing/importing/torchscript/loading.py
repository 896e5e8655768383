"""TorchScript is a program: it is loaded and run in the contained process alone, and never by a packed object's reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from iodeep.errors import InputError


def load_script(path: Path) -> Any:
    """The module in ``path``, on the CPU, in evaluation mode."""
    import torch

    load: Any = torch.jit.load
    try:
        return load(str(path), map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"{path.name} is no TorchScript that can be loaded",
            found=" ".join(str(error).split())[:300],
            remedy="Save it again with torch.jit.save, or export the network to ONNX where it was made.",
        ) from error
