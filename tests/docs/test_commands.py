"""Every command that a page shows is run, ends as the page says, and prints what the page shows."""

from __future__ import annotations

import shlex
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from pacs_bridge.embedded import answers_echo, embedded_archive
from pacs_bridge.server_process import server_process
from tests.docs.commands import Command, commands_of, missing_line, run_in_order
from tests.docs.markdown import PAGES, ROOT, blocks

SHOWING = [page for page in PAGES if commands_of(page)]


@pytest.mark.slow
@pytest.mark.parametrize("page", SHOWING, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_do_what_it_says(page: Path, tmp_path: Path) -> None:
    commands = commands_of(page)
    work = tmp_path / "work"
    work.mkdir()
    with ExitStack() as running:
        pacs = _started(running, tmp_path / "archive")
        needs_two = any("$OTHER" in command.text for command in commands)
        ended = run_in_order(commands, work, pacs, _started(running, tmp_path / "other") if needs_two else "")

    for command, how in zip(commands, ended, strict=False):
        said = f"{command.where}: {command.text}\n{how.output}"
        assert how.exit_code == command.exit_code, said
        assert (line := missing_line(command, how.output)) is None, f"not printed: {line}\n{said}"
    assert len(ended) == len(commands)


def _started(running: ExitStack, folder: Path) -> str:
    archive = running.enter_context(embedded_archive(folder))
    return f"dicom://{archive.aet}@{archive.host}:{archive.port}"


def test_the_archive_of_the_tour_starts_as_the_readme_says(tmp_path: Path) -> None:
    (line,) = [line for block in blocks(ROOT / "README.md", "sh") for line in block.lines if "qrscp" in line]
    python, *words = shlex.split(line.replace("$PWD", str(tmp_path)))
    assert python == "python"

    def command(port: int) -> list[str]:
        return [sys.executable, *words, "--port", str(port)]

    with server_process("qrscp", command, log=tmp_path / "log", ready=lambda port: answers_echo(port, "QRSCP")):
        assert (tmp_path / "instances").is_dir()
        assert (tmp_path / "instances.sqlite").is_file()


def test_the_pages_that_teach_show_commands() -> None:
    names = {page.name for page in SHOWING}

    assert {"README.md", "cli.md", "for-administrators.md", "for-clinicians.md", "for-hospitals.md"} <= names


@pytest.mark.parametrize(
    ("shown", "printed", "missing"),
    [
        (("a …",), "a b\n", None),
        (("a", "…", "d"), "a\nb\nc\nd\n", None),
        (("a", "…", "b"), "a\nb\n", None),
        (("b", "a"), "a\nb\n", "a"),
        (("a b",), "a    b\n", None),
        (("a.c",), "abc\n", "a.c"),
        (("1302 ml",), "1303 ml\n", "1302 ml"),
    ],
)
def test_output_is_compared_line_by_line(shown: tuple[str, ...], printed: str, missing: str | None) -> None:
    assert missing_line(Command("here", "x", output=shown), printed) == missing
