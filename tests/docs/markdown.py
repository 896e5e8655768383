"""The project's pages as data: fenced blocks, links and the anchors that GitHub makes of headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "sample_data" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
)

_FENCE = re.compile(r"^```(\w*)\s*$")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its first line's number in the page, its lines."""

    page: Path
    line: int
    language: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path, *languages: str) -> list[Block]:
    """The page's fenced blocks in order, of these languages."""
    return [block for block in _blocks(page) if block.language in languages]


def _blocks(page: Path) -> Iterator[Block]:
    language, start, is_open = "", 0, False
    inside: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fence = _FENCE.match(line)
        if fence and not is_open:
            language, start, inside, is_open = fence[1], number + 1, [], True
        elif fence:
            is_open = False
            yield Block(page, start, language, tuple(inside))
        elif is_open:
            inside.append(line)
    assert not is_open, f"{page} ends within a fenced block"


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[str]:
    """Every link target of the page's prose."""
    return _LINK.findall(re.sub(r"`[^`]*`", "", prose(page)))


def anchors(page: Path) -> set[str]:
    """What a link into the page may name after ``#``."""
    headings = (_HEADING.match(line) for line in prose(page).splitlines())
    return {_anchor(heading[1]) for heading in headings if heading}


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def table_rows(page: Path) -> list[tuple[str, ...]]:
    """The cells of every table row of the page."""
    rows = (line for line in prose(page).splitlines() if line.startswith("|"))
    return [tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip("|"))) for row in rows]
