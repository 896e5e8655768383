"""What this machine refuses of the containment of networks, found out by containing a process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

DECISIVE = "seccomp"
"""The layer that alone closes files, network and programs; the others are there for the day that it has a hole."""
REMEDY = "See `What contains a network` in docs/security.md for what the machine or the container would have to allow."
_LONGEST_S = 60
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}
"""numpy starts no threads: they would stay outside of some layers."""


def lacking_layers() -> Mapping[str, str]:
    """A sentence for each layer that is lacking; empty is as it should be."""
    program = [sys.executable, "-I", "-m", "iodeep.inference.containment_report"]
    try:
        ended = subprocess.run(
            program, capture_output=True, text=True, env=_ENVIRONMENT, timeout=_LONGEST_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return {DECISIVE: f"The inference process cannot be contained: {error}."}
    return dict(line.split("\t", 1) for line in ended.stdout.splitlines())
