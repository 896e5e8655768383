from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

import iodeep.results
from iodeep.service.cli import app
from iodeep.service.cli.commands import COMMANDS


def imported_by(command: str) -> set[str]:
    """What the process of ``iodeep COMMAND --help`` imports."""
    arguments = [sys.executable, "-X", "importtime", "-m", "iodeep", command, "--help"]
    told = subprocess.run(arguments, capture_output=True, text=True, check=True).stderr
    return {line.rpartition("|")[2].strip() for line in told.splitlines()}


@pytest.mark.parametrize(
    ("command", "needs"), [("echo", "pydicom"), ("run", "iodeep.service.running"), ("serve", "iodeep.serve_settings")]
)
def test_a_command_imports_no_library_that_it_does_not_begin_with(command: str, needs: str) -> None:
    found = imported_by(command)

    assert needs in found
    assert not found & {"highdicom", "onnxruntime", "onnx", "scipy", "iodeep.service.packing", "cc3d"}
    assert not found & {"dbos", "sqlalchemy", "fastapi", "uvicorn"}


def test_every_command_is_listed_with_its_help() -> None:
    shown = CliRunner().invoke(app, ["--help"])

    assert shown.exit_code == 0
    assert all(f" {name.split()[0]} " in shown.output for name in COMMANDS)


def test_a_command_that_is_none_is_answered_with_the_nearest_name() -> None:
    shown = CliRunner().invoke(app, ["verfy"])

    assert shown.exit_code == 2
    assert "verify" in shown.output


def test_every_name_that_results_promise_is_there() -> None:
    assert all(getattr(iodeep.results, name) for name in iodeep.results.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        iodeep.results.nonsense  # noqa: B018
