"""Networks are run here, in a process of their own, and only after their structure was checked.

This file is imported by that process too: keep it free of pydantic, onnx and scipy, which cost a short run dearly.
"""

from __future__ import annotations

from iodeep.inference.engine import Engine, run_in_process, run_model
from iodeep.inference.interface import TensorFacts
from iodeep.inference.structure import NetworkFacts, check_network

__all__ = [
    "Engine",
    "NetworkFacts",
    "TensorFacts",
    "check_network",
    "run_in_process",
    "run_model",
]
