"""Hostile input at large: mutated models, manifests, cards, networks, signatures, series, media, requests and associations.

    scripts/bench hostile --count 100000 --seed 1
    scripts/bench hostile --kind networks --count 5000 --keep found
    scripts/bench hostile --kind series --seed 1 --first 981 --count 1 --keep found

Each input is made from its kind, seed and number alone, so that any is made again (the last line above); but for media and
certificates, whose encryption and signatures are other bytes each time: ``--keep`` keeps the input itself. It is judged in a
process of its own kind (:mod:`tests.hostile.worker`), which is watched from inside and outside: whether anything was executed,
opened, called or written that reading needs not; whether it took over 10 s, or more memory than its kind may; whether it ended
otherwise than by an error of ours; whether a running service still answers, in the same processes; whether files were left.
Prints a line for each finding and a table; ends with 1 where there was any.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.hostile.fleet import Order, judged
from tests.hostile.judging import FINDINGS, Outcome, Verdict
from tests.hostile.kinds import KINDS

AT_ONCE = 5000
"""Inputs between two looks at the clock."""
COLUMNS = (Verdict.REFUSED, Verdict.ACCEPTED, *FINDINGS)


def main() -> None:
    """All kinds or some, by their shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="inputs of all kinds together (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="another seed gives other inputs (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first input (%(default)s)")
    parser.add_argument("--kind", action="append", choices=KINDS, help="this kind alone; may be given again")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing new after so long")
    parser.add_argument("--keep", type=Path, help="write each finding's input into this folder")
    parser.add_argument("--processes", type=int, default=2, help="that judge at once (%(default)s)")
    options = parser.parse_args()
    kinds = [KINDS[name] for name in options.kind or KINDS]
    whole, ends = sum(kind.share for kind in kinds), time.monotonic() + options.seconds
    keep = options.keep.absolute() if options.keep else None
    rows: list[tuple[str, Counter[Verdict], float]] = []
    for kind in kinds:
        begun, count = time.monotonic(), options.count * kind.share // whole
        tally = _run(
            Order(kind.name, options.seed, options.first, options.first + count, keep=keep), options.processes, ends
        )
        rows.append((kind.name, tally, time.monotonic() - begun))
        print(_row(*rows[-1]), flush=True)
    print(_table(rows))
    sys.exit(any(tally[verdict] for _, tally, _ in rows for verdict in FINDINGS))


def _run(order: Order, processes: int, ends: float) -> Counter[Verdict]:
    tally: Counter[Verdict] = Counter()
    for piece in order.split(max(1, (order.last - order.first) // AT_ONCE)):
        if time.monotonic() > ends:
            break
        for outcome in judged(piece, processes=processes):
            tally[outcome.verdict] += 1
            if outcome.finding:
                _tell(outcome, order.seed)
    return tally


def _tell(outcome: Outcome, seed: int) -> None:
    again = f"--kind {outcome.kind} --seed {seed} --first {outcome.number} --count 1"
    print(f"FOUND {outcome.verdict.value}: {again}\n{outcome.detail}", flush=True)


def _table(rows: list[tuple[str, Counter[Verdict], float]]) -> str:
    together: Counter[Verdict] = sum((tally for _, tally, _ in rows), Counter())
    heads = "".join(f"{verdict.value:>12}" for verdict in COLUMNS)
    lines = [f"{'kind':<12}{'inputs':>9}{heads}{'inputs/s':>10}", *(_row(*row) for row in rows)]
    lines.append(_row("together", together, sum(seconds for _, _, seconds in rows)))
    load = os.getloadavg()
    return (
        "\n".join(lines)
        + f"\nload of the machine: {load[0]:.1f}, {load[1]:.1f}, {load[2]:.1f} on {os.cpu_count()} cores"
    )


def _row(name: str, tally: Counter[Verdict], seconds: float) -> str:
    figures = "".join(f"{tally[verdict]:>12}" for verdict in COLUMNS)
    return f"{name:<12}{tally.total():>9}{figures}{tally.total() / max(seconds, 1e-9):>10.0f}"


if __name__ == "__main__":
    main()
