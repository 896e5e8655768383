"""What trust costs a run: `iodeep run` on the sample series, with all checks and containment, and without each of them, in turn.

``scripts/bench trust [--rounds N]``. The model is signed, approved in the site's register, and there is a list of what is revoked. Each run is
the command in a process of its own with an empty cache, on a series of its own in the embedded archive. Left out are: *trust*, by settings
without ``[trust]`` and ``[lifecycle]`` (no signature, policy, revocation or state is asked for); *digests*, by hashing nothing of the payload,
and *containment*, as in ``bench containment``: the product can leave out neither. Differences are taken within a round, in which all ways are
run once, each round beginning with another one; told are their medians and quartiles. On a machine that does other work only the
processors' time says something. The aim: all of it under 5 % of the command without it,
and under 0.3 s.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "scripts"))

from bench_containment import command_seconds, free_worker
from bench_overhead import cases, head_series, series_uid

from iodeep.inference import Engine
from iodeep.model_object import read_descriptor
from iodeep.service.library import local_model
from iodeep.settings import PacsSettings, RunSettings
from pacs_bridge import open_archive
from pacs_bridge.embedded import embedded_archive

NOT_DIGESTED = """
import types
from iodeep.model_object import check_part, local_files
class Anything(str):
    __hash__ = str.__hash__
    def __eq__(self, other): return True
    def __ne__(self, other): return False
class Nothing:
    def update(self, piece): pass
    def hexdigest(self): return Anything()
check_part.hashlib = local_files.hashlib = types.SimpleNamespace(sha256=Nothing)
"""
Seconds = tuple[float, float]
"""Wall clock and CPU."""


def settings_files(folder: Path, archive: PacsSettings) -> tuple[Path, Path]:
    """Settings of a site that trusts one developer and runs what is approved alone; and those of one that asks nothing."""
    pacs = f'[pacs.main]\nhost = "{archive.host}"\nport = {archive.port}\naet = "{archive.aet}"\n'
    key = folder / "developer.pub.pem"
    asking, bare = folder / "asking.toml", folder / "bare.toml"
    bare.write_text(pacs)
    asking.write_text(
        f'{pacs}\n[serve]\ndata = "{folder / "data"}"\n[lifecycle]\nrequired = true\n[trust]\nunsigned = "refuse"\n'
        f'research = true\n[[trust.keys]]\nname = "the developer"\nfile = "{key}"\nroles = ["developer"]\n'
        f'[trust.revocation]\nfile = "{folder / "revoked.json"}"\nkey = "{key}"\n'
    )
    return asking, bare


def publish(folder: Path, model: Path, config: Path) -> None:
    """Sign the model, store it, and have it approved."""
    key = folder / "developer.pem"
    for words in (
        ["signing-key", "new", "--out", str(key), "--no-passphrase"],
        ["sign", str(model), "--key", str(key), "--role", "developer"],
        ["revoke", "0" * 64, "--reason", "a test", "--list", str(folder / "revoked.json"), "--key", str(key)],
        ["store", str(model), "--to", "main"],
    ):
        _iodeep(folder, config, *words)
    study = read_descriptor(local_model(model).descriptor_path).study_instance_uid
    _iodeep(folder, config, "approve", study, "--reason", "a benchmark", "--skip-shadow")


def _iodeep(folder: Path, config: Path, *words: str) -> None:
    environment = {**os.environ, "IODEEP_CONFIG": str(config), "IODEEP_CACHE": str(folder / "cache")}
    subprocess.run([sys.executable, "-m", "iodeep", *words], env=environment, stdout=subprocess.DEVNULL, check=True)


def measured(
    rounds: int, ways: Mapping[str, tuple[Path, str]], archive: PacsSettings, folder: Path
) -> dict[str, list[Seconds]]:
    """Each way once a round, beginning with another one each time; a first round that nobody counts warms up."""
    seen: dict[str, list[Seconds]] = {name: [] for name in ways}
    names = list(ways)
    with open_archive(archive) as opened:
        for number in range(rounds + 1):
            for place in range(len(names)):
                name = names[(number + place) % len(names)]
                config, otherwise = ways[name]
                run = number * len(names) + place
                paths = head_series(folder / f"head{run}", run)
                opened.store(paths)
                took = command_seconds("main", series_uid(paths[0]), otherwise, IODEEP_CONFIG=str(config))
                shutil.rmtree(folder / f"head{run}")
                if number:
                    seen[name].append(took)
    return seen


def tell(seen: Mapping[str, list[Seconds]]) -> None:
    """Medians of each way, and what each thing costs as differences within rounds."""
    for name, runs in seen.items():
        wall, cpu = zip(*runs, strict=True)
        print(
            f"{name:20} {statistics.median(wall):.3f} s (fastest {min(wall):.3f}), {statistics.median(cpu):.3f} CPU seconds"
        )
    print()
    for what, with_it, without in (
        ("trust", "all", "without trust"),
        ("digests", "all", "without digests"),
        ("containment", "all", "without containment"),
        ("all of them", "all", "without any"),
    ):
        pairs = list(zip(seen[with_it], seen[without], strict=True))
        longer = [(a[0] - b[0]) * 1000 for a, b in pairs]
        more = statistics.median((a[1] - b[1]) * 1000 for a, b in pairs)
        shares = [(a[0] - b[0]) / b[0] for a, b in pairs]
        low, middle, high = statistics.quantiles(longer, n=4)
        shortest = (min(a[0] for a, _ in pairs) - min(b[0] for _, b in pairs)) * 1000
        of_cpu = statistics.median((a[1] - b[1]) / b[1] for a, b in pairs)
        print(
            f"{what:12} {middle:+5.0f} ms ({low:+.0f} to {high:+.0f}) = {statistics.median(shares):+.1%}; "
            f"{more:+.0f} CPU ms = {of_cpu:+.1%}; {shortest:+.0f} ms between the fastest"
        )
    print("aim: all of them under 300 ms and under 5 %")


def main() -> None:
    """Rounds of five ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name, embedded_archive(Path(name) / "archive") as archive:
        folder = Path(name)
        asking, bare = settings_files(folder, archive)
        with Engine(RunSettings()) as engine:
            [(_, files)] = cases(["head"], folder, 12, engine)
            print("layers that this machine lacks:", "; ".join(engine.lacking) or "none")
        publish(folder, files[0].parent, asking)
        free, undigested = free_worker(folder), f"exec({NOT_DIGESTED!r}); "
        ways = {
            "all": (asking, ""),
            "without trust": (bare, ""),
            "without digests": (asking, undigested),
            "without containment": (asking, free),
            "without any": (bare, undigested + free),
        }
        tell(measured(rounds, ways, archive, folder))


if __name__ == "__main__":
    main()
