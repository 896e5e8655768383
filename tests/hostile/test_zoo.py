"""Every specimen of the zoo meets the sentence that it has to meet, executes nothing, and leaves nothing behind."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from iodeep import errors
from tests.hostile.fleet import ROOT
from tests.hostile.judging import Verdict
from tests.hostile.zoo.cages import CAGES
from tests.hostile.zoo.specimen import Specimen

KEPT = [(cage, specimen) for cage, kept in CAGES.items() for specimen in kept.specimens]
HANG_S = "60"
"""On a machine that does other things; the bench asks for ten seconds."""


@cache
def visited(cage: str) -> dict[str, dict[str, Any]]:
    """What became of each specimen of a cage, in a process of its own."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.hostile.zoo.visit", cage, "--folder", str(Path(folder) / "zoo")]
        done = subprocess.run([*command, "--hang", HANG_S], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}


@pytest.mark.slow
@pytest.mark.parametrize(("cage", "specimen"), KEPT, ids=lambda each: each.name if isinstance(each, Specimen) else each)
def test_a_specimen_meets_its_sentence(cage: str, specimen: Specimen) -> None:
    outcome = visited(cage)[specimen.name]

    if specimen.expected is None:
        assert outcome["verdict"] == Verdict.ACCEPTED, outcome
        return
    assert outcome["verdict"] == Verdict.REFUSED, outcome
    kind, _, said = outcome["detail"].partition(": ")
    assert issubclass(getattr(errors, kind), specimen.expected), outcome
    assert re.search(specimen.says, said, re.DOTALL), outcome


def test_the_zoo_is_large_and_each_specimen_has_a_name() -> None:
    names = [specimen.name for _, specimen in KEPT]

    assert len(names) >= 100
    assert len(set(names)) == len(names)
