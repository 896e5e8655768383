"""What decides which numbers a network gives on a machine, read inside the process that runs it, before it is contained.

Two machines of one fingerprint compute alike as far as versions, provider, precision and the processor's instructions decide; a result
of the self-test counts for its fingerprint alone.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

_X86_64 = (
    "sse4_1 sse4_2 avx f16c fma avx2 avx_vnni avx512f avx512bw avx512cd avx512dq avx512vl avx512_vnni avx512_bf16 avx512_fp16"
    " amx_tile amx_int8 amx_bf16 amx_fp16"
)
_AARCH64 = "asimd asimdhp asimddp asimdfhm fphp sve sve2 i8mm bf16 svei8mm svebf16 sme"
KERNEL_FEATURES = frozenset((*_X86_64.split(), *_AARCH64.split()))
"""Instruction sets by which ONNX Runtime and numpy choose among kernels, as Linux names them."""
_CPU_INFO = Path("/proc/cpuinfo")
_NVIDIA = Path("/proc/driver/nvidia")
_MOST_BYTES = 1 << 16


@dataclass(frozen=True)
class RuntimeFacts:
    """What the numbers depend on besides model and image."""

    runtime: str
    """Such as ``onnxruntime 1.31.1``."""
    provider: str
    """As ``[run] provider`` names it."""
    options: str
    """What the provider and the session were told, as ``name=value`` in order."""
    precision: str
    iodeep: str
    numpy: str
    architecture: str
    features: str
    """Instruction sets, in order."""
    device: str = ""
    """Name and driver of a GPU, where one is used."""

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def __str__(self) -> str:
        device = f" on {self.device}" if self.device else ""
        return f"{self.runtime} {self.provider} {self.precision}{device} ({self.architecture}, IODeep {self.iodeep})"


def facts_of_document(document: Mapping[str, str]) -> RuntimeFacts:
    """The facts that a process told; TypeError where they are not such."""
    return RuntimeFacts(**{str(name): str(value) for name, value in document.items()})


def runtime_facts(
    runtime: str, provider: str, options: Mapping[str, str], precision: str, *, gpu: bool
) -> RuntimeFacts:
    """The facts of this process on this machine."""
    import numpy as np

    from iodeep import __version__

    return RuntimeFacts(
        runtime=runtime,
        provider=provider,
        options=" ".join(f"{name}={value}" for name, value in sorted(options.items())),
        precision=precision,
        iodeep=__version__,
        numpy=np.__version__,
        architecture=platform.machine(),
        features=" ".join(cpu_features()),
        device=gpu_device() if gpu else "",
    )


def cpu_features(source: Path = _CPU_INFO) -> list[str]:
    """The processor's instruction sets that change kernels; empty where the system doesn't tell."""
    for line in _text(source).splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return sorted(KERNEL_FEATURES.intersection(value.split()))
    return []


def gpu_device(source: Path = _NVIDIA) -> str:
    """Models of the NVIDIA GPUs and the version of their driver; empty where there is none."""
    models = []
    for each in sorted(source.glob("gpus/*/information")):
        models += [line.partition(":")[2].strip() for line in _text(each).splitlines() if line.startswith("Model:")]
    version = _text(source / "version").splitlines()
    driver = next((word for word in version[0].split() if word[:1].isdigit() and "." in word), "") if version else ""
    return f"{', '.join(models)} driver {driver}" if models else ""


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_MOST_BYTES)
    except OSError:
        return ""
