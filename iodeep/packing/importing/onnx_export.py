"""A torch network becomes ONNX by torch's own exporter, which runs it once; what comes out is checked like any other ONNX.

The exporter that traces (``dynamo=False``) is the one: it needs no compiler, keeps batch normalisation, and gives operators of
opset 17 that the reviewed list has.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from iodeep.errors import InputError, NetworkError

OPSET = 17
INPUT, OUTPUT = "image", "output"


def first_output(network: Any) -> Any:
    """The module that gives a network's first output: with deep supervision there are more, for training alone.

    TorchScript stays as it is: a trace doesn't go into it, and the exporter names its first output.
    """
    import torch

    if isinstance(network, torch.jit.ScriptModule):
        return network

    class First(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: Any) -> Any:
            found = self.network(image)
            return found[0] if isinstance(found, list | tuple) else found

    return First().eval()


def export_onnx(network: Any, path: Path, channels: int, size: Sequence[int], *, free: bool) -> int:
    """Write ``network`` to ``path``; the number of its output's channels.

    ``size``: spatial axes of the example that it is run on. ``free``: other sizes will come too.
    """
    import torch

    example = torch.zeros((1, channels, *size), dtype=torch.float32)
    spatial = {axis + 2: f"axis_{axis}" for axis in range(len(size))} if free else {}
    whole = first_output(network)
    try:
        with torch.no_grad():
            output = whole(example)
            output = output[0] if isinstance(output, list | tuple) else output
            _check(output, path.name)
            axes = {INPUT: {0: "n", **spatial}, OUTPUT: {0: "n", **(spatial if output.ndim > 2 else {})}}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about tracing, and that this exporter is the older one
                torch.onnx.export(
                    whole,
                    (example,),
                    str(path),
                    input_names=[INPUT],
                    output_names=[OUTPUT],
                    dynamic_axes=axes,
                    opset_version=OPSET,
                    dynamo=False,
                )
    except (RuntimeError, TypeError, ValueError, IndexError, AssertionError, torch.onnx.OnnxExporterError) as error:
        raise NetworkError(
            f"the network could not be run or exported on an image of {' x '.join(map(str, size))}",
            found=" ".join(str(error).split())[:300],
            remedy="Check the number of channels and the window; or export it to ONNX where it was made, and pack that.",
        ) from error
    return int(output.shape[1])


def _check(output: Any, name: str) -> None:
    import torch

    if not torch.is_tensor(output) or output.ndim not in (2, 4, 5) or output.dtype is not torch.float32:
        raise InputError(
            f"the network behind {name} gives something else than one tensor of float32 with channels",
            found=f"{type(output).__name__} {tuple(output.shape) if torch.is_tensor(output) else ''}",
        )


def save_trainable(network: Any, document: dict[str, Any], out: Path, stem: str = "network") -> dict[str, Path]:
    """The trainable form beside: safetensors, and the architecture's JSON."""
    import json

    from safetensors.torch import save_model

    weights, described = out / f"{stem}.safetensors", out / f"{stem}.json"
    save_model(network, str(weights))
    described.write_text(json.dumps(document, indent=1))
    return {weights.name: weights, described.name: described}
