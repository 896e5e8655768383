"""The Dockerfile without Docker: its steps are scripts/image and copies, and scripts/image does what they need.

A clause that only Docker could run would never be tested, so none is allowed.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "image"
SETTINGS = {"FROM", "WORKDIR", "ENV", "USER", "ENTRYPOINT", "CMD"}
"""Instructions that do nothing while the image is built but say where and as whom the rest runs."""


def _instructions() -> list[tuple[str, str]]:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines if line and not line.startswith("#")]


def _copies() -> list[tuple[list[str], str]]:
    """Sources and target of each COPY out of the checkout."""
    words = [shlex.split(rest) for instruction, rest in _instructions() if instruction == "COPY"]
    return [(each[:-1], each[-1]) for each in words if not each[0].startswith("--from=")]


def _runs() -> list[list[str]]:
    return [shlex.split(rest) for instruction, rest in _instructions() if instruction == "RUN"]


def test_every_step_is_a_copy_or_a_call_of_the_script() -> None:
    assert {instruction for instruction, _ in _instructions()} == SETTINGS | {"COPY", "RUN"}
    copied_to = {target for sources, target in _copies() if sources == ["scripts/image"]}
    for words in _runs():
        assert words[0] in {"scripts/image", *copied_to}
        assert words[1] in _subcommands()
        assert not set("".join(words)) & set("&|;<>$`")


def _subcommands() -> set[str]:
    return set(re.findall(r"^  (\w+)\)$", SCRIPT.read_text(encoding="utf-8"), flags=re.MULTILINE))


def test_each_part_of_the_script_is_a_step() -> None:
    assert {words[1] for words in _runs()} == _subcommands() == {"install", "user"}


def test_what_is_copied_exists() -> None:
    for sources, _ in _copies():
        for source in sources:
            assert (ROOT / source).exists(), source


def test_the_second_stage_copies_what_the_first_one_installed() -> None:
    (between,) = [rest.split() for instruction, rest in _instructions() if rest.startswith("--from=")]
    (installed,) = [words[2] for words in _runs() if words[1] == "install"]
    (path,) = [rest for instruction, rest in _instructions() if instruction == "ENV"]

    assert between[1] == between[2] == installed, "a virtual environment works only where it was made"
    assert f"{installed}/bin" in path


def test_it_runs_as_the_account_that_the_script_makes_in_the_folder_that_it_owns() -> None:
    home = next(words[2] for words in _runs() if words[1] == "user")
    settings = {instruction: rest for instruction, rest in _instructions() if instruction != "COPY"}

    assert settings["USER"] == "iodeep"
    assert settings["WORKDIR"] == home
    assert f"IODEEP_CACHE={home}/cache" in settings["ENV"]
    assert "useradd --system" in SCRIPT.read_text(encoding="utf-8")


def test_the_context_is_exactly_what_is_copied() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    copied = {source for sources, _ in _copies() for source in sources}

    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == copied


def test_the_scripts_parse_and_can_be_run() -> None:
    shells = {"#!/bin/sh": "sh", "#!/usr/bin/env bash": "bash"}
    for script in [ROOT / ".ci" / "run", *sorted((ROOT / "scripts").iterdir())]:
        first = script.read_text(encoding="utf-8").partition("\n")[0]
        if first.startswith("#!"):
            assert os.access(script, os.X_OK), script
        if first in shells:
            subprocess.run([shells[first], "-n", str(script)], check=True)


@pytest.mark.parametrize("arguments", [[], ["user"], ["install"], ["remove", "/"], ["user", ""], ["install", ""]])
def test_the_script_refuses_wrong_usage(arguments: list[str], tmp_path: Path) -> None:
    nothing = tmp_path / "bin"
    nothing.mkdir()
    ended = subprocess.run(
        ["/bin/sh", str(SCRIPT), *arguments], env={"PATH": str(nothing)}, cwd=tmp_path, capture_output=True, text=True
    )

    assert ended.returncode == 2
    assert ended.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first stage makes: a virtual environment out of exactly the files that the Dockerfile copies."""
    context, prefix = tmp_path_factory.mktemp("context"), tmp_path_factory.mktemp("opt") / "iodeep"
    for sources, target in _copies():
        for source in sources:
            if not target.startswith("/"):
                _copy(ROOT / source, context / target / (Path(source).name if target.endswith("/") else ""))
    subprocess.run(["scripts/image", "install", str(prefix)], cwd=context, check=True, env=_environment(prefix))
    return prefix


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(source, target)


def _environment(home: Path) -> dict[str, str]:
    """As in a container: nothing of this checkout, but for the way to the package index."""
    kept = {name: value for name, value in os.environ.items() if name.lower().startswith(("pip_", "http", "no_proxy"))}
    return {**kept, "PATH": os.environ["PATH"], "HOME": str(home.parent), "IODEEP_CACHE": str(home.parent / "cache")}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_is_installed_works_without_the_checkout(installed: Path) -> None:
    place = installed.parent
    python = [
        str(installed / "bin" / "python"),
        "-c",
        "import iodeep, pacs_bridge; print(iodeep.__file__, pacs_bridge.__file__)",
    ]
    iodeep = str(installed / "bin" / "iodeep")

    def output(*words: str) -> str:
        return subprocess.run(
            words, cwd=place, env=_environment(installed), check=True, capture_output=True, text=True
        ).stdout

    assert output(iodeep, "--version").startswith("iodeep 0.")
    assert all(Path(file).is_relative_to(installed) for file in output(*python).split())
    findings = json.loads(output(iodeep, "doctor", "--json"))["findings"]
    assert all(finding["good"] for finding in findings)
    assert len(findings) > 10


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_is_installed_carries_its_tables(installed: Path) -> None:
    found = {path.name for path in installed.rglob("iodeep/**/*.csv")}

    assert found == {path.name for path in (ROOT / "iodeep").rglob("*.csv")}
