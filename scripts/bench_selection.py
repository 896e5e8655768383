"""How often the region of real series is answered rightly: our resolver beside two baselines, on a table of series.

    scripts/bench selection TABLE.csv [--rows] [--json]

TABLE.csv has the columns collection, Modality, BodyPartExamined, StudyDescription, SeriesDescription, n_series, region
(head, chest, breast, abdomen or pelvis: what the collection images), evidence and evidence_blank (yes, other, no).

The measure: the mean over collections, weighted by n_series inside each, of right / wrong / refused over rows with
evidence (yes or other) and of answered over rows without. An answer is right when its first region (the examination's,
where the series names a part of it) covers the collection's; ``the series' part`` measures what models are chosen for
instead. On ``other`` rows, which name only another region, any answer is fair. ``blank`` takes Body Part
Examined away.

``each collection left out``: what was learned from a table are the words of source ``dev`` in words.csv. Each collection
is measured without those of them that occur in no other collection's rows, as if its own rows had never been read; the
mean over these is told. The weights were set by hand with all rows at hand: what that is worth is not measured.

The baselines: the published prior art's rule (a word of Study Description is one of its region names, which it sorts
into Head, Chest and Abdomen), and Body Part Examined alone, where it is a defined term.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from iodeep.anatomy import AnatomicEvidence, AnatomyResolver
from iodeep.anatomy.lexicon import Lexicon
from iodeep.anatomy.regions import zones_of
from iodeep.anatomy.vocabulary import Vocabulary, Word, built_in_vocabulary
from iodeep.selection import candidates_in_folder, decide_table
from iodeep.terms import region_of_defined_term

LEARNED = "dev"
"""The source in words.csv of words that were taken from a table's rows."""
CARDS = Path(__file__).resolve().parents[1] / "sample_data"

Row = Mapping[str, str]
Rule = Callable[[Row], frozenset[str]]
"""The zones that a rule answers with; none for a refusal."""

PRIOR_ART_WORDS = {
    "HEAD": "HEAD BRAIN CEREBELLUM INTRACRANIAL",
    "CHEST": "BRONCHUS CHEST LUNG PARASTERNAL THORAX",
    "BREAST": "BREAST",
    "ABDOMEN": "ABDOMEN COLON DUODENUM ENDO-RECTAL ENDO-RENAL GALLBLADDER KIDNEY LIVER PANCREAS STOMACH",
}
PRIOR_ART = {word: zone for zone, words in PRIOR_ART_WORDS.items() for word in words.split()}


def prior_art(row: Row) -> frozenset[str]:
    """The first word of Study Description that is one of its region names; whole words between spaces only."""
    words = row["StudyDescription"].upper().split(" ")
    return frozenset(next(([PRIOR_ART[word]] for word in words if word in PRIOR_ART), []))


def body_part_alone(row: Row) -> frozenset[str]:
    """The zones of Body Part Examined."""
    region = region_of_defined_term(row["BodyPartExamined"])
    return zones_of(region.defined_term) if region else frozenset()


def ours(resolver: AnatomyResolver, *, part: bool = False) -> Rule:
    """The first region of the resolver's answer, or the part of it that the series shows."""

    def rule(row: Row) -> frozenset[str]:
        answer = resolver.resolve(
            AnatomicEvidence(
                modality=row["Modality"],
                body_part_examined=row["BodyPartExamined"],
                study_description=row["StudyDescription"],
                series_description=row["SeriesDescription"],
            )
        )
        regions = [answer.shown] if part and answer.shown else answer.regions[:1]
        return frozenset().union(*(zones_of(region) or {region} for region in regions))

    return rule


def outcome(row: Row, rule: Rule, evidence: str) -> str:
    """right, wrong or refused on a row with evidence; answered or silent on one without."""
    zones = rule(row)
    if row[evidence] == "no":
        return "answered" if zones else "silent"
    if not zones:
        return "refused"
    return "right" if row[evidence] == "other" or row["region"].upper() in zones else "wrong"


