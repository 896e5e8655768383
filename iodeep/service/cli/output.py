"""What a command shows: one JSON document for scripts, or tables and sentences for people; progress goes to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from iodeep import ports
from iodeep.errors import IODeepError, plain

MEGA = 1_000_000
WIDE = 200


@dataclass(frozen=True)
class Output:
    """Where a command's answer goes: ``json`` or people."""

    json: bool

    def answer(self, document: dict[str, Any], render: Callable[[Console], None]) -> None:
        """Print the answer: the document in JSON, or whatever ``render`` writes."""
        if self.json:
            write_json(document, indent=2)
        else:
            render(people())

    @contextmanager
    def progress(self) -> Iterator[ports.ProgressSink]:
        """A sink that draws one bar a step on a terminal, and nothing where nobody looks."""
        console = Console(stderr=True)
        if self.json or not console.is_terminal:
            yield ports.no_progress
            return
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as bars:
            yield _Bars(bars).show


def people(*, stderr: bool = False) -> Console:
    """Where people read, on standard output unless told otherwise: as wide as the terminal, wide enough for UIDs where it goes to a file."""
    console = _Plain(stderr=stderr, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = WIDE
    return console


class _Plain(Console):
    """What anybody wrote, such as a reason, is shown and steers no terminal; what joins letters or divides words stays."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(plain(text, allowed="\n\t\u00ad\u200c\u200d"), **options)


class _Bars:
    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def show(self, progress: ports.Progress) -> None:
        if progress.step not in self._tasks:
            self._tasks[progress.step] = self._bars.add_task(progress.step, total=progress.total)
        self._bars.update(self._tasks[progress.step], completed=progress.done, total=progress.total)


def show_error(error: IODeepError, *, as_json: bool) -> None:
    """One line for people on stderr, or one JSON document on stdout for scripts."""
    if as_json:
        write_json(error.as_dict())
    else:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]error[/]: {escape(str(error))}")


def write_json(document: dict[str, Any], *, indent: int | None = None) -> None:
    """A document to standard output; what isn't text in its encoding is escaped as JSON has it (RFC 8259, 7)."""
    ascii_only = (sys.stdout.encoding or "ascii").casefold() not in ("utf-8", "utf8")
    sys.stdout.write(json.dumps(document, indent=indent, ensure_ascii=ascii_only, default=str) + "\n")


def table(title: str | None, *columns: str) -> Table:
    """A table in the one style that all commands share."""
    made = Table(title=title, title_justify="left", header_style="bold", show_edge=False, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def size(count: int) -> str:
    """Bytes for people: 8.5 MB."""
    for unit, factor in (("GB", 1000 * MEGA), ("MB", MEGA), ("kB", 1000)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"
