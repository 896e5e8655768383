"""Whoever starts the service is told, loudly, why no model is run, and where models run without anybody having vouched for them."""

from __future__ import annotations

from pathlib import Path

from iodeep.service.configuration import Configuration
from iodeep.service.serving.serve import lacking
from iodeep.settings import Settings, settings_of_document


def warnings(settings: Settings, folder: Path) -> list[str]:
    """The start lines about trust."""
    lines = lacking(Configuration(settings, folder / "iodeep.toml", folder))
    return [line for line in lines if line.startswith("WARNING") and "[trust]" in line]


def test_a_service_without_a_trust_policy_says_so(tmp_path: Path) -> None:
    (line,) = warnings(Settings(), tmp_path)

    assert "no model is run" in line
    assert 'unsigned = "warn"' in line


def test_a_service_that_runs_unsigned_models_says_so(tmp_path: Path) -> None:
    (line,) = warnings(settings_of_document({"trust": {"unsigned": "warn"}}, "test"), tmp_path)

    assert "unsigned" in line


def test_a_service_with_a_policy_has_nothing_to_say(tmp_path: Path) -> None:
    assert warnings(settings_of_document({"trust": {}}, "test"), tmp_path) == []