def shares(rows: list[Row], rule: Rule, evidence: str) -> dict[str, float]:
    """Percentages, as the module's text defines them."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        counts[row["collection"]][outcome(row, rule, evidence)] += int(row["n_series"])
    told = {name: _mean(counts.values(), name, ("right", "wrong", "refused")) for name in ("right", "wrong", "refused")}
    return {**told, "answered": _mean(counts.values(), "answered", ("answered", "silent"))}


def _mean(collections: object, name: str, among: tuple[str, ...]) -> float:
    parts = [
        count[name] / sum(count[other] for other in among)
        for count in collections  # type: ignore[attr-defined]
        if sum(count[other] for other in among)
    ]
    return round(100 * sum(parts) / len(parts), 2) if parts else 0.0


def blanked(rows: list[Row]) -> list[Row]:
    """The same rows without Body Part Examined."""
    return [{**row, "BodyPartExamined": ""} for row in rows]


def measure(rows: list[Row]) -> dict[str, dict[str, dict[str, float]]]:
    """Every rule on the rows as stored and blanked."""
    resolver = AnatomyResolver()
    rules = {
        "prior art's word rule": prior_art,
        "Body Part Examined alone": body_part_alone,
        "this software": ours(resolver),
        "this software, the series' part": ours(resolver, part=True),
        "each collection left out": left_out(rows),
    }
    return {
        name: {
            "as stored": shares(rows, rule, "evidence"),
            "blank": shares(blanked(rows), rule, "evidence_blank"),
        }
        for name, rule in rules.items()
    }


def left_out(rows: list[Row]) -> Rule:
    """Each row by a resolver that lacks the words which only its own collection's rows have taught."""
    vocabulary = built_in_vocabulary()
    taught = taught_words(rows)
    rules: dict[str, Rule] = {}
    for collection in taught:
        elsewhere = frozenset().union(*(words for other, words in taught.items() if other != collection))
        kept = tuple(word for word in vocabulary.words if word.source != LEARNED or word in elsewhere)
        rules[collection] = ours(AnatomyResolver(Vocabulary(kept)))
    return lambda row: rules[row["collection"]](row)


def taught_words(rows: list[Row]) -> dict[str, frozenset[Word]]:
    """The learned words that occur in each collection's rows."""
    learned = Lexicon(Vocabulary(tuple(word for word in built_in_vocabulary().words if word.source == LEARNED)))
    found: dict[str, set[Word]] = defaultdict(set)
    for row in rows:
        texts = (row["BodyPartExamined"], row["StudyDescription"], row["SeriesDescription"])
        found[row["collection"]] |= {match.word for text in texts for match in learned.find(text, row["Modality"])}
    return {collection: frozenset(words) for collection, words in found.items()}


def rows_per_second(table: Path) -> float:
    """Decisions a second through a table, with a resolver that has seen none of its rows, on one core (CPU time)."""
    candidates = candidates_in_folder(CARDS)
    resolver = AnatomyResolver()
    gc.freeze()  # as the command does
    begin = time.process_time()
    count = sum(1 for _ in decide_table(table, candidates, resolver=resolver))
    return count / (time.process_time() - begin)


def main() -> int:
    """Print the table; with ``--rows`` also every row that is wrong or answered without evidence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--rows", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with options.table.open(encoding="utf-8", newline="") as table:
        rows: list[Row] = list(csv.DictReader(table))
    speed = rows_per_second(options.table)  # first, while nothing else lies in memory
    measured = measure(rows)
    if options.json:
        print(json.dumps({"measured": measured, "rows_per_second": round(speed)}, indent=2))
        return 0
    print(f"{'':34} {'':10} {'right':>7} {'wrong':>7} {'refused':>8} {'answered without evidence':>26}")
    for name, states in measured.items():
        for state, figures in states.items():
            numbers = "{right:7.2f} {wrong:7.2f} {refused:8.2f} {answered:26.2f}".format(**figures)
            print(f"{name:34} {state:10} {numbers}")
    print(f"{speed:,.0f} rows a second through a table, against the cards of sample_data")
    if options.rows:
        _print_rows(rows)
    return 0


def _print_rows(rows: list[Row]) -> None:
    rule = ours(AnatomyResolver())
    for evidence, table in (("evidence", rows), ("evidence_blank", blanked(rows))):
        for row in table:
            told = outcome(row, rule, evidence)
            if told in {"wrong", "answered"}:
                texts = [
                    row[name] for name in ("Modality", "BodyPartExamined", "StudyDescription", "SeriesDescription")
                ]
                print(evidence, told, row["collection"], row["n_series"], *texts, "->", *sorted(rule(row)), sep=" | ")


if __name__ == "__main__":
    sys.exit(main())
