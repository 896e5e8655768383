"""How long a catalogue of many releases takes on a real archive: read cold, refreshed warm, and one decision.

    scripts/bench catalogue --models 1000 --peer orthanc [--keep FOLDER] [--json]

Releases with small networks are packed and stored (descriptor and one part each, both in series of their own). Then, each
in seconds of wall-clock: *cold* asks for the list and fetches and checks every descriptor into an empty cache, with the
seconds of processor time that it costs us and the archive; *again* does so with the descriptors kept on disk and a new
process's empty memory; *refresh* asks for the list when nothing has changed; *decision* is the median and the 95th
percentile of a series' decision against the catalogue with a warm index, and its mean in processor time; *first* is the
median of the first decision of a new process, its imports left out.

``--keep`` keeps the archive in that folder, and takes what is there already instead of storing it again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from iodeep.anatomy import AnatomyResolver
from iodeep.card import ModelCard, card_document, card_of_document, read_card
from iodeep.model_object import pack_model
from iodeep.ports import Archive, Level
from iodeep.selection import Catalogue, decide, facts_of_attributes
from iodeep.settings import PacsSettings
from pacs_bridge import open_archive
from tests.peers.servers import PEERS

TARGETS = (("MR", "BRAIN"), ("CT", "LIVER"), ("CT", "LUNG"), ("MR", "PROSTATE"), ("CR", "CHEST"), ("MG", "BREAST"))
"""Modalities and regions in turn, so that a decision's tokens let a share of the releases through."""
SERIES = {"Modality": "MR", "StudyDescription": "MR BRAIN", "SeriesDescription": "T1 AX", "SeriesInstanceUID": "1.2.3"}
MAX_AGE_S = 3600.0
DECISIONS = 200


def release(number: int) -> ModelCard:
    """The sample card under another name, target and token."""
    modality, region = TARGETS[number % len(TARGETS)]
    document = card_document(read_card(ROOT / "sample_data" / "brain" / "card.yaml"))
    document["network"]["files"] = ["network.onnx"]
    eligibility = {"slice_count": {"min": 5 + number // 6 % 20}, "slice_spacing_mm": {"max": 3.0 + number % 5}}
    document |= {
        "name": f"Model {number}",
        "token": f"M{number}",
        "target": {"regions": [region], "conditions": [], "laterality": None},
        "inputs": [{"name": "image", "modality": modality, "eligibility": eligibility}],
    }
    return card_of_document(document, f"model {number}")


def packed(count: int, folder: Path) -> Iterator[list[Path]]:
    """The DICOM files of ``count`` releases, a hundred releases at a time."""
    network = folder / "network.onnx"
    network.write_bytes(bytes(range(250)) * 8)
    for start in range(0, count, 100):
        into = folder / f"from-{start}"
        for number in range(start, min(start + 100, count)):
            pack_model(release(number), {"network.onnx": network}, into / str(number))
        yield sorted(path for path in into.rglob("*") if path.is_file())


def timed(work: Callable[[], object]) -> float:
    """Seconds of wall-clock."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def decisions_s(catalogue: Catalogue, repeats: int) -> list[float]:
    """A series' decisions one after the other: candidates by tokens, every requirement, the ranking."""
    resolver = AnatomyResolver()
    return [timed(lambda: choose(catalogue, resolver)) for _ in range(repeats)]


def choose(catalogue: Catalogue, resolver: AnatomyResolver) -> None:
    """One decision."""
    facts = facts_of_attributes(SERIES)
    regions = resolver.resolve(facts.evidence).regions
    decision = decide(facts, catalogue.candidates(facts.modality, regions), resolver=resolver)
    if decision.chosen is None:
        raise SystemExit(f"no model was chosen: {decision.refusal}")


def first_decision_s(settings: PacsSettings, cache: Path) -> float:
    """The first decision of the process that this is called in, by an index that another one made."""
    with open_archive(settings) as archive:
        return timed(lambda: choose(Catalogue(archive, cache, max_age_s=MAX_AGE_S), AnatomyResolver()))


def in_new_processes(settings: PacsSettings, cache: Path, repeats: int = 7) -> list[float]:
    """First decisions, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as processes:
        return [processes.submit(first_decision_s, settings, cache).result() for _ in range(repeats)]


def cpu_s(process_id: int) -> float:
    """Processor time of a process so far, user's and system's (Linux, proc(5))."""
    fields = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stored_s(archive: Archive, models: int, folder: Path) -> float:
    """Seconds in which the releases were stored; 0 where they are there already."""
    there = len(archive.find(Level.STUDY, {"PatientID": "AIM1.*"}))
    if there not in (0, models):
        raise SystemExit(f"the archive that was kept holds {there} releases; --models {there} measures it")
    return 0.0 if there else sum(archive.store(paths).seconds for paths in packed(models, folder))


def measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything in the module's text, on one archive."""
    cache = folder / "cache"
    with PEERS[options.peer](options.keep or folder / "peer") as peer:
        settings = peer.settings().model_copy(update={"timeout_s": 300.0})
        with open_archive(settings) as archive:
            storing = stored_s(archive, options.models, folder)
            catalogue = Catalogue(archive, cache, max_age_s=MAX_AGE_S)
            ours, archives = time.process_time(), cpu_s(peer.process.pid)
            cold = timed(catalogue.refresh)
            ours, archives = time.process_time() - ours, cpu_s(peer.process.pid) - archives
            again = timed(Catalogue(archive, cache, max_age_s=MAX_AGE_S).refresh)
            refresh = timed(catalogue.refresh)
            choosing = time.process_time()
            decisions = decisions_s(catalogue, DECISIONS)
            choosing = time.process_time() - choosing
        return {
            "peer": f"{peer.name} {peer.version}",
            "models": options.models,
            "store_s": round(storing, 2),
            "cold_s": round(cold, 2),
            "cold_ms_a_release": round(1000 * cold / options.models, 2),
            "cold_our_cpu_s": round(ours, 2),
            "cold_archive_cpu_s": round(archives, 2),
            "again_s": round(again, 2),
            "refresh_s": round(refresh, 2),
            "decision_ms": round(1000 * statistics.median(decisions), 1),
            "decision_cpu_ms": round(1000 * choosing / DECISIONS, 1),
            "decision_p95_ms": round(1000 * statistics.quantiles(decisions, n=20)[-1], 1),
            "first_ms": round(1000 * statistics.median(in_new_processes(settings, cache)), 1),
        }


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--peer", choices=sorted(PEERS), default="orthanc")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the archive stays, to be measured again")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="iodeep-bench-") as folder:
        figures = measured(options, Path(folder))
    print(json.dumps(figures, indent=2) if options.json else "\n".join(f"{k:18} {v}" for k, v in figures.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
