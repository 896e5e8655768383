"""What networks can be run with, by the names that settings and commands have for it."""

from __future__ import annotations

from enum import StrEnum


class ProviderName(StrEnum):
    """An execution provider, and how it is told to compute."""

    CPU = "cpu"
    CPU_PLAIN = "cpu-plain"
    """The same without rewriting the graph: slower, for finding out what a difference is due to."""
    OPENVINO = "openvino"
    CUDA = "cuda"
