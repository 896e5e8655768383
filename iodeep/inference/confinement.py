"""What the inference process takes on itself before it touches a network: limits, and not to outlive its parent.

The memory limit is RLIMIT_DATA: on Linux it counts private memory that can be written to. RLIMIT_AS would count address
space, of which threads, memory pools and mapped weights reserve far more than they use.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1


def confine(parent: int, memory: int) -> None:
    """Limit memory to ``memory`` bytes, leave no core dump (it would hold patient data), and die with ``parent``."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit("the parent is gone")
