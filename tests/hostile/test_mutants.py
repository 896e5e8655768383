"""A few hundred inputs of each kind, the same each time: none is executed, hangs, crashes, takes too much or leaves anything.

And the judges see what they have to see: a check that cannot fail is worse than none.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tests.hostile.canary import Canary
from tests.hostile.fleet import ROOT, Order, judged
from tests.hostile.judging import FINDINGS, Mutant, Verdict
from tests.hostile.kinds import KINDS

COUNTS = {
    "objects": 120,
    "manifests": 250,
    "cards": 150,
    "networks": 60,
    "signatures": 250,
    "series": 150,
    "media": 80,
    "http": 120,
    "dimse": 60,
}
HANG_S = 60.0
FOUND = json.loads((Path(__file__).parent / "found" / "seeds.json").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_hostile_input_is_refused_or_harmless(kind: str) -> None:
    outcomes = judged(Order(kind, 11, 0, COUNTS[kind], hang_s=HANG_S))

    assert len(outcomes) == COUNTS[kind]
    assert [outcome for outcome in outcomes if outcome.finding] == []
    assert {Verdict.REFUSED, Verdict.ACCEPTED} == {outcome.verdict for outcome in outcomes}


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted({each["kind"] for each in FOUND}))
def test_what_was_found_once_is_found_no_more(kind: str, tmp_path: Path) -> None:
    again = [f"--again={each['seed']}:{each['number']}" for each in FOUND if each["kind"] == kind]
    command = [
        sys.executable,
        "-m",
        "tests.hostile.worker",
        kind,
        "--folder",
        str(tmp_path / "x"),
        "--hang",
        str(HANG_S),
    ]
    done = subprocess.run([*command, *again], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr[-3000:]
    _, *outcomes = map(json.loads, done.stdout.splitlines())
    assert len(outcomes) == len(again)
    assert [outcome for outcome in outcomes if Verdict(outcome["verdict"]) in FINDINGS] == []


@dataclass
class Bad:
    """A target that does what none may do."""

    act: Callable[[Path, Canary], object]
    folder: Path
    canary: Canary
    memory_mib: int = 50

    @property
    def own_files(self) -> tuple[Path, ...]:
        return (self.folder / "tmp",)

    def mutant(self, random: Random) -> Mutant:
        return {"x": random.randbytes(4)}

    def receive(self, mutant: Mutant) -> bool:
        self.act(self.folder, self.canary)
        return bool(mutant)

    def close(self) -> None:
        """Nothing."""


def _allocate(_folder: Path, _canary: Canary) -> None:
    assert len(bytearray(b"x") * (200 << 20)) > 1


def _defect(_folder: Path, _canary: Canary) -> None:
    raise KeyError("x")


BAD: dict[str, tuple[Verdict, Callable[[Path, Canary], object]]] = {
    "program": (Verdict.EXECUTION, lambda _, __: subprocess.run(["true"], check=True)),
    "marker": (Verdict.EXECUTION, lambda _, canary: canary.marker.touch()),
    "secret": (Verdict.EXECUTION, lambda _, canary: canary.secret.read_bytes()),
    "connection": (Verdict.EXECUTION, lambda _, canary: socket.create_connection(("127.0.0.1", canary.port)).close()),
    "elsewhere": (Verdict.EXECUTION, lambda folder, _: (folder.parent / "elsewhere").write_bytes(b"x")),
    "left": (Verdict.LEFT, lambda folder, _: (folder / "tmp" / "left").write_bytes(b"x")),
    "memory": (Verdict.MEMORY, _allocate),
    "defect": (Verdict.CRASH, _defect),
    "slow": (Verdict.HANG, lambda _, __: time.sleep(0.5)),  # the input that hangs, not a wait for something
    "harmless": (Verdict.ACCEPTED, lambda _, __: None),
}


@pytest.mark.parametrize("name", BAD)
def test_the_judge_sees_it(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"from tests.hostile.test_mutants import judge_bad; judge_bad({name!r}, {str(tmp_path / 'x')!r})"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.stdout.strip() == BAD[name][0].value, done.stderr


def judge_bad(name: str, folder: str) -> None:
    """In a process of its own: an audit hook stays for good."""
    from tests.hostile.judging import Judge
    from tests.hostile.watching import Watch
    from tests.hostile.worker import set_up

    place = Path(folder)
    set_up(place)
    with Canary(place / "canary") as canary:
        watch = Watch(place, canary.secret)
        judge = Judge("bad", 1, Bad(BAD[name][1], place, canary), canary, watch, 0.4 if name == "slow" else 60)
        sys.stdout.write(judge.judge(0).verdict.value)


@pytest.mark.parametrize("kind", ["objects", "manifests", "series"])
def test_an_input_is_made_again_from_its_number(kind: str, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.hostile.canary import Canary; from tests.hostile.kinds import KINDS;"
        " from tests.hostile.judging import random_of; import hashlib; folder = Path(sys.argv[2]); canary = Canary(folder / 'c');"
        " (folder / 'tmp').mkdir(); target = KINDS[sys.argv[1]].target(folder, canary);"
        " made = [target.mutant(random_of(sys.argv[1], 1, n)) for n in range(20)]; target.close();"
        " print(hashlib.sha256(repr(made).replace(str(folder), '').replace(str(canary.port), '').encode()).hexdigest())"
    )
    # not so of media and certificates: what is encrypted, or signed by EC, is other bytes each time
    twice = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program, kind, str(tmp_path / word)],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout
        for word in ("one", "two")
    }  # fmt: skip
    assert len(twice) == 1
