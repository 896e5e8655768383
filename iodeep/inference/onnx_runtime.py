"""ONNX Runtime, which opens no file: every graph optimisation, weights out of the mapped files themselves.

Within the model's bytes they would take 2.3 times the memory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # from 1.29 on it otherwise reports to its maker, from the import on
import onnxruntime

from iodeep.errors import InferenceError, IODeepError
from iodeep.inference.detached import Weight, detached
from iodeep.inference.fingerprint import RuntimeFacts, runtime_facts
from iodeep.inference.image import Floats
from iodeep.inference.network_files import NetworkContent
from iodeep.inference.providers import PROVIDERS, Provider, offered
from iodeep.inference.runtime import Session
from iodeep.terms.providers import ProviderName

CPU = "CPUExecutionProvider"
_OUT_OF_MEMORY = re.compile(r"bad_alloc|failed to allocate memory|bad allocation|not enough memory", re.IGNORECASE)


def execution_providers() -> list[str]:
    """What the installed runtime could run networks on."""
    return list(onnxruntime.get_available_providers())


def offered_providers() -> tuple[ProviderName, ...]:
    """The same by our names, as far as there is one."""
    return offered(execution_providers())


class OnnxRuntime:
    """``threads`` 0: as many as the machine has cores."""

    def __init__(self, threads: int, provider: Provider = PROVIDERS[ProviderName.CPU]) -> None:
        self._threads = threads
        self._provider = provider

    @property
    def name(self) -> str:
        """Such as ``onnxruntime 1.31.1 CPUExecutionProvider fp32``."""
        plain = "" if self._provider.optimised else " without graph optimisation"
        return f"onnxruntime {onnxruntime.__version__} {self._provider.ort} {self._provider.precision}{plain}"

    def facts(self) -> RuntimeFacts:
        """What its numbers depend on, on this machine."""
        each = self._provider
        version = f"onnxruntime {onnxruntime.__version__}"
        return runtime_facts(version, each.name.value, each.told, each.precision, gpu=each.gpu)

    def load(self, network: NetworkContent, input_tensor: str) -> Session:
        """Make ready a checked network."""
        options = onnxruntime.SessionOptions()
        levels = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_ENABLE_ALL if self._provider.optimised else levels.ORT_DISABLE_ALL
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = 4
        # waiting threads that spin take a fifth more CPU, and the cores from whatever works between two calls
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        model, weights = detached(network)
        try:
            values = [
                onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(weight.values, weight.onnx_type)
                for weight in weights
            ]
            options.add_external_initializers([weight.name for weight in weights], values)
            session = onnxruntime.InferenceSession(model, options, providers=self._asked())
        except Exception as error:  # the runtime's own classes have no common base
            raise _told(error, f"the network {network.name} could not be loaded") from error
        self._check_used(session)
        return _OnnxSession(session, network.name, input_tensor, weights)

    def _asked(self) -> list[tuple[str, dict[str, str]]]:
        """The provider, and the CPU's for what it has no kernel for."""
        providers = [(self._provider.ort, dict(self._provider.options)), (CPU, {})]
        return providers[1:] if self._provider.ort == CPU else providers

    def _check_used(self, session: Any) -> None:
        """The runtime takes the CPU without a word where another provider cannot be loaded: then nothing is run."""
        used = session.get_providers()
        if used[0] != self._provider.ort:
            raise InferenceError(
                f"the execution provider {self._provider.name.value} cannot be used here",
                expected=self._provider.ort,
                found=", ".join(used),
                remedy="Set provider under [run] in iodeep.toml to one that `iodeep doctor` lists, such as cpu.",
            )


class _OnnxSession:
    def __init__(self, session: Any, name: str, input_tensor: str, weights: Sequence[Weight]) -> None:
        self._session = session
        self._weights = weights  # the runtime looks at them and owns them not
        self._name = name
        self._input = input_tensor

    def run(self, tensor: Floats, outputs: Sequence[str]) -> list[np.ndarray[Any, Any]]:
        try:
            found: list[np.ndarray[Any, Any]] = self._session.run(list(outputs), {self._input: tensor})
        except Exception as error:  # the runtime's own classes have no common base
            raise _told(error, f"the network {self._name} failed on an image of {tensor.shape}") from error
        return found


def _told(error: Exception, problem: str) -> IODeepError | MemoryError:
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(text):
        return MemoryError()
    return InferenceError(
        problem,
        found=text.encode("ascii", "replace").decode()[:300],
        remedy="Check the card's input_tensor, inference size and preprocessing against the network.",
    )
