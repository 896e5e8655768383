"""What a network may be run with: the execution providers by the names that ``[run] provider`` has for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from iodeep.terms.providers import ProviderName

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Provider:
    """One way of computing: ONNX Runtime's provider, what it is told, and the precision that comes out of it."""

    name: ProviderName
    ort: str
    options: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    optimised: bool = True
    """Whether the graph is rewritten before it runs: other kernels, other rounding."""
    precision: str = "fp32"
    """Of what the network leaves open; a network with fp16 tensors computes those in fp16."""
    gpu: bool = False

    @property
    def told(self) -> Mapping[str, str]:
        """All options, for a fingerprint."""
        return {**self.options, "graph_optimization": "all" if self.optimised else "none"}


PROVIDERS: Mapping[ProviderName, Provider] = MappingProxyType(
    {
        each.name: each
        for each in (
            Provider(ProviderName.CPU, "CPUExecutionProvider"),
            Provider(ProviderName.CPU_PLAIN, "CPUExecutionProvider", optimised=False),
            Provider(ProviderName.OPENVINO, "OpenVINOExecutionProvider", {"device_type": "CPU"}),
            Provider(ProviderName.CUDA, "CUDAExecutionProvider", {"use_tf32": "0"}, gpu=True),
        )
    }
)


def offered(available: Sequence[str]) -> tuple[ProviderName, ...]:
    """Those whose ONNX Runtime provider is among ``available``, in the order of the table."""
    return tuple(name for name, each in PROVIDERS.items() if each.ort in available)
