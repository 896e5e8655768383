"""A visit to the zoo: every specimen is let loose under watch, a line of JSON for each: ``python -m tests.hostile.zoo.visit``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from iodeep.inference import Engine
from tests.hostile.canary import Canary
from tests.hostile.judging import Judge
from tests.hostile.watching import Watch
from tests.hostile.worker import set_up
from tests.hostile.zoo.cages import CAGES
from tests.hostile.zoo.ground import LIMITS, Ground

MEMORY_MIB = 400


class _Target:
    """What the judge has to know."""

    def __init__(self, folder: Path) -> None:
        self.memory_mib = MEMORY_MIB
        self.own_files = (folder / "tmp", folder / "out")


def main(arguments: list[str]) -> None:
    """All cages, or one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cage", choices=CAGES)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--hang", type=float, default=10.0)
    parser.add_argument("--only", help="one specimen")
    options = parser.parse_args(arguments)
    set_up(options.folder)
    (options.folder / "out").mkdir()
    cage = CAGES[options.cage]
    with Canary(options.folder / "canary") as canary, Engine(LIMITS) as engine, cage.opened(options.folder) as service:
        ground = Ground(options.folder, canary, engine, service)
        _ = ground.model.folder, engine.lacking
        watch = Watch(options.folder, canary.secret, network=service is not None)
        judge = Judge("zoo", 0, _Target(options.folder), canary, watch, options.hang)  # type: ignore[arg-type]
        for number, specimen in enumerate(cage.specimens):
            if options.only not in (None, specimen.name):
                continue
            ground.clean()
            outcome = judge.judged(number, lambda attack=specimen.attack: attack(ground) is not False)  # type: ignore[misc]
            sys.stdout.write(json.dumps({"name": specimen.name, **outcome.document()}) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
