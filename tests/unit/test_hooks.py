"""The pre-commit hooks look at files that exist, with the tools that scripts/check runs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from identify.identify import ALL_TAGS, tags_from_path

ROOT = Path(__file__).resolve().parents[2]
HOOKS: list[dict[str, Any]] = [
    hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    for hook in repository["hooks"]
]


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_a_hook_s_filter_matches_files(hook: dict[str, Any], tracked: list[Path]) -> None:
    assert set(hook["types"]) <= ALL_TAGS
    matching = [path for path in tracked if set(hook["types"]) <= tags_from_path(str(path))]

    assert {path for path in tracked if path.suffix == ".py"} <= set(matching)
    assert "files" not in hook
    assert "exclude" not in hook


def test_the_hooks_run_what_the_check_runs() -> None:
    checked = set(re.findall(r'^"\$bin/([\w-]+)', (ROOT / "scripts" / "check").read_text(), flags=re.MULTILINE))

    assert {Path(hook["entry"].split()[0]).name for hook in HOOKS} == checked
    assert {hook["entry"].split()[0].rpartition("/")[0] for hook in HOOKS} == {".venv/bin"}
