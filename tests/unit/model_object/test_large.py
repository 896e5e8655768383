"""Models of any size go through in constant memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .models import ROOT

ABOVE_IDLE = 100 * 1_000_000


def measured(folder: Path, *lengths: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.unit.model_object.measure_large", str(folder), *map(str, lengths)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.slow
@pytest.mark.parametrize(
    "lengths",
    [(1_000_000_000,), (1_100_000_001, 1_000_000_000, 1_000_000_000)],
    ids=["1 GB in one file", "3.1 GB in several files"],
)
def test_a_large_model_is_packed_verified_and_assembled_in_constant_memory(
    tmp_path: Path, lengths: tuple[int, ...]
) -> None:
    report = measured(tmp_path, *lengths)

    assert report["holds"]
    assert report["same"]
    assert report["total"] >= sum(lengths)
    assert report["parts"] >= sum(lengths) // (64 << 20)
    assert report["peak"] - report["idle"] < ABOVE_IDLE
