"""The commands that the pages show, to be run as they stand.

A block that shows an ``iodeep`` command is run whole: ``$`` begins a command, ``>`` continues it, ``# exit code N`` at its
end says how it ends (0 without it), and what follows is its output, shortened: ``…`` stands for anything, also for
whole lines. The commands of a page run in order in one shell, in a folder with ``sample_data``; ``$PACS`` is the
address of an archive that is empty at first, ``$OTHER`` that of another one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.docs.markdown import ROOT, Block, blocks

_EXIT_CODE = re.compile(r"#\s*exit code (\d+)\s*$")
_LANGUAGES = ("sh", "bash", "shell", "console")


@dataclass(frozen=True)
class Command:
    """One command of a page, how it has to end, and what it has to print."""

    where: str
    text: str
    exit_code: int = 0
    output: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    exit_code: int
    output: str


def commands_of(page: Path) -> list[Command]:
    """Every command of the page's blocks that show ``iodeep``."""
    return [command for block in blocks(page, *_LANGUAGES) if _is_run(block) for command in _commands(block)]


def _is_run(block: Block) -> bool:
    return any(line.removeprefix("$ ").startswith("iodeep ") for line in block.lines)


def _commands(block: Block) -> Iterator[Command]:
    assert block.language == "console", f"{block}: show iodeep commands in a console block, with $ before each"
    command: Command | None = None
    for number, line in enumerate(block.lines, start=block.line):
        if line.startswith("$ "):
            if command:
                yield command
            code = _EXIT_CODE.search(line)
            where = f"{block.page.relative_to(ROOT)}:{number}"
            command = Command(where, line[2:], int(code[1]) if code else 0)
        else:
            assert command, f"{block}: output before the first command"
            is_continued = line.startswith("> ") and not command.output
            command = (
                replace(command, text=f"{command.text}\n{line[2:]}")
                if is_continued
                else replace(command, output=(*command.output, line))
            )
    if command:
        yield command


def run_in_order(commands: list[Command], folder: Path, pacs: str, other: str = "") -> list[Ended]:
    """Run them in one shell, which ends at the first command that ends otherwise than it should."""
    (folder / "sample_data").symlink_to(ROOT / "sample_data")
    record = folder / ".record"
    record.mkdir()
    steps = [
        f"{{ {command.text}\n}} >'{record / str(number)}' 2>&1 </dev/null\n"
        f"code=$?; echo $code >'{record / str(number)}.code'; [ $code -eq {command.exit_code} ] || exit 0"
        for number, command in enumerate(commands)
    ]
    subprocess.run(
        ["bash", "-c", "\n".join(steps)], cwd=folder, env=_environment(folder, pacs, other), check=True, timeout=280
    )
    return [
        Ended(int((record / f"{number}.code").read_text()), (record / str(number)).read_text(encoding="utf-8"))
        for number in range(len(commands))
        if (record / f"{number}.code").exists()
    ]


def _environment(folder: Path, pacs: str, other: str) -> dict[str, str]:
    """What a user has, and nothing of the one who runs the tests."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    home = str(folder / ".home")
    return {**kept, "PATH": path, "PACS": pacs, "OTHER": other, "HOME": home, "IODEEP_CACHE": str(folder / ".cache")}


def missing_line(command: Command, output: str) -> str | None:
    """The first line that the page shows and the output does not have, in order; None where all are there."""
    printed = iter(_spaced_once(line) for line in output.splitlines())
    for shown in command.output:
        if shown.strip() == "…":
            continue
        pattern = ".*".join(re.escape(piece.strip()) for piece in _spaced_once(shown).split("…"))
        if not any(re.fullmatch(pattern, line) for line in printed):
            return shown
    return None


def _spaced_once(line: str) -> str:
    return " ".join(line.split())
