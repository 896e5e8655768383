"""A process that judges inputs of one kind, a line of JSON for each: ``python -m tests.hostile.worker --help``.

What an input does to the process, it does to this one alone: whoever started it sees it die or fall silent, and starts another
at the next input.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

from tests.hostile.canary import Canary
from tests.hostile.judging import Judge
from tests.hostile.kinds import KINDS
from tests.hostile.watching import Watch

MOST_BYTES = 6 << 30
"""Of memory that a worker may ask for at all, so that a bomb harms it alone."""
READY = {"ready": True}


def main(arguments: list[str]) -> None:
    """Judge inputs ``first`` to ``last``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last", type=int, default=1)
    parser.add_argument("--again", action="append", default=[], metavar="SEED:NUMBER", help="these inputs instead")
    parser.add_argument("--hang", type=float, default=10.0)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--keep", type=Path, help="write each finding's input here")
    options = parser.parse_args(arguments)
    set_up(options.folder)
    network = options.kind in ("http", "dimse")
    with Canary(options.folder / "canary") as canary:
        watch = Watch(options.folder, canary.secret, network=network)
        target = KINDS[options.kind].target(options.folder, canary)
        again = [tuple(map(int, each.split(":"))) for each in options.again]
        inputs = again or [(options.seed, number) for number in range(options.first, options.last)]
        try:
            _say(READY)
            for seed, number in inputs:
                judge = Judge(options.kind, seed, target, canary, watch, options.hang)
                outcome = judge.judge(number)
                if outcome.finding and options.keep:
                    judge.keep(number, options.keep)
                _say(outcome.document())
        finally:
            target.close()


def set_up(folder: Path) -> None:
    """Temporary files go where they are looked for; memory has an end; libraries' warnings are theirs."""
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)


def _say(document: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
