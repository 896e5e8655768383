"""Planning: decisions for a site's exported list of series, before anything is switched on."""

from __future__ import annotations

import gc
from pathlib import Path

from rich.console import Console

from iodeep.errors import InputError, LocalStorageError
from iodeep.ports import ProgressSink
from iodeep.selection import (
    Candidate,
    Catalogue,
    Summary,
    UnusableModel,
    candidates_in_folder,
    decide_table,
    summary_page,
    table_rows,
)
from iodeep.service.cli.output import Output, people, table, write_json
from iodeep.service.configuration import Configuration
from iodeep.service.selecting import SitePolicy, policy_for_commands
from pacs_bridge import open_archive


def plan(path: Path, models: str | None, page: Path | None, configuration: Configuration, output: Output) -> None:
    """Decide every row; JSON lines in the table's order, or counts for people, and a page where one is named."""
    with policy_for_commands(configuration) as policy, output.progress() as progress:
        candidates = _candidates(models, configuration, policy, progress)
    summary = Summary()
    gc.freeze()  # vocabulary and models stay: the collector need not look at them again and again
    documents = decide_table(path, candidates, rules=policy.rules, resolver=policy.resolver)
    for document, row in zip(documents, table_rows(path), strict=True):
        summary.add(document, row)
        if output.json:
            write_json(document)
    if page is not None:
        _write_page(page, summary_page(summary, path.name))
    if not output.json:
        _render(people(), summary, page)


def _write_page(page: Path, text: str) -> None:
    try:
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LocalStorageError(
            f"the page {page} cannot be written: {error.strerror}",
            remedy="Name a file in a folder that you may write to.",
        ) from error


def _candidates(
    models: str | None, configuration: Configuration, policy: SitePolicy, progress: ProgressSink
) -> list[Candidate | UnusableModel]:
    """Models of a folder, or of an archive, there with why the site does not trust them or has not approved them."""
    if models is None:
        raise InputError(
            "no models were named to decide among", remedy="Give --models FOLDER (objects or cards) or --models PACS."
        )
    if Path(models).is_dir():
        return candidates_in_folder(Path(models))
    with open_archive(configuration.settings.archive(models)) as archive:
        judge = policy.judge(archive, configuration.cache)
        found = Catalogue(archive, configuration.cache).candidates(progress=progress)
        return [judge.judged(each) if isinstance(each, Candidate) else each for each in found]


def _render(console: Console, summary: Summary, page: Path | None) -> None:
    rows = table(f"{summary.rows} series", "", "rows", "share")
    for name, count in summary.taken.most_common():
        rows.add_row(name, str(count), f"{summary.share(count):.1%}")
    for cause, count in summary.refused.most_common():
        rows.add_row(f"refused: {cause}", str(count), f"{summary.share(count):.1%}")
    console.print(rows)
    if page is not None:
        console.print(f"Charts are in {page}.")
